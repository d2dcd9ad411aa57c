"""Evaluate losses along one dimension: their values and, by autograd, their gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from losslab.config import compound, groups
from losslab.config.errors import UserError
from losslab.config.expansion import jobs_of
from losslab.config.instantiate import build, target_of
from losslab.loss_building import build_loss, is_sum
from losslab.losses.base import Loss, TargetFormat
from losslab.losses.class_vectors import ClassVectorLoss
from losslab.losses.reinforcement import PolicyPrediction, PolicyTarget, TransitionTarget
from losslab.losses.sequence import SequenceTarget
from losslab.report.figures.loss_shapes import LossShape

Against = Literal["residual", "margin", "probability", "distance", "negative", "ratio", "shift"]
Sample = tuple[Any, Any]
POINTS = 801

NEAR = 0.5
"""Distance of anchor and positive while a negative is moved."""

AXES: dict[Against, tuple[str, float, float]] = {
    "residual": ("residual, prediction - target (unit of the target)", -3, 3),
    "margin": ("margin, logit of the true class minus the other", -4, 4),
    "probability": ("probability of the true class", -6, 6),
    # excludes the ends, at which the distance on the unit circle is not differentiable
    "distance": ("distance of two embeddings", 0.002, 1.998),
    "negative": (f"distance of the negative (of the positive: {NEAR:g})", 0.3, 1.95),
    "ratio": ("probability ratio of the action, new to old policy", 0.1, 2),
    "shift": ("shift of the box along one side (length of the side)", -3, 3),
}
"""Name and ends of each axis; probabilities are computed from the margin."""

BY: dict[Against, str] = {"negative": "distance", "ratio": "probability"}
"""Quantity with respect to which the gradient is taken, if it is named differently."""


@dataclass(frozen=True)
class View:
    """Reduction of a prediction and its target to one number x.

    Attributes:
        against: meaning of x.
        cases: functions of x that return prediction and target, by the suffix of the loss's name.
        options: options of the loss that are needed to work on one sample.
    """

    against: Against
    cases: Mapping[str, Callable[[Tensor], Sample]]
    options: Mapping[str, Any] = field(default_factory=dict)


def _element(*shape: int) -> Callable[[Tensor], Sample]:
    """Return a function that makes a prediction of one element x, with target 0."""
    return lambda x: (x.reshape(shape), x.new_zeros(shape))


def _embeddings(labels: list[int]) -> Callable[[Tensor], Sample]:
    """Return a function that makes two embeddings of length 1 at distance x."""

    def pair(x: Tensor) -> Sample:
        half = x / 2
        other = (1 - half.square()).clamp(min=0).sqrt()
        return torch.stack([half, other, -half, other]).reshape(2, 2), torch.tensor(labels)

    return pair


def _pairs(x: Tensor) -> Sample:
    """Make two pairs of embeddings at distance x, orthogonal to each other."""
    rows, labels = _embeddings([0, 1])(x)
    zeros = torch.zeros_like(rows)
    first, second = torch.cat([rows, zeros], dim=1), torch.cat([zeros, rows], dim=1)
    return torch.stack([first, second]), labels


def _triplet(x: Tensor) -> Sample:
    """Make two embeddings of one class, and one of another class at distance x from both."""
    near = x.new_tensor(NEAR / 2)
    height = (1 - near.square()).sqrt()
    along = (2 - x.square()) / (2 * height)
    away = (1 - along.square()).clamp(min=0).sqrt()
    zero = 0 * x
    rows = [near, height, zero, -near, height, zero, zero, along, away]
    return torch.stack(rows).reshape(3, 3), torch.tensor([0, 0, 1])


def _sequence(x: Tensor) -> Sample:
    """Make a sequence of one step and one label, whose logit is x above the blank's."""
    one = torch.ones(1, dtype=torch.int64)
    return torch.stack([0 * x, x]).reshape(1, 1, 2), SequenceTarget(one.reshape(1, 1), one, one)


def _box(x: Tensor) -> Sample:
    """Make a square of side 1 at distance x from its target."""
    zero, one = x.new_zeros(()), x.new_ones(())
    return torch.stack([x, zero, 1 + x, one]).reshape(1, 4), x.new_tensor([[0, 0, 1, 1]])


