"""Fused sums of element-wise losses over large CPU tensors, in one pass forward and one backward.

With autograd, such a loss passes over memory once per operation, forward and backward, and stores
intermediate results. Here the forward pass computes both the sums and their derivative (the slope)
from closed formulas: in a compiled loop for large tensors if a C++ compiler is found, otherwise in
blocks that fit the cache. Every formula is also written as plain tensor operations, its definition,
which serves small tensors, other devices, second derivatives and ``torch.func``.
"""

import inspect
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

log = logging.getLogger(__name__)

# number of elements below which plain autograd is as fast
FUSE_FROM = 2**11
# number of elements from which compiling pays: it takes seconds once and saves milliseconds a call
COMPILE_FROM = 2**21
# elements per thread and block: small enough for the cache, large enough to amortise the calls
BLOCK = 2**17

Fast = Callable[..., tuple[Tensor | None, Tensor]]


class Formula(NamedTuple):
    """K sums over each row of logits ``(R, P)``, as a definition and as a fast version."""

    elements: Callable[..., tuple[Tensor, ...]]
    """The definition: maps ``(*options, logits, *constants)`` to the elements of each sum, by
    operations that autograd can differentiate any number of times."""
    fast: Fast
    """Maps ``(None, *options, logits, *constants)`` to the sums ``(R, K)`` and the tensor saved for
    the backward pass, ``(R, P)`` in the dtype of the logits: for one sum, the slope itself."""
    pull: Fast | None = None
    """Maps ``(weights, *options, saved, logits, *constants)``, with weights ``(R, K)``, to ``None``
    and the slope of the weighted sums; ``None`` for one sum."""


def row_sums(
    formula: Formula,
    rows: int,
    logits: Tensor,
    *constants: Tensor,
    options: tuple[float, ...] = (),
) -> Tensor:
    """Compute the sums of each row, ``(R, K)``, float32 at least.

    The sums and their first derivative by the logits are fused; derivatives by the constants,
    second derivatives and ``torch.func`` use the definition.

    Args:
        formula: formula of the sums.
        rows: R, the number of rows into which the elements are divided in their order.
        logits: any shape.
        constants: tensors of the shape of the logits, or zero-dimensional.
        options: numbers passed to the formula.
    """
    small = logits.numel() < FUSE_FROM or logits.device.type != "cpu"
    if small or torch.compiler.is_compiling():  # torch.compile fuses the definition
        return _by_definition(formula, rows, options, logits, *constants)
    sums: Tensor = _RowSums.apply(formula, rows, options, logits, *constants)[0]
    return sums


def is_compiled(logits: Tensor) -> bool:
    """Return whether the sums of these logits use a compiled formula."""
    large = logits.numel() >= COMPILE_FROM and logits.device.type == "cpu"
    return large and not torch.compiler.is_compiling() and has_compiler()


