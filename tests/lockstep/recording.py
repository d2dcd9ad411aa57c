"""What a CUDA graph does, on the CPU: operations recorded once and repeated in the same memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
}


class Operations(TorchDispatchMode):
    """Writes down each operation; one that a GPU's host would have to wait for raises."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable, tuple, dict, list[Tensor]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITING:
            raise RuntimeError(f"{func} waits for the device")
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, _tensors(result)))
        return result

    def replay(self) -> None:
        """Do it all again, each result where it was."""
        for func, args, kwargs, places in self.calls:
            again = _tensors(func(*args, **kwargs))
            # what an operation wrote into, and views, are in their place already
            if not any(result.alias_info for result in func._schema.returns):
                for place, value in zip(places, again, strict=True):
                    place.copy_(value)


def record_operations(function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """As :class:`losslab.lockstep.capture.CudaGraphs` records."""
    with Operations() as operations:
        result = function()

    def replay() -> None:
        with torch.no_grad():
            operations.replay()

    return replay, result


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
