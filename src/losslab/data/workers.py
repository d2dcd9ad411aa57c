"""Worker processes that read samples, and return them in the order in which they were asked for."""

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import DataLoader

from losslab.config.errors import described

MOST_WORKERS = 8
"""Maximum number of processes that are started without being asked for."""


def number_of_workers(asked: int | Literal["auto"]) -> int:
    """Return the number of worker processes; ``"auto"`` is one per core of this process."""
    if asked != "auto":
        return asked
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(MOST_WORKERS, cores)


class Workers:
    """Processes that call a function on one request after another.

    They are forked where that is possible, so that they share the memory of this process, and a
    function need not be picklable. Its errors are raised here, as a ``ValueError`` in one line.

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
        self._loader: Any = None

    def map(self, requests: Iterable[Any]) -> Iterator[Any]:
        """Iterate over the results of the requests, in their order, and work ahead meanwhile."""
        if self.number == 0:
            yield from map(self.function, requests)
            return
        self._requests.current = requests
        with warnings.catch_warnings(action="ignore"):  # about more workers than cores
            if self._loader is None:
                self._loader = self._started()
            results = iter(self._loader)
        try:
            for result in results:
                if isinstance(result, _Failure):
                    raise ValueError(result.message)
                yield result
        finally:
            del results
            if not self.keep:
                self.close()

    def close(self) -> None:
        """End the processes."""
        self._loader = None  # its iterator ends them

    def _started(self) -> Any:
        start = "fork" if sys.platform == "linux" else "spawn"
        return DataLoader(
            _Calls(self.function),  # type: ignore[arg-type]
            batch_sampler=self._requests,
            num_workers=self.number,
            collate_fn=_unchanged,
            multiprocessing_context=multiprocessing.get_context(start),
            worker_init_fn=_leave_signals,
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


def _leave_signals(worker: int) -> None:
    """Leave interruptions to the main process, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
