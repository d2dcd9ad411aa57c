"""Secrets are in no file of a run, and the run can be resumed with them."""

import json
import logging
import os
import sys

import pytest
import yaml
from omegaconf import OmegaConf

from losslab import cli
from losslab.config import groups, schema, secrets
from losslab.config.command import parse
from losslab.config.errors import UserError
from losslab.config.instantiate import build
from losslab.config.jobs import COMPOSED, compose_jobs
from losslab.runs.folder import job_name
from losslab.sweep_file import extended, read_commands, write_commands

SECRET = "hunter2"
LOGGER = "logger.extra.own={_target_: own_logger.OwnLogger, name: shown, api_key: "

OWN_LOGGER = """
from pathlib import Path
from pytorch_lightning.loggers import CSVLogger

class OwnLogger(CSVLogger):
    def __init__(self, name, api_key, **other):
        super().__init__("logged", name)
        Path("seen").write_text(api_key + str(other))
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Work in a folder with a logger that needs a key."""
    (tmp_path / "own_logger.py").write_text(OWN_LOGGER)
    before = dict(os.environ)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OWN_KEY", SECRET)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)
    COMPOSED.clear()
    sys.modules.pop("own_logger", None)


def test_no_key_of_conf_is_a_secret():
    assert list(filter(secrets.is_secret, groups.options())) == []


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("logger.extra.a.password=1234", "logger.extra.a.password=***"),
        ("++data.hub_token='a b'", "++data.hub_token=***"),
        ("+a.accessToken=a,b", "+a.accessToken=***"),
        ("a.key=${oc.env:X}", "a.key=${oc.env:X}"),
        ("a={b: {api_key: 'x,y', n: 1}, name: z}", "a={b: {api_key: ***, n: 1}, name: z}"),
        ("model.pad_token=0", "model.pad_token=0"),
        ("data.keypoints=a", "data.keypoints=a"),
        ("data.tokens_per_batch=many", "data.tokens_per_batch=many"),
        ("a.key=null", "a.key=null"),
        ("--config-dir=conf", "--config-dir=conf"),
        ("-m", "-m"),
    ],
)
def test_what_is_masked(override, expected):
    assert secrets.masked_override(override) == expected
    assert secrets.masked_override(expected) == expected


def test_names_of_jobs_do_not_tell_secrets():
    [one, other] = (job_name(["loss=mse", f"data.token={value}"]) for value in "ab")
    assert one == other
    [job] = compose_jobs([["loss=mse", "+model.label=${oc.env:OWN_KEY}"]])
    assert SECRET not in f"{job.subdir} {job.overrides} {OmegaConf.to_yaml(job.config)}"
    assert job.config.model.label == SECRET


def test_what_depends_on_the_environment_stays_as_it_is_written():
    given = ["loss=mse", "paths.log_dir=${oc.env:OWN_KEY}/logs", "logger=wandb", "threads=2"]
    [job] = compose_jobs([given])
    plain = OmegaConf.to_container(job.config)
    assert plain["paths"]["log_dir"] == "${oc.env:OWN_KEY}/logs"
    assert plain["logger"]["extra"]["wandb"]["save_dir"] == "${paths.log_dir}"
    assert job.config.logger.extra.wandb.save_dir == f"{SECRET}/logs"
    assert plain["trainer"]["max_epochs"] == plain["task"]["epochs"]


def test_hparams_and_saved_configs_are_masked():
    [job] = compose_jobs([["loss=mse", f"+loss.token={SECRET}", f"+{LOGGER}{SECRET}}}"]])
    plain = OmegaConf.to_container(job.config)
    assert plain["logger"]["extra"]["own"]["api_key"] == SECRET
    assert schema.hparams(plain)["loss.token"] == "***"
    assert SECRET not in OmegaConf.to_yaml(secrets.for_saving(job.config))


def test_what_hydra_logs_is_masked():
    record = logging.LogRecord("a", 20, "", 0, f"\t#0 : loss=mse a.token={SECRET}", None, None)
    assert secrets.Formatter("%(message)s").format(record) == "\t#0 : loss=mse a.token=***"


