"""Sums of element-wise losses over large tensors of the CPU, in one pass forward and one back.

Written with autograd, such a loss walks through memory once an operation, forward and back, and
keeps what each operation needs. Here the sums and their slope are formulas of their own: a
compiled loop where there is much to do and a compiler, else block by block within the cache.
"""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

log = logging.getLogger(__name__)

# below, autograd's own operations are as fast
FUSE_FROM = 2**15
# elements from which on the formulas are compiled: seconds once, milliseconds a call
COMPILE_FROM = 2**21
# elements of a block a thread: its dozen temporaries fit into a core's cache
BLOCK = 2**14


class Formula(NamedTuple):
    """K sums over each row of logits ``(R, P)``, written twice."""

    elements: Callable[..., tuple[Tensor, ...]]
    """The definition: from ``(*options, logits, *constants)`` the elements of each sum, in
    operations that autograd may differentiate as often as asked."""
    fast: Callable[..., tuple[Tensor | None, Tensor | None]]
    """Sums ``(R, K)`` and slope, from ``(weights, *options, logits, *constants)``.

    Without weights the sums, and where K is 1 their derivative by the logits at once. With weights
    ``(R, K)`` of the sums the derivative alone. It has the dtype of the logits."""


def row_sums(
    formula: Formula, logits: Tensor, *constants: Tensor, options: tuple[float, ...] = ()
) -> Tensor:
    """The sums of each row: ``(R, K)``, float32 at least.

    Fused are the sums and their first derivative by the logits. Derivatives by the constants, of
    second order and under ``torch.func`` go by the definition.

    Args:
        formula: of the sums.
        logits: ``(R, P)``.
        constants: ``(R, P)`` as the formula takes them, or numbers without dimension.
        options: numbers that the formula takes.
    """
    small = logits.numel() < FUSE_FROM or logits.device.type != "cpu"
    if small or torch.compiler.is_compiling():  # a compiler fuses the definition by itself
        return _by_definition(formula, options, logits, *constants)
    sums: Tensor = _RowSums.apply(formula, options, logits, *constants)[0]
    return sums


class _RowSums(torch.autograd.Function):
    """The sums, and their slope where it was formed with them."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
        formula, options, logits, *constants = inputs
        sums, slope = _run(formula.fast, None, options, logits.detach(), *constants)
        assert sums is not None
        return sums, logits.new_empty(0) if slope is None else slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.formula, ctx.options, *tensors = inputs
        ctx.save_for_backward(output[1], *tensors)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, weights: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        slope, *tensors = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        if weights is None:
            return None, None, *(None for _ in needed)
        if torch.is_grad_enabled() or any(needed[1:]):  # a second derivative, or by a constant
            return None, None, *_pull_back(ctx.formula, ctx.options, tensors, needed, weights)
        grad = (
            torch.mul(slope, weights, out=torch.empty_like(slope))
            if slope.dim() == 2
            else _run(ctx.formula.fast, weights, ctx.options, *tensors)[1]
        )
        return None, None, grad, *(None for _ in needed[1:])

    @staticmethod
    def vmap(
        info: Any,  # noqa: ARG004
        in_dims: tuple[Any, ...],
        formula: Formula,
        options: tuple[float, ...],
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, None]]:
        def of_one(*tensors: Tensor) -> Tensor:
            return _by_definition(formula, options, *tensors)

        sums = torch.func.vmap(of_one, in_dims[2:])(*tensors)
        return (sums, sums.new_empty(0)), (0, None)


def _by_definition(
    formula: Formula, options: tuple[float, ...], logits: Tensor, *constants: Tensor
) -> Tensor:
    elements = formula.elements(*options, logits, *constants)
    return torch.stack([values.sum(dim=-1) for values in elements], dim=-1)


def _pull_back(
    formula: Formula,
    options: tuple[float, ...],
    tensors: Sequence[Tensor],
    needed: Sequence[bool],
    weights: Tensor,
) -> list[Tensor | None]:
    """The gradients of the needed tensors, by the definition and differentiable themselves."""
    places = [place for place, is_needed in enumerate(needed) if is_needed]

    def of_needed(*leaves: Tensor) -> Tensor:
        given = dict(zip(places, leaves, strict=True))
        return _by_definition(
            formula, options, *(given.get(place, tensor) for place, tensor in enumerate(tensors))
        )

    pull = torch.func.vjp(of_needed, *(tensors[place] for place in places))[1]
    found = dict(zip(places, pull(weights), strict=True))
    return [found.get(place) for place in range(len(tensors))]


def _run(
    function: Callable[..., tuple[Tensor | None, Tensor | None]],
    weights: Tensor | None,
    options: tuple[float, ...],
    *tensors: Tensor,
) -> tuple[Tensor | None, Tensor | None]:
    """A fast formula on all rows: compiled if that pays and works, else by blocks."""
    if tensors[0].numel() >= COMPILE_FROM and function not in _uncompiled and has_compiler():
        try:
            sums, slope = _compiled(function)(weights, *options, *tensors)
            return sums, slope
        except Exception as error:  # a compiler may fail in any way
            _uncompiled.add(function)
            log.warning("large batches go uncompiled through %s: %s", function.__name__, error)
    return _by_blocks(function, weights, options, *tensors)


def _by_blocks(
    function: Callable[..., tuple[Tensor | None, Tensor | None]],
    weights: Tensor | None,
    options: tuple[float, ...],
    *tensors: Tensor,
) -> tuple[Tensor | None, Tensor | None]:
    """Some rows at a time, or a part of one."""
    height, width = tensors[0].shape
    block = BLOCK * torch.get_num_threads()
    rows = max(1, block // width)
    slopes = torch.empty_like(tensors[0], memory_format=torch.contiguous_format)
    sums: list[Tensor] = []
    slope: Tensor | None = None
    for top in range(0, height, rows):
        some = slice(top, top + rows)
        parts = []
        for left in range(0, width, block):
            place = some, slice(left, left + block)
            block_sums, slope = function(
                None if weights is None else weights[some],
                *options,
                *(tensor[place] if tensor.dim() else tensor for tensor in tensors),
            )
            if block_sums is not None:
                parts.append(block_sums)
            if slope is not None:
                slopes[place] = slope
        if parts:
            sums.append(torch.stack(parts).sum(dim=0))
    return torch.cat(sums) if sums else None, None if slope is None else slopes


_uncompiled: set[Callable[..., Any]] = set()


@cache
def has_compiler() -> bool:
    """Whether torch finds a C++ compiler to hand loops to."""
    return bool(shutil.which(os.environ.get("CXX", "g++")))


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    log.info("compiling %s for large batches", function.__name__)
    return torch.compile(function, dynamic=True, fullgraph=True)
