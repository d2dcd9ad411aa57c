"""A computation that a GPU has recorded: replayed, all its kernels cost one launch."""

import logging
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from losslab.lockstep.stack import first_line

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Replay = Callable[[], None]
Recorder = Callable[[Callable[[], Any]], tuple[Replay, Any]]
"""Calls a function, and returns what repeats its operations in the same memory, and its result."""

# calls before the recorded one, in which libraries choose kernels and take their workspaces
WARM_UP = 3


class Captured:
    """A function that is recorded for each shape of its arguments, and replayed from then on.

    A step of many small networks is a hundred kernels or more, and to launch one from Python takes
    longer than it runs. A replay launches them all at once. What comes once is called, what comes
    again is recorded, which takes as long as some calls.

    Args:
        function: of tensors, and of values that can be hashed. It has no effect but its result,
            and whatever else it reads keeps its place in memory.
        record: how the device records.

    Attributes:
        recordings: by shape of the arguments.
        refused: why a call could not be recorded, once that is known; then no other is.
    """

    def __init__(self, function: Callable[..., Any], record: Recorder) -> None:
        self._function, self._record = function, record
        self._seen: set[Hashable] = set()
        self.recordings: dict[Hashable, _Recording] = {}
        self.refused: str | None = None

    def __call__(self, *arguments: Any) -> Any:
        """The function's result; the next call may overwrite it."""
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
            log.info(f"Steps are launched kernel by kernel, since {self.refused}")
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
    """Records CUDA graphs that share their memory, since no two of them run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()  # libraries keep a workspace a stream

    def __call__(self, function: Callable[[], Result]) -> tuple[Replay, Result]:
        """Record a call.

        Raises:
            RuntimeError: if the function waits for the device, which a graph cannot hold.
        """
        current, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        self._stream.wait_stream(current)
        # found here and not in the recording: one that fails leaves torch's generators unusable
        with torch.cuda.stream(self._stream), _no_waiting():
            for _ in range(WARM_UP):
                function()
        current.wait_stream(self._stream)
        # a recording that fails would stay on its stream
        with (
            torch.cuda.stream(current),
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream),
        ):
            result = function()
        return graph.replay, result


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Operations that wait for the CUDA device raise meanwhile."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(action="ignore"):  # that it may miss some
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


RECORDERS: dict[str, Callable[[], Recorder]] = {"cuda": CudaGraphs}
"""By type of device, what records on it; on others each operation is launched by itself."""


def captured(function: Callable[..., Any], device: torch.device | None) -> Callable[..., Any]:
    """The function, as a :class:`Captured` one where there is a device that can record."""
    make = None if device is None else RECORDERS.get(device.type)
    return function if make is None else Captured(function, make())
