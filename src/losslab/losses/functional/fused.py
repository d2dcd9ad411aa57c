"""Losses in one compiled pass over memory, together with their gradient.

With autograd, a loss passes over memory once per operation, forward and backward, stores
intermediate results, and takes microseconds per operation even for a small batch. Here one autograd
function computes the reduced value and its gradient by a compiled kernel (``kernels.cpp``); going
backward scales the gradient. Each loss is also written as plain tensor operations, its definition,
which serves other devices and dtypes, second derivatives, ``torch.func``, ``torch.compile``, and
machines without a C++ compiler.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from losslab.losses.functional.kernels import Overlap, Pixels, compiled, library, pointers

Computed = tuple[tuple[Tensor, ...], Tensor | None]
"""Values of a kernel, and the gradient of the first: bfloat16 if the logits are, else float32."""


class Kernel(Protocol):
    """A compiled loss with its options."""

    def compute(self, slopes: bool, *inputs: Any, **named: Any) -> Computed:
        """Compute the value and others, in float32, and the gradient of the value.

        Args:
            slopes: whether the gradient is computed.
            inputs: logits and constants.
            named: none.

        Raises:
            Refused: if the definition should raise an error.
        """
        ...


class Refused(Exception):  # noqa: N818
    """A kernel cannot compute the loss of these inputs."""


Definition = Callable[..., tuple[Tensor, ...]]

# Until a process has run a kernel such as this one, torch's log1p and log-sigmoid take 9 times as
# long (torch 2.14 with AVX-512 on an AMD EPYC; the cause is unknown).
torch.full((64,), 0.5).atanh()


def fused(
    kernel: Kernel, definition: Definition, logits: Tensor, *constants: Tensor
) -> tuple[Tensor, ...]:
    """Compute ``definition(logits, *constants)``, by the kernel where it applies.

    If a gradient will be asked for, it is computed with the value and held until then.

    Args:
        kernel: computes the same values, up to rounding, and the gradient of the first.
        definition: plain tensor operations, which autograd can differentiate any number of times.
        logits: what the value is differentiated by.
        constants: tensors such as the target.
    """
    if has_kernel(logits, *constants):
        try:
            if not (logits.requires_grad and torch.is_grad_enabled()):
                return kernel.compute(False, logits, *constants)[0]
            values: tuple[Tensor, ...] = _Fused.apply(kernel, definition, logits, *constants)
            return values
        except Refused:
            pass
    return definition(logits, *constants)


def has_kernel(logits: Tensor, *constants: Tensor) -> bool:
    """Return whether kernels apply to these tensors."""
    if logits.dtype not in _DTYPES or not is_readable(logits):  # first: others cannot be traced
        return False
    for each in constants:
        # a view of an imaginary part may be negative without having negated its memory
        if each.requires_grad or not each.is_cpu or type(each) not in _PLAIN or each.is_neg():
            return False
    return not logits.is_neg() and forward_ad._current_level < 0 and library() is not None


def is_readable(tensor: Tensor) -> bool:
    """Return whether a tensor's numbers can be read at no cost."""
    return (
        type(tensor) in _PLAIN
        and tensor.is_cpu
        and not _is_compiling()  # which fuses definitions itself
        and not _is_transforming()
        # of fake tensors, and of traced ones, of which a kernel would leave no trace
        and not _count_modes()
        and not _is_tracing()
    )


# looked up once
_is_compiling = torch.compiler.is_compiling
_is_transforming = torch._C._are_functorch_transforms_active
_count_modes = torch._C._len_torch_dispatch_stack
_is_tracing = torch._C._is_tracing
_PLAIN = (Tensor, nn.Parameter)
_NUMBER = torch.empty((), dtype=torch.float32, device="cpu")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class _Fused(torch.autograd.Function):
    """Values from a kernel, with the gradient of the first."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Kernel, definition: Definition, logits: Tensor, *constants: Tensor
    ) -> tuple[Tensor, ...]:
        values, slopes = kernel.compute(True, logits, *constants)
        ctx.held = [slopes]  # a list, which compiled autograd shares with its stand-in for ctx
        ctx.kernel, ctx.definition = kernel, definition
        ctx.save_for_backward(logits, *constants)
        ctx.set_materialize_grads(False)
        if len(values) > 1:
            ctx.mark_non_differentiable(*values[1:])
        return values

    @staticmethod
    def backward(ctx: Any, weight: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        gradient: Tensor | None = None
        # given away, not copied; it is that of the values which the kernel read, whatever has
        # changed them since
        held = ctx.held.pop() if ctx.held else None
        if weight is not None and held is not None and not torch.is_grad_enabled():
            gradient = _scaled(held, weight)  # autograd converts it to the dtype of the logits
        elif weight is not None:
            gradient = _computed_again(ctx, weight)
        return None, None, gradient, *[None for _ in ctx.needs_input_grad[3:]]


def _computed_again(ctx: Any, weight: Tensor) -> Tensor:
    """Compute the gradient with its graph, or for a further pass through a graph that is kept."""
    logits, *constants = ctx.saved_tensors
    if torch.is_grad_enabled():
        pull = torch.func.vjp(lambda leaf: ctx.definition(leaf, *constants)[0], logits)[1]
        gradient: Tensor = pull(weight)[0]
        return gradient
    return _scaled(ctx.kernel.compute(True, logits, *constants)[1], weight)


def _scaled(slopes: Tensor, weight: Tensor) -> Tensor:
    """Multiply slopes by one number, in place, or by one per row."""
    if weight.dim() > 0:
        return slopes * weight.view(-1, *[1] * (slopes.dim() - 1))
    try:
        factor = weight.item()  # a tensor would be rounded to bfloat16
    except RuntimeError:  # a batch of numbers, of autograd.grad(..., is_grads_batched=True)
        return slopes * weight
    return slopes if factor == 1 else slopes.mul_(factor)


class ElementKernel(NamedTuple):
    """Kernel of the sum of a loss of single elements, divided by a number."""

    loss: int
    """One of the numbers below."""
    divisor: float
    a: float | Tensor = 1.0
    """Options, in the order of the loss's struct in ``kernels.cpp``."""
    b: float | Tensor = 1.0
    c: float | Tensor = 1.0

    def compute(self, slopes: bool, logits: Tensor, target: Tensor) -> Computed:
        """Compute the value."""
        logits, target = _in_one_format(logits, target)
        value, room = _number(), _room(logits, slopes)
        sizes = logits.numel(), torch.get_num_threads(), logits.dtype is torch.bfloat16
        tensors = pointers(logits, target, value, room)
        compiled("elements")(*sizes, *self, *tensors)
        return (value,), room


