"""SIGTERM interrupts a command as SIGINT does."""

import os
import signal

import pytest

from losslab.config.errors import cli_errors, resumable
from losslab.config.interruption import Terminated, interruption
from losslab.training import recorded


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
