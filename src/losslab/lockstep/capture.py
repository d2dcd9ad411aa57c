"""Capture of computations as CUDA graphs, which launch all their kernels at once.

A training step of many small networks consists of a hundred kernels or more, each of which takes
longer to launch from Python than to run. :class:`Captured` calls a function normally the first time
it sees a shape of arguments, records its kernels the second time, and from then on copies the
arguments into the recorded memory and replays them. A recorded function must not synchronize with
the device; one that does is called normally, and the log says why.
"""

import logging
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from losslab.lockstep.passes import first_line

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Replay = Callable[[], None]
Recorder = Callable[[Callable[[], Any]], tuple[Replay, Any]]
"""Calls a function; returns a callable that repeats its operations in place, and its result."""

# calls before the recorded one, during which libraries choose kernels and allocate workspaces
WARM_UP = 3


class Captured:
    """Function that is recorded per shape of its arguments and replayed from then on.

    A shape that occurs once is only called. The second time it is recorded, which takes as long as
    a few calls.

    Args:
        function: function of tensors and hashable values, without side effects. Anything else that
            it reads must stay at the same place in memory.
        record: recorder of the device.

    Attributes:
        recordings: recordings by shape of the arguments.
        refused: reason why a call could not be recorded, after which no other is tried.
    """

    def __init__(self, function: Callable[..., Any], record: Recorder) -> None:
        self._function, self._record = function, record
        self._seen: set[Hashable] = set()
        self.recordings: dict[Hashable, _Recording] = {}
        self.refused: str | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Return the function's result, which the next call may overwrite."""
        key = tuple(map(_shape, arguments))
        if key in self._seen and key not in self.recordings and self.refused is None:
            self._try_to_record(key, arguments)
        self._seen.add(key)
        recording = self.recordings.get(key)
        if recording is None:
            return self._function(*arguments)
        for place, value in zip(recording.places, _tensors(arguments), strict=True):
            place.copy_(value)
        recording.replay()
        return recording.result

    def _try_to_record(self, key: Hashable, arguments: Sequence[Any]) -> None:
        held = [value.clone() if isinstance(value, Tensor) else value for value in arguments]
        try:
            replay, result = self._record(partial(self._function, *held))
        except RuntimeError as error:
            self.refused = first_line(error)
            log.info(f"Steps are launched kernel by kernel because {self.refused}")
        else:
            self.recordings[key] = _Recording(_tensors(held), replay, result)


class _Recording(NamedTuple):
    places: list[Tensor]
    replay: Replay
    result: Any


def _tensors(arguments: Iterable[Any]) -> list[Tensor]:
    return [value for value in arguments if isinstance(value, Tensor)]


def _shape(value: Any) -> Hashable:
    return (value.shape, value.dtype) if isinstance(value, Tensor) else value


class CudaGraphs:
    """Recorder of CUDA graphs that share their memory, since no two of them run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()  # libraries keep one workspace per stream

    def __call__(self, function: Callable[[], Result]) -> tuple[Replay, Result]:
        """Record a call.

        Raises:
            RuntimeError: if the function synchronizes with the device, which a graph cannot do.
        """
        current, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        self._stream.wait_stream(current)
        # find synchronization before recording: a failed recording breaks torch's generators
        with torch.cuda.stream(self._stream), _no_waiting():
            for _ in range(WARM_UP):
                function()
        current.wait_stream(self._stream)
        # else a failed recording would leave its stream current
        with (
            torch.cuda.stream(current),
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream),
        ):
            result = function()
        return graph.replay, result


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Make operations that synchronize with the CUDA device raise."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(action="ignore"):  # warns that it may miss some
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


RECORDERS: dict[str, Callable[[], Recorder]] = {"cuda": CudaGraphs}
"""Recorder by type of device; on other devices each operation is launched separately."""


def captured(function: Callable[..., Any], device: torch.device | None) -> Callable[..., Any]:
    """Wrap the function in :class:`Captured` if the device can record."""
    make = None if device is None else RECORDERS.get(device.type)
    return function if make is None else Captured(function, make())
