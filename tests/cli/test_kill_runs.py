"""A short version of scripts/kill_runs.py."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_runs.py"


@pytest.mark.slow
@pytest.mark.parametrize("case", ["regression", "lockstep sweep"])
def test_a_killed_command_is_resumed_to_the_bit(tmp_path, case):
    line = [sys.executable, str(SCRIPT), "--folder", str(tmp_path), "--moments", "1"]
    done = subprocess.run(
        [*line, "--cases", case], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal to the bit" in done.stdout
