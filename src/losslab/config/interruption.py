"""Interruption of commands by signals, and of processes whose parent has died."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

INTERRUPTED = 130
"""Exit status of an interrupted command: 128 plus the number of the signal, as in a shell."""

POLL_SECONDS = 0.5
"""Time between two looks whether the parent lives."""
GRACE_SECONDS = 20.0
"""Time in which an interrupted process records the interruption before it is ended."""


TERMINATING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
"""Signals by which a system or an engine ends a process, often with a warning ahead of time."""


class Terminated(KeyboardInterrupt):
    """Interruption by one of :data:`TERMINATING`."""

    exit_code = 143


@contextmanager
def terminations_interrupt() -> Iterator[None]:
    """Let SIGTERM, SIGUSR1 and SIGUSR2 interrupt the block as SIGINT does; the first one counts."""
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *TERMINATING)}
    try:
        for number in TERMINATING:
            signal.signal(number, _interrupt_once)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def interrupt_once() -> None:
    """Let SIGINT and :data:`TERMINATING` interrupt this process; the first one counts.

    A terminal or an engine sends them to all processes of a command, and the main process sends
    another one, which must not interrupt the others while they save.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *TERMINATING):
            signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: Any) -> NoReturn:
    for each in (signal.SIGINT, *TERMINATING):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back SIGINT and :data:`TERMINATING` until the end of the block, which must be short.

    The start of a process is one: while it is forked, Python calls hooks of ``logging`` and other
    modules, and ignores what they raise, so that an interruption would be lost.
    """
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    caught: list[int] = []
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, *TERMINATING)}
    held = {each: handler for each, handler in before.items() if handler is not None}
    try:
        for each in held:
            signal.signal(each, lambda number, _: caught.append(number))
        yield
    finally:
        for each, handler in held.items():
            signal.signal(each, handler)
        for number in caught:  # the first that is not ignored interrupts
            signal.raise_signal(number)


def interruption(error: BaseException) -> KeyboardInterrupt:
    """Return the interruption behind an exception: Lightning exits when it is interrupted."""
    for each in (error, error.__context__):
        if isinstance(each, KeyboardInterrupt):
            return each
    return KeyboardInterrupt()


def end_with_parent(parent: int) -> None:
    """Interrupt this process once its parent is gone, and end it if that takes long.

    The parent is looked up from time to time: a pipe from it stays open in processes that were
    forked later, and Linux's signal for its death is sent when the thread ends that started this
    process.

    Args:
        parent: pid of the process that started this one, itself or through others, on this host.
    """
    import psutil  # noqa: PLC0415 (commands without processes do not need it)

    watched = any(thread.name == _WATCH for thread in threading.enumerate())
    if parent == os.getpid() or watched:
        return
    try:
        process = psutil.Process(parent)
    except psutil.NoSuchProcess:  # it was killed before this process was ready
        os._exit(INTERRUPTED)
    threading.Thread(target=_watch, args=(process,), name=_WATCH, daemon=True).start()


_WATCH = "losslab-parent"
_orphaned = threading.Event()


def is_orphan() -> bool:
    """Return whether :func:`end_with_parent` has found that the parent is gone."""
    return _orphaned.is_set()


def _watch(parent: Any) -> None:
    while _lives(parent):
        time.sleep(POLL_SECONDS)
    _orphaned.set()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os._exit(INTERRUPTED)


def _lives(process: Any) -> bool:
    import psutil  # noqa: PLC0415

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
