"""A short version of scripts/kill_runs.py."""

import sys
from types import SimpleNamespace

import pytest

from load_script import load_script

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", ["regression", "lockstep sweep"])
def test_a_killed_command_is_resumed_to_the_bit(case, warm, tmp_path, monkeypatch, capsys):
    script = load_script("kill_runs")
    shorter = [each.replace("epochs=300", "epochs=100") for each in script.CASES[case]]

    def popen(line, cwd, stderr, **streams):
        return warm.start(line[1:], cwd, err=stderr.name)

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(Popen=popen, DEVNULL=None))
    monkeypatch.setitem(script.CASES, case, shorter)
    line = ["kill_runs.py", "--folder", str(tmp_path), "--moments", "1", "--cases", case]
    monkeypatch.setattr(sys, "argv", line)
    assert script.main() == 0, capsys.readouterr()
    assert "equal to the bit" in capsys.readouterr().out
