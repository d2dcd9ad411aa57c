"""Whole commands, run as a user runs them."""

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
def command(tmp_path):
    """Runs ``python train.py ...`` (or another script) with its logs in a folder of its own."""

    def run(*arguments: str, script: str = "train.py", timeout: float = 300, **environment: str):
        logs = tmp_path / "logs"
        given = list(arguments)
        if script == "train.py" and "--help" not in given:
            given.append(f"paths.log_dir={logs}")
        process = subprocess.run(
            [sys.executable, str(ROOT / script), *given],
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "120"} | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Outcome(process.returncode, process.stdout, process.stderr, logs)

    return run
