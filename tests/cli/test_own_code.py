"""Losses, networks and configs of one's own, in a folder outside the clone."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]

CODE = """
import torch
from torch import nn

class MyLoss(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, prediction, target):
        return self.scale * torch.log(torch.cosh(prediction - target)).mean()

def my_function(prediction, target, power=2.0):
    return (prediction - target).abs().pow(power).mean()

class Net(nn.Module):
    def __init__(self, input_shape, outputs, width=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_shape[0], width), nn.Linear(width, outputs))

    def forward(self, inputs):
        return self.layers(inputs)
"""
CONFIG = """\
# My log-cosh: losslab loss=my_loss --config-dir conf
defaults:
  - override /data@_global_.data: regression
  - _self_
_target_: my_losses.MyLoss
scale: 2.0
"""
QUICK = ("trainer.max_epochs=1", "callbacks=quiet", "trainer=cpu")


@pytest.fixture
def project(tmp_path):
    """Return a folder with code and configs of a user's own."""
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "my_loss.yaml").write_text(CONFIG)
    (tmp_path / "my_losses.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def losslab(warm):
    """Return a function that runs losslab in a folder, as the installed command does."""

    def run(folder, *arguments, code=0, cold=False):
        line = ["-P", "-m", "losslab", *arguments]
        done = run_cold(line, folder) if cold else warm.run(line, folder)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


def run_cold(line, folder):
    return subprocess.run(
        [sys.executable, *line],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run_folder(printed):
    [line] = [line for line in printed.splitlines() if line.startswith("run folder")]
    return Path(line.split(maxsplit=2)[2])


def test_a_loss_of_ones_own_is_known_wherever_a_name_is_looked_up(losslab, project):
    assert "My log-cosh" in losslab(project, "--help", "--config-dir", "conf")
    wrong = losslab(project, "loss=my_los", "--config-dir", "conf", code=2)
    assert "did you mean my_loss?" in wrong
    folder = project / run_folder(losslab(project, "loss=my_loss", "--config-dir", "conf", *QUICK))
    assert json.loads((folder / "record.json").read_text())["loss"] == "my_loss"
    assert "best epoch" in losslab(project, f"resume={folder}", "trainer.max_epochs=2")
    assert "mae" in losslab(project, "evaluate", str(folder), "--metric", "mae")


@pytest.mark.parametrize(
    ("launcher", "given"),
    [
        ("basic", "--config-dir=conf"),
        ("joblib", "--config-dir=conf"),
        ("lockstep", "hydra.searchpath=[file://conf]"),
    ],
)
def test_a_sweep_of_ones_own_losses_goes_on_elsewhere(losslab, project, launcher, given):
    line = ["-m", "loss=my_loss,mse", "seed=0,1", given, *QUICK, f"hydra/launcher={launcher}"]
    parallel = launcher == "joblib"
    if parallel:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
        shadow = "raise RuntimeError('shadows the standard library')\n"
        (project / "random.py").write_text(shadow)  # of the command and of its workers
    printed = losslab(project, *line, cold=parallel)
    statuses = [json.loads(path.read_text())["status"] for path in project.rglob("record.json")]
    assert statuses == ["done"] * 4
    commands = {json.loads(path.read_text())["command"] for path in project.rglob("record.json")}
    assert [shlex.split(command)[-len(line) :] for command in commands] == [line]
    if parallel:
        told = sorted(each[:8] for each in printed.splitlines() if each.startswith("job "))
        assert told == [f"job {place} of" for place in range(1, 5)]
    [sweep] = (project / "logs" / "sweeps").iterdir()
    [lost] = sweep.glob("my_loss*/seed1")
    shutil.rmtree(lost)
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    losslab(elsewhere, f"resume={sweep}", "trust=true")
    assert json.loads((lost / "record.json").read_text())["status"] == "done"
    assert "my_loss" in losslab(elsewhere, "compare", str(sweep))


FUNCTION = ("data=regression", "loss._target_=my_losses.my_function")


def test_a_run_of_a_function_is_found_from_another_folder(losslab, warm, project):
    run = project / run_folder(losslab(project, *FUNCTION, *QUICK))
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "my_losses.py").write_text("raise RuntimeError('the file of another project')\n")
    for arguments in ([f"resume={run}"], ["evaluate", str(run)]):
        [line] = losslab(elsewhere, *arguments, code=2).splitlines()
        assert f"would run my_losses.my_function in {project} (loss)" in line
    losslab(elsewhere, f"resume={run}", "trainer.max_epochs=2", "trust=true")
    assert "mae" in losslab(elsewhere, "evaluate", str(run), "--trust")
    conf = f"--config-dir={project / 'conf'}"
    done = warm.run([ROOT / "scripts" / "evaluate.py", run, conf], elsewhere)
    assert "mae" in done.stdout, done.stderr


@pytest.mark.parametrize("launcher", ["basic", "lockstep"])
def test_a_sweep_of_a_function_goes_on_elsewhere(losslab, project, launcher):
    line = [*FUNCTION, *QUICK, f"hydra/launcher={launcher}"]
    losslab(project, "-m", *line, "loss.power=1.5,2")
    [sweep] = (project / "logs" / "sweeps").iterdir()
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    losslab(elsewhere, f"resume={sweep}", "seed=0,1", "trust=true")
    statuses = [json.loads(path.read_text())["status"] for path in sweep.rglob("record.json")]
    assert statuses == ["done"] * 4


def test_code_that_moved_is_named_with_its_folder_and_found_where_it_is(
    losslab, project, tmp_path_factory
):
    run = project / run_folder(losslab(project, *FUNCTION, *QUICK))
    moved = tmp_path_factory.mktemp("moved")
    (project / "my_losses.py").rename(moved / "my_losses.py")
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    for arguments in (["evaluate", str(run)], [f"resume={run}"]):
        [line] = losslab(elsewhere, *arguments, code=2).splitlines()
        assert f"my_losses was in {project} and is no longer there" in line
    losslab(moved, f"resume={run}", "trainer.max_epochs=2")
    assert "mae" in losslab(elsewhere, "evaluate", str(run), "--trust")


def test_a_tuning_with_a_network_of_ones_own_goes_on_elsewhere(losslab, project):
    line = ["loss=mse,huber", "budget=1", "tuning_seeds=100", "seeds=0,1", "data=regression"]
    losslab(project, "tune", *line, "model._target_=my_losses.Net", *QUICK)
    [tuning] = (project / "logs" / "tuning").iterdir()
    shutil.rmtree(tuning / "final")
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    losslab(elsewhere, "tune", f"resume={tuning}", "trust=true")
    assert len(list((tuning / "final").rglob("record.json"))) == 4


def test_a_project_that_moved_is_resumed(losslab, project, tmp_path_factory):
    losslab(project, "-m", "loss=my_loss,mse", "seed=0", "--config-dir=conf", *QUICK)
    moved = tmp_path_factory.mktemp("moved") / "project"
    project.rename(moved)
    [sweep] = (moved / "logs" / "sweeps").iterdir()
    printed = losslab(moved, f"resume={sweep}", "seed=0,1", "--config-dir=conf")
    assert "2 of 4 jobs are finished" in printed
    [run] = sweep.glob("my_loss*/seed0")
    losslab(moved, f"resume={run}", "trainer.max_epochs=2", "--config-dir=conf")


def test_losses_of_ones_own_are_tuned(losslab, project):
    arguments = ["loss=my_loss,mse", "budget=2", "tuning_seeds=100", "seeds=0,1", *QUICK]
    assert "my_loss" in losslab(project, "tune", *arguments, "--config-dir", "conf")


@pytest.mark.parametrize(
    ("overrides", "name", "options"),
    [
        (["loss._target_=my_losses.MyLoss"], "MyLoss", {}),
        (["loss=huber", "loss._target_=my_losses.MyLoss", "loss.scale=3"], "MyLoss", {"scale": 3}),
        (["loss._target_=my_losses.my_function", "loss.power=1.5"], "my_function", {"power": 1.5}),
        (["loss._target_=torch.nn.functional.l1_loss"], "l1_loss", {}),
    ],
)
def test_a_target_without_a_yaml_is_called_by_its_name(losslab, project, overrides, name, options):
    network = ["model._target_=my_losses.Net", "model.width=4"]
    printed = losslab(project, "data=regression", *overrides, *network, *QUICK)
    folder = project / run_folder(printed)
    assert folder.parent.name == name
    assert f"{name} on regression" in printed
    record = json.loads((folder / "record.json").read_text())
    assert (record["loss"], record["choices"]["model"]) == (name, "Net")
    saved = yaml.safe_load((folder / "config.yaml").read_text())["loss"]
    assert {key: value for key, value in saved.items() if key != "_target_"} == options


def test_a_config_folder_that_is_not_there_is_refused(losslab, project):
    printed = losslab(project, "loss=mse", "--config-dir", "nowhere", code=2)
    assert printed == "error: config folder nowhere: the folder does not exist\n"


def test_a_config_with_the_name_of_one_of_losslabs_is_refused(losslab, project):
    (project / "conf" / "loss" / "my_loss.yaml").rename(project / "conf" / "loss" / "mse.yaml")
    printed = losslab(project, "loss=mse", "--config-dir", "conf", code=2)
    assert "mse.yaml: losslab has a loss=mse: rename the file" in printed
    assert not (project / "logs").exists()


def test_the_environment_of_others_stays(monkeypatch):
    from losslab.config import user_code

    monkeypatch.setattr(os, "environ", dict(os.environ) | {user_code.CONFIG_DIRS: "/old"})
    assert user_code.use(["loss=mse"]) == ["loss=mse"]
    assert user_code.config_dirs() == []


def test_data_without_a_config_gets_the_seed(losslab, project):
    (project / "my_data.py").write_text(
        "import torch\n"
        "from losslab.data.base import InMemoryData, Raw\n\n"
        "class Blobs(InMemoryData):\n"
        "    def load(self):\n"
        "        rng = torch.Generator().manual_seed(self.data_seed)\n"
        "        targets = torch.arange(100) % 2\n"
        "        return Raw(targets[:, None] + torch.randn(100, 2, generator=rng), targets)\n"
    )
    line = ["-m", "loss=cross_entropy", "seed=0,1", "data._target_=my_data.Blobs", "model=mlp"]
    losslab(project, *line, *QUICK, "hydra/launcher=basic")
    records = [json.loads(path.read_text()) for path in project.rglob("record.json")]
    assert len({record["hashes"]["data"] for record in records}) == 2
