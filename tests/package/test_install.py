"""``make install``, with an interpreter that stands in for Python and notes what pip is asked."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")

PYTHON = """#!/bin/sh
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && exit; fi
echo "$@" >> pip.txt
[ $(wc -l < pip.txt) -gt {failures} ]
"""


def install(folder: Path, failures: int) -> tuple[int, str, list[str]]:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = folder / "python"
    python.write_text(PYTHON.format(failures=failures))
    python.chmod(0o755)
    command = ["make", "install", "PYTHON=./python"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, (folder / "pip.txt").read_text().splitlines()


def test_it_says_how_large_it_is(tmp_path):
    code, out, asked = install(tmp_path, 0)
    assert code == 0
    assert "6.2 GB" in out
    assert [each.rpartition(" install ")[2] for each in asked] == [
        "--disable-pip-version-check -r requirements.lock",
        "--disable-pip-version-check --no-deps -e .",
    ]


@pytest.mark.parametrize(("failures", "code", "asked"), [(2, 0, 4), (3, 2, 3)])
def test_a_broken_download_is_tried_three_times(failures, code, asked, tmp_path):
    found, _, lines = install(tmp_path, failures)
    assert (found, len(lines)) == (code, asked)
