"""SIGTERM interrupts a command as SIGINT does."""

import os
import signal
import subprocess

import pytest

from losslab.config.errors import cli_errors, resumable
from losslab.config.interruption import INTERRUPTED, Terminated, end_with_parent, interruption
from losslab.recording import recorded


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_the_exit_status(number, code, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, cli_errors(), resumable("go on"), recorded():
        os.kill(os.getpid(), number)
    assert ended.value.code == code
    assert capsys.readouterr().err == "interrupted; to continue: go on\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_interruption_is_found_behind_the_exit_of_lightning():
    exit_of_lightning = SystemExit(1)
    exit_of_lightning.__context__ = Terminated()
    assert interruption(exit_of_lightning) is exit_of_lightning.__context__
    assert type(interruption(SystemExit(1))) is KeyboardInterrupt


def test_a_process_ends_whose_parent_died_before_it_was_ready():
    parent = subprocess.Popen(["true"])
    parent.wait()
    child = os.fork()
    if child == 0:
        end_with_parent(parent.pid)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == INTERRUPTED