def test_a_secret_that_was_not_saved_is_asked_for():
    node = OmegaConf.create({"_target_": "torch.nn.MSELoss", "parts": [{"api_key": "***"}]})
    with pytest.raises(UserError, match=r"data\.parts\.0\.api_key is a secret, which is not saved"):
        build(node, "data=mine")


def test_a_sweep_keeps_no_secret_and_takes_it_again(tmp_path):
    typed = ["-m", "loss=mse,mae", f"+logger.extra.a.token={SECRET}"]
    command = parse(typed)
    write_commands(tmp_path, [command], [["loss=mse", f"+logger.extra.a.token={SECRET}"]], {})
    assert SECRET not in (tmp_path / "sweep.json").read_text()
    [saved] = read_commands(tmp_path)
    grown = extended(saved, [f"+logger.extra.a.token={SECRET}"])
    assert f"+logger.extra.a.token={SECRET}" in grown.overrides


QUICK = (
    "trainer.max_epochs=1",
    "callbacks=quiet",
    "data.n=60",
    "paths.log_dir=logs",
    "model=linear",
)


def files_with_the_secret(folder):
    names = [path for path in folder.rglob("*") if path.is_file() and path.name != "seen"]
    assert len(names) > 3
    found = [path for path in names if SECRET.encode() in path.read_bytes()]
    return found + [path for path in folder.rglob("*") if SECRET in path.name]


@pytest.mark.parametrize("typed", ["${oc.env:OWN_KEY}", SECRET], ids=["environment", "typed"])
def test_a_run_and_its_files(tmp_path, monkeypatch, capfd, typed):
    arguments = ["loss=mse", f"+{LOGGER}'{typed}'}}", *QUICK]
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    assert cli.run(arguments) == 0
    assert (tmp_path / "seen").read_text() == f"{SECRET}{{}}"
    assert files_with_the_secret(tmp_path) == []
    assert SECRET not in "".join(capfd.readouterr())
    [run] = (path.parent for path in tmp_path.rglob("record.json"))
    saved = yaml.safe_load((run / "config.yaml").read_text())["logger"]["extra"]["own"]
    assert saved["api_key"] == ("${oc.env:OWN_KEY}" if "oc.env" in typed else "***")
    again = ["trainer.max_epochs=2", f"resume={run}"]
    if typed == SECRET:
        with pytest.raises(UserError, match=r"logger\.extra\.own\.api_key is a secret"):
            cli.run(again)
        again.append(f"logger.extra.own.api_key={SECRET}")
    (tmp_path / "seen").unlink()
    assert cli.run(again) == 0
    assert (tmp_path / "seen").read_text() == f"{SECRET}{{}}"
    assert files_with_the_secret(tmp_path) == []
    assert json.loads((run / "record.json").read_text())["epochs"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "lockstep"])
def test_a_sweep_and_its_files(tmp_path, monkeypatch, capfd, launcher):
    arguments = ["-m", "loss=mse,mae", f"+{LOGGER}{SECRET}}}", f"hydra/launcher={launcher}", *QUICK]
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    assert cli.run(arguments) == 0
    assert (tmp_path / "seen").read_text() == f"{SECRET}{{}}"
    assert files_with_the_secret(tmp_path) == []
    assert SECRET not in "".join(capfd.readouterr())
    assert len(list(tmp_path.rglob("record.json"))) == 2


def test_the_text_of_a_file_is_that_of_the_whole_config(monkeypatch):
    written, to_yaml = [], OmegaConf.to_yaml
    monkeypatch.setattr(OmegaConf, "to_yaml", lambda own: written.append(own) or to_yaml(own))
    monkeypatch.setattr(secrets, "_SECTIONS", {})
    jobs = [[f"loss={loss}", f"seed={seed}"] for loss in ("focal", "bce_dice") for seed in (1, 2)]
    for job in compose_jobs(jobs):
        written.clear()
        assert secrets.saved_text(job.config) == to_yaml(secrets.for_saving(job.config))
        if job.options["seed"] == 2:  # all but these sections are those of the other seed
            assert {key for own in written for key in own} <= {"seed", "data", "overrides"}
