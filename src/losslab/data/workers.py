"""Worker processes that read samples, and return them in the order in which they were asked for."""

import functools
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import DataLoader

from losslab.config.errors import described
from losslab.config.interruption import TERMINATING, uninterrupted
from losslab.runtime import cores

MOST_WORKERS = 8
"""Maximum number of processes that are started without being asked for."""
LONGEST_LABEL = 1024
"""Bytes that are kept of the label of what a process reads."""


def number_of_workers(asked: int | Literal["auto"]) -> int:
    """Return the number of worker processes; ``"auto"`` is one per core of this process."""
    if asked != "auto":
        return asked
    return min(MOST_WORKERS, cores())


class Workers:
    """Processes that call a function on one request after another.

    They are forked where that is possible, so that they share the memory of this process, and a
    function need not be picklable. Its errors are raised here, as a ``ValueError`` in one line, and
    so is the death of a process, with what it passed to :func:`reads`.

    Args:
        function: maps a request to a result of tensors, arrays and plain values.
        number: number of processes; 0 calls the function in this one.
        keep: whether they wait for another :meth:`map` when one is done, until :meth:`close`.

    Example:
        >>> list(Workers(abs, 0).map([-1, 2]))
        [1, 2]
    """

    def __init__(self, function: Callable[[Any], Any], number: int, *, keep: bool = False) -> None:
        self.function, self.number, self.keep = function, number, keep
        self._requests = _Requests()
        self._reading = _Reading(number)
        self._processes: set[BaseProcess] = set()
        self._loader: Any = None

    def map(self, requests: Iterable[Any]) -> Iterator[Any]:
        """Iterate over the results of the requests, in their order, and work ahead meanwhile."""
        if self.number == 0:
            yield from map(self.function, requests)
            return
        self._requests.current = requests
        results: Any = None
        try:
            results = self._results()
            for result in results:
                if isinstance(result, _Failure):
                    raise ValueError(result.message)
                yield result
        except RuntimeError as error:
            dead = [process for process in self._processes if process.exitcode is not None]
            if not dead:
                raise
            self.close()
            raise ValueError(self._reading.last_words(dead[0])) from error
        finally:
            del results
            if not self.keep:
                self.close()

    def close(self) -> None:
        """End the processes."""
        with uninterrupted():  # which would be ignored in the iterator's __del__
            self._loader = None  # its iterator ends them

    def _results(self) -> Any:
        """Return the iterator over results, after starting the processes if there are none."""
        if self._loader is not None:
            return iter(self._loader)
        others = set(multiprocessing.active_children())
        with (
            uninterrupted(),
            _kept_child_handler(),
            warnings.catch_warnings(action="ignore"),  # about more workers than cores
        ):
            self._loader = self._new_loader()
            results = iter(self._loader)
        self._processes = set(multiprocessing.active_children()) - others
        return results

    def _new_loader(self) -> Any:
        start = "fork" if sys.platform == "linux" else "spawn"
        return DataLoader(
            _Calls(self.function),  # type: ignore[arg-type]
            batch_sampler=self._requests,
            num_workers=self.number,
            collate_fn=_unchanged,
            multiprocessing_context=multiprocessing.get_context(start),
            worker_init_fn=functools.partial(_begin, self._reading),
            persistent_workers=self.keep,
            generator=torch.Generator(),  # the global one is not to draw
        )


class _Requests:
    """The requests of the current :meth:`Workers.map`."""

    current: Iterable[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.current)


class _Failure(NamedTuple):
    """Error of a worker; an exception itself would arrive with a traceback as its message."""

    message: str


class _Calls:
    """Dataset that calls a function on what a ``DataLoader`` takes for the indices of a batch."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __getitems__(self, request: Any) -> Any:
        try:
            return self.function(request)
        except Exception as error:  # the user's Dataset may raise anything
            return _Failure(described(error))

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError  # __getitems__ has precedence


def _unchanged(result: Any) -> Any:
    return result


class _Reading:
    """What each worker process reads, in memory that it shares with the main process."""

    def __init__(self, number: int) -> None:
        self._pids = multiprocessing.RawArray("q", number)
        self._labels = [multiprocessing.RawArray("c", LONGEST_LABEL) for _ in range(number)]

    def place(self, worker: int) -> Any:
        """Return where a worker, this process, is to write what it reads."""
        self._pids[worker] = os.getpid()
        return self._labels[worker]

    def last_words(self, process: BaseProcess) -> str:
        """Return how a process ended, what it read then, and what to do."""
        code, pids = process.exitcode or 0, list(self._pids)
        label = self._labels[pids.index(process.pid)].value if process.pid in pids else b""
        name = signal.Signals(-code).name if code < 0 else ""
        how = f"was killed by {name}" if name else f"ended with exit status {code}"
        when = f" while it read {label.decode(errors='replace')}" if label else ""
        return f"a worker process {how}{when}: {REMEDIES.get(name, REMEDIES[''])}"


REMEDIES = {
    "SIGKILL": "if memory is short, reduce data.num_workers or data.batch_size",
    "SIGBUS": "if shared memory (/dev/shm) is short, reduce data.num_workers or data.batch_size",
    "": "data.num_workers=0 reads without worker processes and shows what happens",
}
"""What to do after the death of a process, by the name of the signal."""

_place: Any = None
"""Where this process, if it is a worker, writes what it reads."""


def reads(label: str) -> None:
    """Tell the main process what this one, if it is a worker, reads next."""
    if _place is not None:
        _place.value = label.encode(errors="replace")[:LONGEST_LABEL]


def _begin(reading: _Reading, worker: int) -> None:
    """Leave interruptions to the main process, which ends this one, and tell it what is read."""
    global _place  # noqa: PLW0603 (of this process)
    for number in (signal.SIGINT, *TERMINATING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which it ends this one
    _place = reading.place(worker)


@contextmanager
def _kept_child_handler() -> Iterator[None]:
    """Undo that a ``DataLoader`` raises an error as soon as a process dies, whatever runs then.

    It raises one where its results are asked for, too.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if before is not None:  # which another language has set
            signal.signal(signal.SIGCHLD, before)
