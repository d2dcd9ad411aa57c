"""Sums of element-wise losses over large tensors of the CPU, in one pass forward and one back.

Written with autograd, such a loss walks through memory once an operation, forward and back, and
keeps what each operation needs. Here the sums and their slope are formulas of their own: a
compiled loop where there is much to do and a compiler, else block by block within the cache.
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

# elements below which autograd's own operations are as fast
FUSE_FROM = 2**11
# elements from which on the formulas are compiled: seconds once, milliseconds a call
COMPILE_FROM = 2**21
# elements of a block a thread: its dozen temporaries stay near the core, its calls cost little
BLOCK = 2**17

Fast = Callable[..., tuple[Tensor | None, Tensor]]


class Formula(NamedTuple):
    """K sums over each row of logits ``(R, P)``, written twice."""

    elements: Callable[..., tuple[Tensor, ...]]
    """The definition: from ``(*options, logits, *constants)`` the elements of each sum, in
    operations that autograd may differentiate as often as asked."""
    fast: Fast
    """Sums ``(R, K)`` and what is kept of the slope, ``(R, P)`` in the dtype of the logits, from
    ``(None, *options, logits, *constants)``. For one sum that is the slope itself."""
    pull: Fast | None = None
    """``None`` and the slope of the weighted sums, from weights ``(R, K)`` and
    ``(weights, *options, kept, logits, *constants)``."""


def row_sums(
    formula: Formula,
    rows: int,
    logits: Tensor,
    *constants: Tensor,
    options: tuple[float, ...] = (),
) -> Tensor:
    """The sums of each row: ``(R, K)``, float32 at least.

    Fused are the sums and their first derivative by the logits. Derivatives by the constants, of
    second order and under ``torch.func`` go by the definition.

    Args:
        formula: of the sums.
        rows: R, into which all elements are divided in their order.
        logits: any shape.
        constants: of the shape of the logits, or numbers without dimension.
        options: numbers that the formula takes.
    """
    small = logits.numel() < FUSE_FROM or logits.device.type != "cpu"
    if small or torch.compiler.is_compiling():  # a compiler fuses the definition by itself
        return _by_definition(formula, rows, options, logits, *constants)
    sums: Tensor = _RowSums.apply(formula, rows, options, logits, *constants)[0]
    return sums


def is_compiled(logits: Tensor) -> bool:
    """Whether the sums of these logits go through a compiled formula."""
    large = logits.numel() >= COMPILE_FROM and logits.device.type == "cpu"
    return large and not torch.compiler.is_compiling() and has_compiler()


class _RowSums(torch.autograd.Function):
    """The sums, and what is kept of their slope."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
        formula, rows, options, logits, *constants = inputs
        sums, kept = _run(formula.fast, None, options, *_in_rows(rows, logits.detach(), *constants))
        assert sums is not None
        return sums, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.formula, ctx.rows, ctx.options, *tensors = inputs
        ctx.save_for_backward(output[1], *tensors)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, weights: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        kept, *tensors = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        if weights is None:
            return None, None, None, *(None for _ in needed)
        if torch.is_grad_enabled() or any(needed[1:]):  # a second derivative, or by a constant
            return None, None, None, *_pull_back(ctx, tensors, needed, weights)
        pull = ctx.formula.pull
        if pull is None:
            grad = torch.mul(kept, weights, out=torch.empty_like(kept))
        else:
            grad = _run(pull, weights, ctx.options, kept, *_in_rows(ctx.rows, *tensors))[1]
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


# torch reads it at every call otherwise, which takes as long as the loss of a small batch
_RowSums.forward.__signature__ = inspect.signature(_RowSums.forward)  # type: ignore[attr-defined]


def _in_rows(rows: int, *tensors: Tensor) -> list[Tensor]:
    """The tensors as ``(R, P)``; numbers as they are."""
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
    """The gradients of the needed tensors, by the definition and differentiable themselves."""
    places = [place for place, is_needed in enumerate(needed) if is_needed]

    def of_needed(*leaves: Tensor) -> Tensor:
        given = dict(zip(places, leaves, strict=True))
        all_of_them = (given.get(place, tensor) for place, tensor in enumerate(tensors))
        return _by_definition(ctx.formula, ctx.rows, ctx.options, *all_of_them)

    pull = torch.func.vjp(of_needed, *(tensors[place] for place in places))[1]
    found = dict(zip(places, pull(weights), strict=True))
    return [found.get(place) for place in range(len(tensors))]


def _run(
    function: Fast, weights: Tensor | None, options: tuple[float, ...], *tensors: Tensor
) -> tuple[Tensor | None, Tensor]:
    """A fast formula on all rows: compiled if that pays and works, else by blocks."""
    if is_compiled(tensors[0]) and function not in _uncompiled:
        try:
            sums, slope = _compiled(function)(weights, *options, *tensors)
            return sums, slope
        except Exception as error:  # a compiler may fail in any way
            _uncompiled.add(function)
            log.warning("large batches go uncompiled through %s: %s", function.__name__, error)
    return _by_blocks(function, weights, options, *tensors)


def _by_blocks(
    function: Fast, weights: Tensor | None, options: tuple[float, ...], *tensors: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Some rows at a time, or a part of one."""
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
            place = some, slice(left, left + block)
            block_sums, slopes[place] = function(
                None if weights is None else weights[some],
                *options,
                *(tensor[place] if tensor.dim() else tensor for tensor in tensors),
            )
            if block_sums is not None:
                parts.append(block_sums)
        if parts:
            sums.append(torch.stack(parts).sum(dim=0))
    return torch.cat(sums) if sums else None, slopes


# Until a process has run a kernel such as this one, torch's log1p and log-sigmoid take 9 times as
# long (torch 2.14 with AVX-512 on an AMD EPYC; what that one changes is not known).
torch.full((64,), 0.5).atanh()

_uncompiled: set[Fast] = set()


@cache
def has_compiler() -> bool:
    """Whether torch finds a C++ compiler to hand loops to."""
    return bool(shutil.which(os.environ.get("CXX", "g++")))


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    log.info("compiling %s for large batches", function.__name__)
    return torch.compile(function, dynamic=True, fullgraph=True)
