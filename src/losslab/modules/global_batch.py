"""One batch of several processes: what each rank computes of it, put together.

All ranks compute the same objective, that of the global batch. :class:`DistributedDataParallel`
averages the ranks' gradients, so gradients that belong to a rank's own samples are multiplied by
the number of ranks on their way back; their average is then the sum that one process would have.
What all ranks compute alike, such as a regularizer, needs no factor.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def ranks() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class GlobalBatch:
    """Batch of which this rank has a part; the parts may differ in size.

    The i-th sample of a rank follows the i-th samples of lower ranks, as
    :class:`~losslab.data.batches.Batches` divides them.

    Args:
        own: this rank's samples, along the first dimension.
    """

    def __init__(self, own: Tensor) -> None:
        self.own_count = len(own)
        self._device = own.device

    @cached_property
    def sizes(self) -> Tensor:
        """Number of samples of each rank, (ranks,)."""
        size = torch.tensor([self.own_count], device=self._device)
        sizes = [torch.empty_like(size) for _ in range(ranks())]
        dist.all_gather(sizes, size)
        return torch.cat(sizes)

    @cached_property
    def count(self) -> int:
        """Number of samples of all ranks."""
        if ranks() == 1:
            return self.own_count
        return int(self.sizes.sum())

    @cached_property
    def filled(self) -> Tensor:
        """Whether rank r has an i-th sample, (largest part, ranks)."""
        row = torch.arange(int(self.sizes.max()), device=self._device)
        return row.unsqueeze(1) < self.sizes

    @cached_property
    def rows(self) -> Tensor:
        """Where in the batch this rank's samples are."""
        place = self.filled.flatten().cumsum(0).view_as(self.filled) - 1
        return place[: self.own_count, dist.get_rank()]

    def gather(self, own: Tensor) -> Tensor:
        """Gather the parts of a tensor from all ranks, in the batch's order, with gradients."""
        if ranks() == 1:
            return own
        gathered: Tensor = _Gather.apply(own, self)
        return gathered

    def part(self, whole: Tensor) -> Tensor:
        """Select this rank's samples of a tensor of the whole batch."""
        return whole if ranks() == 1 else whole[self.rows.to(whole.device)]


def sum_over_ranks(own: Tensor) -> Tensor:
    """Sum a tensor over all ranks, with gradients."""
    if ranks() == 1:
        return own
    total: Tensor = _Sum.apply(own)
    return total


def average_over_ranks(values: Iterable[Tensor]) -> None:
    """Average tensors over all ranks, in place."""
    count, kept = ranks(), list(values)
    if count == 1 or not kept:
        return
    flat = torch.cat([value.flatten() for value in kept])
    dist.all_reduce(flat)
    for value, average in zip(kept, flat.split([each.numel() for each in kept]), strict=True):
        value.copy_(average.view_as(value) / count)


def gradients_of(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return the gradients of those parameters that have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, batch: GlobalBatch) -> Tensor:
        ctx.rows = batch.rows
        padded = own.new_zeros((len(batch.filled), *own.shape[1:]))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(ranks())]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1)[batch.filled]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ranks() * gradient[ctx.rows], None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        ctx.ranks = ranks()
        total = own.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return ctx.ranks * gradient  # type: ignore[no-any-return]