class _RowSums(torch.autograd.Function):
    """Row sums with a fused first derivative."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
        formula, rows, options, logits, *constants = inputs
        arguments = _in_rows(rows, logits.detach(), *constants)
        sums, saved = _run(formula.fast, None, options, *arguments)
        assert sums is not None
        return sums, saved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.formula, ctx.rows, ctx.options, *tensors = inputs
        ctx.save_for_backward(output[1], *tensors)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, weights: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        saved, *tensors = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        if weights is None:
            return None, None, None, *(None for _ in needed)
        if torch.is_grad_enabled() or any(needed[1:]):  # second derivatives, constants
            return None, None, None, *_pull_back(ctx, tensors, needed, weights)
        pull = ctx.formula.pull
        if pull is None:
            grad = torch.mul(saved, weights, out=torch.empty_like(saved))
        else:
            grad = _run(pull, weights, ctx.options, saved, *_in_rows(ctx.rows, *tensors))[1]
        return None, None, None, grad.view_as(tensors[0]), *(None for _ in needed[1:])

    @staticmethod
    def vmap(
        info: Any,  # noqa: ARG004
        in_dims: tuple[Any, ...],
        formula: Formula,
        rows: int,
        options: tuple[float, ...],
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, None]]:
        def of_one(*tensors: Tensor) -> Tensor:
            return _by_definition(formula, rows, options, *tensors)

        sums = torch.func.vmap(of_one, in_dims[3:])(*tensors)
        return (sums, sums.new_empty(0)), (0, None)


# otherwise torch inspects it at every call, which takes as long as the loss of a small batch
_RowSums.forward.__signature__ = inspect.signature(_RowSums.forward)  # type: ignore[attr-defined]


def _in_rows(rows: int, *tensors: Tensor) -> list[Tensor]:
    """Reshape the tensors to ``(R, P)``; keep zero-dimensional ones."""
    shape = rows, tensors[0].numel() // max(1, rows)
    return [tensor.reshape(shape) if tensor.dim() else tensor for tensor in tensors]


def _by_definition(
    formula: Formula, rows: int, options: tuple[float, ...], *tensors: Tensor
) -> Tensor:
    elements = formula.elements(*options, *_in_rows(rows, *tensors))
    return torch.stack([values.sum(dim=-1) for values in elements], dim=-1)


def _pull_back(
    ctx: Any, tensors: Sequence[Tensor], needed: Sequence[bool], weights: Tensor
) -> list[Tensor | None]:
    """Compute differentiable gradients of the needed tensors from the definition."""
    positions = [position for position, is_needed in enumerate(needed) if is_needed]

    def of_needed(*leaves: Tensor) -> Tensor:
        given = dict(zip(positions, leaves, strict=True))
        arguments = (given.get(position, tensor) for position, tensor in enumerate(tensors))
        return _by_definition(ctx.formula, ctx.rows, ctx.options, *arguments)

    pull = torch.func.vjp(of_needed, *(tensors[position] for position in positions))[1]
    gradients = dict(zip(positions, pull(weights), strict=True))
    return [gradients.get(position) for position in range(len(tensors))]


def _run(
    function: Fast, weights: Tensor | None, options: tuple[float, ...], *tensors: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Apply a fast formula to all rows, compiled if that pays and works, else in blocks."""
    if is_compiled(tensors[0]) and function not in _uncompiled:
        try:
            sums, slope = _compiled(function)(weights, *options, *tensors)
            return sums, slope
        except Exception as error:  # compilers fail in many ways
            _uncompiled.add(function)
            log.warning("compiling %s failed; running it uncompiled: %s", function.__name__, error)
    return _by_blocks(function, weights, options, *tensors)


def _by_blocks(
    function: Fast, weights: Tensor | None, options: tuple[float, ...], *tensors: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Apply a fast formula to blocks of some rows, or of a part of one row."""
    height, width = tensors[0].shape
    block = BLOCK * torch.get_num_threads()
    if height * width <= block:
        return function(weights, *options, *tensors)
    rows = max(1, block // width)
    slopes = torch.empty_like(tensors[0], memory_format=torch.contiguous_format)
    sums: list[Tensor] = []
    for top in range(0, height, rows):
        some = slice(top, top + rows)
        parts = []
        for left in range(0, width, block):
            part = some, slice(left, left + block)
            block_sums, slopes[part] = function(
                None if weights is None else weights[some],
                *options,
                *(tensor[part] if tensor.dim() else tensor for tensor in tensors),
            )
            if block_sums is not None:
                parts.append(block_sums)
        if parts:
            sums.append(torch.stack(parts).sum(dim=0))
    return torch.cat(sums) if sums else None, slopes


# Until a process has run a kernel such as this one, torch's log1p and log-sigmoid take 9 times as
# long (torch 2.14 with AVX-512 on an AMD EPYC; the cause is unknown).
torch.full((64,), 0.5).atanh()

_uncompiled: set[Fast] = set()


@cache
def has_compiler() -> bool:
    """Return whether torch would find a C++ compiler."""
    return bool(shutil.which(os.environ.get("CXX", "g++")))


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    log.info("compiling %s for large batches", function.__name__)
    return torch.compile(function, dynamic=True, fullgraph=True)