def _policy(advantage: float) -> Callable[[Tensor], Sample]:
    def pair(x: Tensor) -> Sample:
        zero = x.new_zeros(1)
        target = PolicyTarget(x.new_full((1,), advantage), old_log_probs=zero)
        return PolicyPrediction(x.log().reshape(1), zero), target

    return pair


def _transition(x: Tensor) -> Sample:
    zero, values = x.new_zeros(1), x.new_zeros(1, 1)
    end = torch.ones(1, dtype=torch.bool)
    actions = torch.zeros(1, dtype=torch.int64)
    return x.reshape(1, 1), TransitionTarget(actions, zero, end, values, values)


def _two_classes(target: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Sample]:
    """Return a function that makes two logits, the correct one x above the other."""
    return lambda x: (torch.stack([x, 0 * x]).reshape(1, 2), target(x))


def _one_of_two(x: Tensor) -> Tensor:
    return x.new_tensor([[1, 0]])


VIEWS: dict[TargetFormat, tuple[View, ...]] = {
    TargetFormat.VALUES: (View("residual", {"": _element(1, 1)}),),
    TargetFormat.BOXES: (View("shift", {"": _box}),),
    TargetFormat.POINT_SETS: (View("residual", {"": _element(1, 1, 1)}),),
    TargetFormat.ACTION_VALUES: (View("residual", {"": _transition}),),
    TargetFormat.BINARY_TARGETS: (
        View("margin", {"": lambda x: (x.reshape(1, 1, 1, 1), x.new_ones(1, 1, 1, 1))}),
    ),
    TargetFormat.CLASS_INDICES: (View("margin", {"": _two_classes(lambda _: torch.tensor([0]))}),),
    TargetFormat.CLASS_PROBABILITIES: (View("margin", {"": _two_classes(_one_of_two)}),),
    TargetFormat.RELEVANCE: (View("margin", {"": _two_classes(_one_of_two)}),),
    TargetFormat.SEQUENCES: (View("margin", {"": _sequence}),),
    TargetFormat.DISCRIMINATOR: (View("margin", {"": lambda x: (x.reshape(1), -x.reshape(1))}),),
    TargetFormat.LABELLED_EMBEDDINGS: (
        View("distance", {"one class": _embeddings([0, 0]), "two classes": _embeddings([0, 1])}),
        View("negative", {"": _triplet}),
    ),
    TargetFormat.PAIRED_EMBEDDINGS: (View("distance", {"": _pairs}),),
    TargetFormat.ADVANTAGES: (
        View(
            "ratio",
            {"good action": _policy(1.0), "bad action": _policy(-1.0)},
            {"normalize": False},  # normalizing a batch of one gives 0
        ),
    ),
}
"""Views by target format; the first one in which the loss or its gradient is not 0 is used."""


