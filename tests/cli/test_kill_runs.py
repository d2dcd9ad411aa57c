"""A short version of scripts/kill_runs.py."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from load_script import SCRIPTS, load_script

pytestmark = pytest.mark.slow


def test_a_killed_command_is_resumed_to_the_bit(tmp_path):
    line = [sys.executable, str(SCRIPTS / "kill_runs.py"), "--folder", str(tmp_path)]
    done = subprocess.run(
        [*line, "--moments", "1", "--cases", "regression"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal to the bit" in done.stdout


def test_a_killed_sweep_in_lockstep_is_resumed_to_the_bit(warm, tmp_path, monkeypatch, capsys):
    script, case = load_script("kill_runs"), "lockstep sweep"
    shorter = [each.replace("epochs=300", "epochs=100") for each in script.CASES[case]]

    def popen(line, cwd, stderr, **streams):
        return warm.start(line[1:], cwd, err=stderr.name)

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(Popen=popen, DEVNULL=None))
    monkeypatch.setitem(script.CASES, case, shorter)
    line = ["kill_runs.py", "--folder", str(tmp_path), "--moments", "1", "--cases", case]
    monkeypatch.setattr(sys, "argv", line)
    assert script.main() == 0, capsys.readouterr()
    assert "equal to the bit" in capsys.readouterr().out
