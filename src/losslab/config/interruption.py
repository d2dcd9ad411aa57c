"""Interruption of commands: SIGTERM, and processes whose parent has died."""

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
GRACE_SECONDS = 5.0
"""Time in which an interrupted process records the interruption before it is ended."""


class Terminated(KeyboardInterrupt):
    """Interruption by SIGTERM."""

    exit_code = 143


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM interrupt the block as SIGINT does; the first one counts."""
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def interruptions_deferred() -> Iterator[None]:
    """Let signals that interrupt act after the block, as around the start of a process.

    While a process is forked, Python calls hooks of ``logging`` and other modules, and ignores what
    they raise: an interruption that arrives meanwhile would be lost.
    """
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    raising = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in raising:
            signal.signal(number, lambda number, frame: received.append(number))
        yield
    finally:
        for number, handler in raising.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def interrupt_once() -> None:
    """Let SIGINT and SIGTERM interrupt this process; the first of each counts.

    A terminal sends SIGINT to all processes of a command, and its main process sends another one.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: Any) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


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