def chosen_losses(overrides: Sequence[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Parse overrides such as ``loss=mse,huber`` into names and options of losses, by label.

    Each loss takes only the options that it has.

    Raises:
        UserError: if a loss is unknown, or if none of the losses has an option.

    Example:
        >>> chosen_losses(["loss=mse,huber", "loss.delta=1,2"])["huber, delta=2"]
        ('huber', {'delta': 2})
    """
    losses: dict[str, tuple[str, dict[str, Any]]] = {}
    asked: set[str] = set()
    taken: set[str] = set()
    for job in jobs_of(overrides):
        pairs = dict(override.lstrip("+").split("=", 1) for override in job)
        name = pairs.pop("loss", None)
        others = sorted(key for key in pairs if not key.startswith("loss."))
        if name is None or others:
            got = others[0] if others else " ".join(job)
            raise UserError(f"expected loss=NAME and loss.OPTION=VALUE, got {got}")
        groups.require_known("loss", name)
        known = {str(key) for key in groups.node("loss", name)} - {"_target_"}
        given = {key.removeprefix("loss."): value for key, value in pairs.items()}
        own = {key: value for key, value in given.items() if key in known}
        asked |= given.keys()
        taken |= own.keys()
        label = ", ".join([name, *(f"{key}={value}" for key, value in own.items())])
        options: Any = OmegaConf.to_container(
            OmegaConf.from_dotlist([f"{key}={value}" for key, value in own.items()])
        )
        losses[label] = name, options
    if asked - taken:
        raise UserError(f"none of the losses has the option {sorted(asked - taken)[0]}")
    return losses


def evaluate_losses(
    losses: Mapping[str, tuple[str, Mapping[str, Any]]], *, probability: bool = False
) -> tuple[list[LossShape], list[str]]:
    """Evaluate losses along one dimension.

    Args:
        losses: name in ``conf/loss`` and options, by label.
        probability: whether to draw losses of a margin against the corresponding probability.

    Returns:
        The shapes, and the reason for each loss that cannot be plotted.

    Raises:
        UserError: if a loss refuses its options.
    """
    shapes: list[LossShape] = []
    without: list[str] = []
    for label, (name, options) in losses.items():
        try:
            shapes += _shapes_of(label, name, options, probability)
        except NoView as reason:
            without.append(f"{label}: {reason}")
    return shapes, without


class NoView(Exception):  # noqa: N818 (an expected outcome, not a fault)
    """Error for a loss that cannot be plotted along one dimension."""


def _shapes_of(
    label: str, name: str, options: Mapping[str, Any], probability: bool
) -> list[LossShape]:
    views = _views(name)
    for view in views:
        shapes = _shapes_in_view(label, name, {**view.options, **options}, view, probability)
        if any(shape.loss.any() or shape.gradient.any() for shape in shapes):
            return shapes
    tried = " or ".join(view.against for view in views)
    raise NoView(f"it is 0 for a single {tried}, since it compares several samples")


def _shapes_in_view(
    label: str, name: str, options: Mapping[str, Any], view: View, probability: bool
) -> list[LossShape]:
    loss = _build_loss(name, options)
    against = view.against
    if probability and against == "margin":
        if getattr(loss, "inverse_link", "softmax") is None:
            raise NoView("it has no inverse link to a probability; plot it against the margin")
        against = "probability"
    axis, low, high = AXES[against]
    shapes = []
    for case, pair in view.cases.items():
        x, values, slopes = _evaluate_between(low, high, loss, pair)
        if against == "probability":
            x = 1 / (1 + np.exp(-x))
        title = f"{label}, {case}" if case else label
        shapes.append(LossShape(title, axis, BY.get(view.against, view.against), x, values, slopes))
    return shapes


def _build_loss(name: str, options: Mapping[str, Any]) -> Any:
    target = target_of(groups.node("loss", name), f"loss={name}")
    if isinstance(target, type) and issubclass(target, ClassVectorLoss):
        raise NoView("it compares embeddings with vectors that are trained")
    own = OmegaConf.merge(groups.node("loss", name), OmegaConf.create(dict(options)))
    if is_sum(target):
        if not own.of:
            raise NoView("its components are chosen by you")
        own.of = compound.expanded(OmegaConf.to_container(own.of))
        return build_loss(own, None)
    return build(own, f"loss={name}")


def _views(name: str) -> Sequence[View]:
    """Return the views of the first target format of the loss that has any."""
    target = target_of(groups.node("loss", name), f"loss={name}")
    if isinstance(target, type) and issubclass(target, Loss):
        formats: Sequence[TargetFormat] = _build_loss(name, {}).accepts
    else:  # for a loss of another library, use the formats that its task provides
        task = groups.default_task(name)
        if task is None:
            raise NoView("it declares neither a target format nor, in conf/, default data")
        formats = target_of(groups.node("task", task).definition, f"task={task}").provides
    for target_format in formats:
        if target_format in VIEWS:
            return VIEWS[target_format]
    names = " or ".join(target_format.value for target_format in formats)
    raise NoView(f"{names} have no single dimension")


def _evaluate_between(
    low: float, high: float, loss: nn.Module, pair: Callable[[Tensor], Sample]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Evaluate the loss and its gradient at equidistant points."""
    points = torch.linspace(low, high, POINTS, dtype=torch.float64)
    values, slopes = [], []
    for point in points:
        x = point.clone().requires_grad_()
        value = loss(*pair(x)).sum()
        (slope,) = torch.autograd.grad(value, x)
        values.append(float(value.detach()))
        slopes.append(float(slope))
    return points.numpy(), np.array(values), np.array(slopes)
