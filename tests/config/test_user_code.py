"""Folders of the user's modules are saved by a run and found again."""

import dataclasses
import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import losslab
from losslab.config import user_code
from losslab.config.errors import UserError
from losslab.config.instantiate import target_of
from losslab.config.jobs import compose_jobs
from losslab.sweep_file import read_code_dirs, write_commands


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
    """Restore the import path, the environment and the imported modules."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    user_code.SAVED_CODE.clear()
    for name in ("kept_losses", "own_package"):
        sys.modules.pop(name, None)


def module_in(folder, value=1):
    folder.mkdir()
    (folder / "kept_losses.py").write_text(f"VALUE = {value}\ndef loss(prediction, target): ...\n")
    importlib.invalidate_caches()
    return folder


def test_only_folders_of_the_users_own_modules_are_saved(tmp_path, monkeypatch):
    module_in(tmp_path / "code")
    package = tmp_path / "code" / "own_package"
    package.mkdir()
    (package / "__init__.py").touch()
    user_code.make_importable([tmp_path / "code"])
    targets = ["kept_losses.loss", "own_package.parts.Net", "torch.nn.MSELoss", "json.dumps"]
    targets += ["losslab.losses.MSELoss", "sys.exit", "nowhere.Loss", "__main__.Loss", ".", ""]
    where = str((tmp_path / "code").resolve())
    assert user_code.code_dirs(targets) == {"kept_losses": where, "own_package": where}


def test_a_config_has_the_folder_if_it_names_the_users_code(tmp_path):
    user_code.make_importable([module_in(tmp_path / "code")])
    given = ["loss=mse", "loss._target_=kept_losses.loss"]
    [own, plain] = compose_jobs([given, ["loss=mse"]])
    assert own.config.code_dirs == {"kept_losses": str((tmp_path / "code").resolve())}
    assert "code_dirs" not in plain.config
    assert "code_dirs" in OmegaConf.to_yaml(own.config)


def test_the_module_of_a_saved_run_precedes_that_of_the_current_folder(tmp_path):
    here, there = module_in(tmp_path / "here", 1), module_in(tmp_path / "there", 2)
    user_code.make_importable([here])
    user_code.recall({"kept_losses": str(there)})
    assert importlib.import_module("kept_losses").VALUE == 2
    standard = [sys.path.index(folder) for folder in losslab.IMPORT_PATH]
    assert max(standard) < sys.path.index(str(there))
    # processes that are started by this one import losslab with this variable
    names = os.environ[losslab.IMPORTS].split(os.pathsep)
    assert names.index(str(there)) < names.index(str(here))


def test_a_folder_that_is_gone_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    user_code.recall({"kept_losses": "/old/project"})
    with pytest.raises(UserError) as refused:
        target_of({"_target_": "kept_losses.loss"}, "loss")
    assert str(refused.value) == (
        "loss: cannot import kept_losses.loss: kept_losses was in /old/project and is no longer "
        f"there, nor in {tmp_path}: run the command in the folder in which kept_losses is now"
    )


@pytest.mark.parametrize("trust", [True, False])
def test_a_saved_run_makes_its_modules_importable_if_it_is_trusted(tmp_path, trust):
    from losslab.saved_config import saved_config

    run = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[1] / "past" / "v0_1" / "runs" / "focal", run)
    code = module_in(tmp_path / "code", 3)
    with (run / "config.yaml").open("a") as file:
        file.write(f"code_dirs: {{kept_losses: '{code}'}}\n")
    saved_config(run, trust=trust)
    if trust:
        assert importlib.import_module("kept_losses").VALUE == 3
    else:
        assert importlib.util.find_spec("kept_losses") is None


def test_a_sweep_keeps_the_folders(tmp_path):
    assert read_code_dirs(tmp_path) == {}
    write_commands(tmp_path, [], [], {"kept_losses": "/project"})
    assert read_code_dirs(tmp_path) == {"kept_losses": "/project"}


def test_a_tuning_that_resumes_finds_the_modules_of_its_search(tmp_path, monkeypatch):
    from losslab import tuning

    code = module_in(tmp_path / "code", 4)
    plan = tuning.Plan("controlled", 1, ["mse"], [100], [0], [], {"mse": {}}, {"mse": [{}]})
    (tmp_path / tuning.PLAN_FILE).write_text(json.dumps(dataclasses.asdict(plan)))
    (tmp_path / tuning.SEARCH).mkdir()
    write_commands(tmp_path / tuning.SEARCH, [], [], {"kept_losses": str(code)})
    monkeypatch.setattr(tuning, "tune", lambda plan, folder, source: 0)
    tuning.run_tuning([f"resume={tmp_path}", "trust=true"])
    assert importlib.import_module("kept_losses").VALUE == 4


GLOBAL = "# @package _global_\n"


def local_file(folder, text):
    (folder / "local").mkdir(parents=True)
    (folder / "local" / "default.yaml").write_text(text)
    user_code.use(["--config-dir", str(folder)])


def test_options_of_this_machine(tmp_path):
    """They apply unless the command line sets the option, and leave no trace of their own."""
    local_file(tmp_path / "conf", f"{GLOBAL}paths:\n  log_dir: /scratch/logs\nthreads: 2\n")
    [job] = compose_jobs([["loss=mse", "threads=3"]])
    assert (job.config.paths.log_dir, job.config.threads) == ("/scratch/logs", 3)
    assert "local" not in job.config.choices


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("paths: {log_dir: x}\n", "must begin with the line '# @package _global_'"),
        (f"{GLOBAL}pahts: {{log_dir: x}}\n", "unknown key pahts: did you mean paths?"),
        (f"{GLOBAL}paths: [\n", "default.yaml:2: invalid YAML"),
        (f"{GLOBAL}threads: 0\n", "threads must be a whole number"),
    ],
    ids=["package", "key", "yaml", "value"],
)
def test_wrong_options_of_this_machine(text, words, tmp_path):
    local_file(tmp_path / "conf", text)
    with pytest.raises(UserError, match=words):
        compose_jobs([["loss=mse"]])
