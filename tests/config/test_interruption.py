"""SIGTERM, SIGUSR1 and SIGUSR2 interrupt a command as SIGINT does."""

import os
import signal
import subprocess

import pytest

from losslab.config.errors import cli_errors, resumable
from losslab.config.interruption import (
    INTERRUPTED,
    TERMINATING,
    Terminated,
    end_with_parent,
    interrupt_once,
    interruption,
    terminations_interrupt,
    uninterrupted,
)
from losslab.recording import recorded

CODES = dict.fromkeys(TERMINATING, 143) | {signal.SIGINT: 130}


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_a_signal_is_the_exit_status(number, code, capsys):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, cli_errors(), resumable("go on"), recorded():
        os.kill(os.getpid(), number)
    assert ended.value.code == code
    assert capsys.readouterr().err == "interrupted; to continue: go on\n"
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("first", CODES)
def test_only_the_first_signal_interrupts(first):
    child = os.fork()
    if child == 0:
        interrupt_once()
        try:
            os.kill(os.getpid(), first)
        except KeyboardInterrupt:
            for number in CODES:  # while it saves
                os.kill(os.getpid(), number)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_interruption_waits_until_the_epoch_of_all_runs_has_ended():
    ended = []

    def end_epoch():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        end_epoch()
    assert ended
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@uninterrupted()
def late(*numbers):
    for number in numbers:
        signal.raise_signal(number)
    raise ValueError("no")


def test_a_late_interruption_follows_an_error():
    with pytest.raises(KeyboardInterrupt) as caught:
        late(signal.SIGINT)
    assert isinstance(caught.value.__context__, ValueError)


def test_a_signal_that_is_ignored_does_not_hide_the_next_one():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does in the background
    try:
        with terminations_interrupt(), pytest.raises(Terminated):
            late(signal.SIGINT, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)


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
