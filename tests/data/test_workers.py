"""Worker processes that are interrupted, or die."""

import functools
import os
import signal
import threading

import pytest

from losslab.config.interruption import TERMINATING, terminations_interrupt
from losslab.data.workers import LONGEST_LABEL, Workers, reads

NUMBER = 5
SIGNALS = (signal.SIGINT, *TERMINATING)
armed = {}
"""Hook that interrupts this process, and how often it is called before that."""


def _at(when):
    if when in armed:
        armed[when] -= 1
        if armed[when] < 0:
            number = armed.pop("signal", signal.SIGINT)
            armed.clear()
            os.kill(os.getpid(), number)


os.register_at_fork(
    before=functools.partial(_at, "before"), after_in_parent=functools.partial(_at, "after")
)


@pytest.mark.parametrize("worker", range(NUMBER))
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interruption_while_workers_start_is_not_lost(when, worker):
    # Python ignores what its hooks of a fork raise, and forks of large processes take long
    armed[when] = worker
    handlers = list(map(signal.getsignal, SIGNALS))
    try:
        with pytest.raises(KeyboardInterrupt):
            list(Workers(abs, NUMBER).map([1, 2]))
        assert not armed
    finally:
        armed.clear()
    assert handlers == list(map(signal.getsignal, SIGNALS))


@pytest.mark.parametrize("number", TERMINATING)
def test_a_warning_of_an_engine_while_workers_start_is_not_lost(number):
    armed.update(after=0, signal=number)
    try:
        with terminations_interrupt(), pytest.raises(KeyboardInterrupt):
            list(Workers(abs, 1).map([1, 2]))
    finally:
        armed.clear()


@pytest.mark.parametrize("number", [each for each in SIGNALS if each != signal.SIGTERM])
def test_interruptions_are_left_to_the_main_process(number):
    workers = Workers(lambda wait: os.getpid(), 1, keep=True)
    with terminations_interrupt():
        [pid] = workers.map([None])
        os.kill(pid, number)
        assert list(workers.map([None] * 3)) == [pid] * 3
    workers.close()


def test_other_threads_may_start_workers():
    results = []
    thread = threading.Thread(target=lambda: results.extend(Workers(abs, 1).map([-1, -2])))
    thread.start()
    thread.join()
    assert results == [1, 2]


def exits():
    os._exit(3)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("die", "message"),
    [
        (exits, r"ended with exit status 3 while it read photos/5é+: data\.num_workers=0 reads w"),
        (killed, r"was killed by SIGKILL while it read photos/5é+: if memory is short, reduce da"),
    ],
)
def test_the_sample_at_which_a_worker_died_is_named(die, message):
    def read(number):
        reads(f"photos/{number}{'é' * LONGEST_LABEL}")
        if number == 5:
            die()
        return number

    workers, before = Workers(read, 2, keep=True), signal.getsignal(signal.SIGCHLD)
    with pytest.raises(ValueError, match=rf"^a worker process {message}"):
        list(workers.map(range(9)))
    assert signal.getsignal(signal.SIGCHLD) == before
    assert list(workers.map([1, 2])) == [1, 2]  # new ones
    workers.close()
