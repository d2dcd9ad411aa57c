"""Random numbers of a network's forward pass, such as dropout, for several processes.

All ranks seed their generators alike, draw for the global batch, and keep the numbers of their own
samples, which are thus those that one process draws. Draws are found below autograd, where each
is the call of an operator.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.modules.global_batch import GlobalBatch

aten = torch.ops.aten
FILL = {
    aten.bernoulli_.float,
    aten.exponential_.default,
    aten.normal_.default,
    aten.uniform_.default,
}
"""Operators that fill their first argument."""
OF_SIZE = {aten.rand.default, aten.randn.default}
LIKE = {aten.bernoulli.p, aten.rand_like.default, aten.randn_like.default}


class SharedDraws(TorchDispatchMode):
    """Context in which what is drawn for this rank's samples is part of what all ranks draw.

    The samples are along the first dimension, alone or folded with something else, such as pixels,
    or along the second one of three, as in recurrent networks. Numbers of another shape are drawn
    once for the whole batch.

    Args:
        batch: the global batch.

    Attributes:
        used: whether anything was drawn.
    """

    def __init__(self, batch: GlobalBatch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.used = False
        self._batch = batch

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call an operator; one that draws, for the global batch."""
        kwargs = kwargs or {}
        draws = func in FILL or func in OF_SIZE or func in LIKE
        if not draws and func is not aten.native_dropout.default:
            return func(*args, **kwargs)
        self.used = True
        first, *others = args
        shape = list(first) if func in OF_SIZE else list(first.shape)
        dim = self._dimension(shape)
        if dim is None:
            return func(*args, **kwargs)
        whole = self._whole(shape, dim)
        if func in OF_SIZE:
            return self._own(func(whole, *others, **kwargs), dim)
        drawn = func(_empty_like(first, whole), *others, **kwargs)
        if func in FILL:
            return first.copy_(self._own(drawn, dim))
        if func in LIKE:
            return self._own(drawn, dim)
        kept, (probability, _) = self._own(drawn[1], dim), others  # of dropout on GPUs
        return first * kept / (1 - probability) if probability < 1 else first * kept, kept

    def _dimension(self, shape: list[int]) -> int | None:
        """Return the dimension along which the samples are, ``None`` if there is none."""
        own = self._batch.own_count
        if not shape or not own:
            return None
        if len(shape) == 3 and shape[1] == own != shape[0]:
            return 1
        return 0 if shape[0] % own == 0 else None

    def _whole(self, shape: list[int], dim: int) -> list[int]:
        """Return the shape for the global batch."""
        size = shape[dim] // self._batch.own_count * self._batch.count
        return [*shape[:dim], size, *shape[dim + 1 :]]

    def _own(self, whole: Tensor, dim: int) -> Tensor:
        """Select what belongs to this rank's samples."""
        parts = whole.unflatten(dim, (self._batch.count, -1))
        own: Tensor = parts.index_select(dim, self._batch.rows).flatten(dim, dim + 1)
        return own


def _empty_like(values: Tensor, shape: list[int]) -> Tensor:
    """Return an empty tensor of another shape, with the dimensions in the same order in memory."""
    # a dimension of size 1 with the stride of another one is inside of it
    places = zip(values.stride(), values.shape, strict=True)
    keys = [(-stride, size == 1) for stride, size in places]
    order = sorted(range(values.dim()), key=keys.__getitem__)
    empty = values.new_empty([shape[dim] for dim in order])
    return empty.permute([order.index(dim) for dim in range(values.dim())])
