"""Whole commands, run as a user runs them."""

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str
    logs: Path

    def records(self):
        """Every record below the log folder, by run folder."""
        return {
            path.parent: json.loads(path.read_text())
            for path in sorted(self.logs.rglob("record.json"))
        }

    def record(self):
        """The only record."""
        [record] = self.records().values()
        return record

    @property
    def run(self) -> Path:
        """The only run's folder."""
        [folder] = self.records()
        return folder


@pytest.fixture(scope="session")
def warm():
    """Runs commands in forks of one process that has its imports behind it; see warm.py."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("warm.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"

    def run(request):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(timeout=60)


@pytest.fixture
def command(command_in, tmp_path):
    """Runs ``python train.py ...`` (or another script) with its logs in a folder of its own.

    ``cold=True`` starts an interpreter of its own for it, as a user does; else it is a fork.
    """
    return functools.partial(command_in, tmp_path)


@pytest.fixture(scope="session")
def command_in(request):
    """The same in a folder that is given."""

    def run(
        folder: Path,
        *arguments: str,
        script: str = "train.py",
        timeout: float = 300,
        cold: bool = False,
        **environment: str,
    ):
        logs = folder / "logs"
        given = [str(ROOT / script), *arguments]
        own = any(argument.startswith("paths.log_dir=") for argument in arguments)
        if script == "train.py" and "--help" not in given and not own:
            given.append(f"paths.log_dir={logs}")
        out, err = folder / "out.txt", folder / "err.txt"
        seen = {"COLUMNS": "120"} | environment
        if cold:
            with out.open("w") as to_out, err.open("w") as to_err:
                code = subprocess.run(
                    [sys.executable, *given],
                    cwd=folder,
                    env=os.environ | seen,
                    stdout=to_out,
                    stderr=to_err,
                    timeout=timeout,
                    check=False,
                ).returncode
        else:
            code = request.getfixturevalue("warm")(
                {
                    "arguments": given,
                    "folder": str(folder),
                    "environment": seen,
                    "out": str(out),
                    "err": str(err),
                    "timeout": timeout,
                }
            )
        return Outcome(code, out.read_text(), err.read_text(), logs)

    return run