FOCAL, HINGE, SQUARED, ABSOLUTE, HUBER = range(5)


class KernelOptions(NamedTuple):
    """Options of a region-based loss ``(E / (O + E + smooth)) ** exponent``.

    E is ``fp_weight FP + fn_weight FN + errors_weight errors`` and O is ``tp_weight TP``, with the
    sums of :class:`~losslab.losses.functional.segmentation.Region`.
    """

    fp_weight: float
    fn_weight: float
    errors_weight: float
    tp_weight: float
    smooth: float
    exponent: float = 1.0
    count_images: bool = False
    """Whether the mean divides by images instead of regions."""
    squared: bool = False
    """Whether errors and level are sums of squares."""
    per_image: bool = True
    """Whether each image has regions of its own."""
    skip: bool = False
    """Whether regions without foreground are left out."""
    mean: bool = True
    """Whether to divide the sum."""
    first_class: int = 0
    """The first class that is a region."""


class RegionKernel(NamedTuple):
    """Kernel of a region-based loss; its values are the mean or sum, and the mean's divisor."""

    options: KernelOptions
    of_classes: bool
    """Whether the targets are class indices, instead of masks of the shape of the logits."""
    weight: Tensor | None
    """One number per class, float32 and contiguous."""

    def compute(
        self, slopes: bool, logits: Tensor, target: Tensor, counted: Tensor | None = None
    ) -> Computed:
        """Compute the value and what a mean divides by."""
        as_one = _with_indices if self.of_classes else _in_one_format
        logits, target = as_one(logits, target)
        counted = None if counted is None else counted.contiguous()
        shape = _pixels(logits, merged=self.of_classes and not self.options.per_image)
        value, count, room = _number(), _number(), _room(logits, slopes)
        name = "classes" if self.of_classes else "masks"
        tensors = logits, target, counted, self.weight, value, count, room
        if compiled(name)(Overlap(*self.options), shape, *pointers(*tensors)):
            raise Refused
        return (value, count), room


class ClassFocalKernel(NamedTuple):
    """Kernel of the sum or mean of focal losses over classes, and of cross-entropy."""

    gamma: float
    weight: Tensor | None
    """One number per class, float32."""
    mean: bool
    ignore_index: int | None = None
    weighted: bool = False
    """Whether the mean divides by the weights of the targets instead of their number."""

    def compute(self, slopes: bool, logits: Tensor, indices: Tensor) -> Computed:
        """Compute the sum or mean."""
        logits, indices = _with_indices(logits, indices)
        ignored = _NO_INDEX if self.ignore_index is None else self.ignore_index
        weight = None if self.weight is None else self.weight.contiguous()
        options = self.gamma, ignored, self.mean, self.weighted
        value, room = _number(), _room(logits, slopes)
        shape = _pixels(logits, merged=True)
        tensors = pointers(logits, indices, weight, value, room)
        if compiled("class_focal")(shape, *options, *tensors):
            raise Refused
        return (value,), room


_NO_INDEX = -(2**63)


def _number() -> Tensor:
    """Return room for one number, whatever the default dtype and device are."""
    return torch.empty_like(_NUMBER)


def _room(logits: Tensor, slopes: bool) -> Tensor | None:
    return torch.empty_like(logits) if slopes else None


def _pixels(logits: Tensor, *, merged: bool) -> Pixels:
    """Describe contiguous logits (N, C, *); images of one pixel each may be merged into one."""
    images, classes = logits.shape[:2]
    pixels = logits.shape[2:].numel()
    steps = classes * pixels, pixels, 1
    if merged and pixels == 1:
        images, pixels, steps = 1, images, (0, 1, classes)
    half, threads = logits.dtype is torch.bfloat16, torch.get_num_threads()
    return Pixels(images, classes, pixels, *steps, half, threads)


def _in_one_format(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as contiguous bfloat16, or else as float32."""
    if target.dtype is not logits.dtype or logits.dtype is torch.float16:
        logits, target = logits.float(), target.float()
    return logits.contiguous(), target.contiguous()


def _with_indices(logits: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return contiguous logits in float32 or bfloat16, and contiguous int64 indices."""
    if logits.dtype is torch.float16:
        logits = logits.float()
    return logits.contiguous(), indices.long().contiguous()
