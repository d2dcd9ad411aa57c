"""Worker processes that are interrupted, or die."""

import functools
import os
import signal
import threading

import pytest

from losslab.config.interruption import interruptions_deferred
from losslab.data.workers import LONGEST_LABEL, Workers, reads

NUMBER = 5
armed = {}
"""Hook that interrupts this process, and how often it is called before that."""


def _at(when):
    if when in armed:
        armed[when] -= 1
        if armed[when] < 0:
            armed.clear()
            os.kill(os.getpid(), signal.SIGINT)


os.register_at_fork(
    before=functools.partial(_at, "before"), after_in_parent=functools.partial(_at, "after")
)


@pytest.mark.parametrize("worker", range(NUMBER))
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interruption_while_workers_start_is_not_lost(when, worker):
    # Python ignores what its hooks of a fork raise, and forks of large processes take long
    armed[when] = worker
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with pytest.raises(KeyboardInterrupt):
            list(Workers(abs, NUMBER).map([1, 2]))
        assert not armed
    finally:
        armed.clear()
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@interruptions_deferred()
def interrupted_and_failing():
    signal.raise_signal(signal.SIGINT)
    raise ValueError("no")


def test_a_deferred_interruption_follows_an_error():
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted_and_failing()
    assert isinstance(caught.value.__context__, ValueError)


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
