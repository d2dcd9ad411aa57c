"""Calls of a loss, and what they tell: reduction, gradients, and how the batch is coupled."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from losslab.config.errors import described
from losslab.losses.adapters import WithoutIgnored
from losslab.losses.base import Loss
from losslab.losses.totals import TotalsOfOther, has_totals, totals_of, with_reduction
from losslab.rng import restored_state

CLASS_WEIGHTS = ("weight", "pos_weight", "alpha", "class_weight", "class_counts")
"""Attributes and options that weight classes, or adjust for their frequencies.

They shift what a loss estimates, on purpose, and are left out of its inverse link.
"""


class Refusal(Exception):  # noqa: N818 (an expected outcome, not a fault)
    """What a loss raises or returns does not let it train."""


@contextmanager
def in_private() -> Iterator[None]:
    """Draw what a loss draws from a fixed seed, and restore the random state; ignore warnings."""
    with restored_state(), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(0)
        yield


def private_copy(loss: nn.Module) -> nn.Module:
    """Copy a loss to the CPU, without class weights."""
    copied = copy.deepcopy(loss).cpu()
    for module in copied.modules():
        for name in CLASS_WEIGHTS:
            if isinstance(getattr(module, name, None), Tensor) and name not in module._parameters:
                setattr(module, name, None)
    return copied


def value_of(loss: nn.Module, prediction: Tensor, target: Any) -> Tensor:
    """Call the loss and reduce what it returns to one number.

    Raises:
        Refusal: if the loss raises an error, or returns something that cannot be differentiated.
    """
    try:
        value = loss(prediction, target)
    except Exception as error:  # a loss may raise anything
        raise Refusal(described(error)[:200]) from error
    if not isinstance(value, Tensor):
        raise Refusal(f"returns {type(value).__name__} instead of a tensor")
    if not value.requires_grad:
        raise Refusal("returns a tensor without gradient")
    return value if value.dim() == 0 else value.mean()


def gradient_of(loss: nn.Module, prediction: Tensor, target: Any) -> tuple[Tensor, Tensor]:
    """Return the detached value of a loss and its gradient with respect to the prediction.

    Raises:
        Refusal: as :func:`value_of`, or if the backward pass fails.
    """
    prediction = prediction.detach().requires_grad_()
    value = value_of(loss, prediction, target)
    try:
        (gradient,) = torch.autograd.grad(value, prediction, allow_unused=True)
    except RuntimeError as error:
        raise Refusal(described(error)[:200]) from error
    return value.detach(), torch.zeros_like(prediction) if gradient is None else gradient


def reduction_of(loss: nn.Module, prediction: Tensor, target: Any) -> str:
    """Return how a loss reduces: ``none``, ``sum``, ``mean`` or ``other``.

    A batch that holds every sample twice has the same mean, and twice the sum.
    """
    if isinstance(loss, Loss):
        return str(loss.reduction)
    with torch.no_grad():
        once = loss(prediction, target)
        if once.dim() > 0:
            return "none"
        try:
            twice = loss(torch.cat([prediction, prediction]), torch.cat([target, target]))
        except Exception:
            return "other"
    for name, factor in (("mean", 1), ("sum", 2)):
        if torch.isclose(twice, factor * once, rtol=1e-6, atol=1e-12):
            return name
    return "other"


def is_separable(loss: nn.Module, prediction: Tensor, target: Any) -> bool:
    """Return whether no term of the loss depends on two elements of the prediction's samples.

    Then the gradient of one sample does not change if others move. Pixels of images count as
    samples. The classes of a sample belong together.
    """
    gradient = gradient_of(loss, prediction, target)[1]
    generator = torch.Generator().manual_seed(0)
    samples = len(prediction), 1, *prediction.shape[2:]
    places = (torch.rand(samples, generator=generator) < 0.5).expand_as(prediction)
    steps = torch.rand(prediction.shape, generator=generator, dtype=prediction.dtype)
    moved = prediction + places * (3 * steps - 1)
    others = gradient_of(loss, moved, target)[1][~places]
    scale = float(gradient.abs().max())
    return torch.allclose(others, gradient[~places], rtol=0, atol=1e-5 * scale)


def adds_up(loss: nn.Module, prediction: Tensor, target: Any) -> bool:
    """Return whether the totals and counts of two parts of a batch add up to those of all.

    They do if no term depends on samples of both parts, and a loss of another library has a
    reduction that sums. The loss must be what they give.
    """
    own = has_totals(loss)
    totals = totals_of(loss) if own else TotalsOfOther(loss, sum_loss=with_reduction(loss, "sum"))

    def total(part: slice) -> Tensor:
        pair = totals.total(prediction[part], target[part])
        return torch.stack([number.reshape(()) for number in pair])  # two numbers, or an error

    def compare() -> None:
        whole, first, others = map(total, (slice(None), slice(1), slice(1, None)))
        torch.testing.assert_close(first + others, whole, rtol=1e-4, atol=0)
        value = loss(prediction, target).reshape(())
        torch.testing.assert_close(totals.from_total(*whole), value, rtol=1e-4, atol=0)

    with torch.no_grad():
        return works(compare)


def selects_rightly(loss: nn.Module, prediction: Tensor, target: Any) -> bool:
    """Return whether a loss of selected targets is that of all of them if none is ignored.

    That of regions is not, and class weights (K,) do not fit single labels (M, 1). A loss that
    cannot be called with all of them, such as one of images, may select.
    """
    given = copy.deepcopy(loss).cpu().to(prediction.dtype)
    with torch.no_grad():
        selected = given(prediction, target) if works(lambda: given(prediction, target)) else None
        for module in given.modules():
            if isinstance(module, WithoutIgnored):
                module.forward = module.loss.forward  # type: ignore[method-assign]
        if not works(lambda: given(prediction, target)):
            return True
        return selected is not None and torch.allclose(
            selected, given(prediction, target), rtol=1e-4
        )


def takes_labels_as_names(loss: nn.Module, prediction: Tensor, labels: Tensor) -> bool:
    """Return whether a loss stays the same if the labels are renamed, as that of pairs does."""
    with torch.no_grad():
        value = loss(prediction, labels)
        renamed = loss(prediction, (labels + 1) % (labels.max() + 1))
    return torch.allclose(value, renamed, rtol=1e-4)


def works(call: Callable[[], object]) -> bool:
    """Return whether a call raises no error."""
    try:
        call()
    except Exception:
        return False
    return True


def is_twice_differentiable(loss: nn.Module, prediction: Tensor, target: Any) -> bool:
    """Return whether the gradient of the loss can be differentiated."""

    def differentiate() -> None:
        point = prediction.detach().requires_grad_()
        value = value_of(loss, point, target)
        (gradient,) = torch.autograd.grad(value, point, create_graph=True)
        gradient.square().sum().backward()

    return works(differentiate)


def is_mapped(loss: nn.Module, prediction: Tensor, target: Any) -> bool:
    """Return whether ``torch.func.vmap`` over two batches gives the values of single calls."""
    if not isinstance(target, Tensor):
        return False
    predictions = torch.stack([prediction, prediction.flip(0)])
    targets = torch.stack([target, target])

    def compare() -> None:
        mapped = torch.func.vmap(loss)(predictions, targets)
        single = [loss(*pair) for pair in zip(predictions, targets, strict=True)]
        torch.testing.assert_close(mapped, torch.stack(single))

    with torch.no_grad():
        return works(compare)


def state_of(loss: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the loss's parameters and buffers."""
    return {name: value.clone() for name, value in loss.state_dict().items()}
