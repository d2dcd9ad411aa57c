"""The files and commands of docs/add-your-own.md and README.md, run as written elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILES = re.compile(r"```(?:python|yaml)\n# ((?:conf|tests)/\S+|my_\w+\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def files():
    """Return the text of each file that the page shows."""
    written = dict(FILES.findall((ROOT / "docs" / "add-your-own.md").read_text()))
    assert len(written) == 12
    return written


@pytest.fixture(scope="module")
def project(tmp_path_factory, files):
    """Return a user's folder with the page's files in it."""
    folder = tmp_path_factory.mktemp("my_project")
    write(folder, {path: text for path, text in files.items() if not path.startswith("tests/")})
    return folder


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["loss=log_cosh", "--config-dir=conf"],
        ["loss=multi_margin", "--config-dir=conf"],
        ["data=moons", "data.label_noise=0.2", "--config-dir=conf"],
        ["loss=focal", "model=wide", "--config-dir=conf"],
        ["data=regression", "loss._target_=torch.nn.functional.l1_loss"],
        ["data=regression", "loss._target_=my_losses.LogCoshLoss", "loss.reduction=sum"],
    ],
    ids=lambda arguments: arguments[-2],
)
def test_the_pages_commands(warm, project, arguments):
    quick = ("trainer.max_epochs=2", "callbacks=quiet")
    outcome = warm.run(["-m", "losslab", *arguments, *quick], project)
    assert outcome.returncode == 0, outcome.stderr
    assert "best epoch" in outcome.stdout


def test_the_readmes_loss(warm, tmp_path):
    write(tmp_path, dict(FILES.findall((ROOT / "README.md").read_text())))
    command = ["-m", "losslab", "-m", "loss=log_cosh,mse", "data.outliers=0.1", "seed=range(2)"]
    quick = ("trainer.max_epochs=2", "callbacks=quiet")
    outcome = warm.run([*command, *quick, "--config-dir", "conf"], tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "log_cosh vs mse" in outcome.stdout


def test_the_suite_takes_the_pages_loss(tmp_path, files):
    for name in ("conf", "src", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "src/losslab/losses/log_cosh.py").write_text(files["my_losses.py"])
    config = files["conf/loss/log_cosh.yaml"].replace("my_losses.", "losslab.losses.log_cosh.")
    (tmp_path / "conf/loss/log_cosh.yaml").write_text(config)
    with (tmp_path / "tests/losses/references.py").open("a") as file:
        file.write(files["tests/losses/references.py"])
    pytest_line = ["-m", "pytest", "-q", "tests/losses/test_conformance.py", "--loss", "log_cosh"]
    outcome = subprocess.run(
        [sys.executable, *pytest_line],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout
    assert "passed" in outcome.stdout
