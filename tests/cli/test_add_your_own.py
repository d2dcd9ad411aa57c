"""docs/add-your-own.md does what it says: its own text is written down and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILES = re.compile(r"```(?:python|yaml)\n# ((?:src|conf|tests)/\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the page's files in it."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("conf", "src", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    written = FILES.findall((ROOT / "docs" / "add-your-own.md").read_text())
    assert len(written) == 11
    for path, text in written:
        with (folder / path).open("a") as file:  # the reference goes below those that are there
            file.write(text)
    return folder


def run(project, *arguments):
    environment = os.environ | {"PYTHONPATH": str(project / "src")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["loss=log_cosh"],
        ["loss=multi_margin"],
        ["data=moons"],
        ["loss=focal", "model=wide"],
    ],
    ids=lambda arguments: arguments[-1],
)
def test_the_pages_commands(project, arguments):
    outcome = run(project, "train.py", *arguments, "trainer.max_epochs=2", "callbacks=quiet")
    assert outcome.returncode == 0, outcome.stderr
    assert "best epoch" in outcome.stdout


def test_the_suite_takes_the_pages_loss(project):
    outcome = run(
        project, "-m", "pytest", "-q", "tests/losses/test_conformance.py", "--loss", "log_cosh"
    )
    assert outcome.returncode == 0, outcome.stdout
    assert "passed" in outcome.stdout
