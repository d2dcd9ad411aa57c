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


@pytest.fixture
def command(command_in, tmp_path):
    """Runs ``python train.py ...`` (or another script) with its logs in a folder of its own.

    ``cold=True`` starts an interpreter of its own for it, as a user does; else it is a fork.
    """
    return functools.partial(command_in, tmp_path)


@pytest.fixture(scope="session")
def command_in(warm):
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
        seen = os.environ | {"COLUMNS": "120"} | environment
        if cold:
            done = subprocess.run(
                [sys.executable, *given],
                cwd=folder,
                env=seen,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        else:
            done = warm.run(given, folder, seen, timeout)
        return Outcome(done.returncode, done.stdout, done.stderr, logs)

    return run
