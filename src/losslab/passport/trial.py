"""Trial of a loss in one target format."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import nn

from losslab.losses import SumLoss, WithoutIgnored
from losslab.losses.base import TargetFormat
from losslab.passport import calls
from losslab.passport.calls import Refusal
from losslab.passport.estimates import (
    Estimate,
    estimate_binary,
    estimate_classes,
    estimate_values,
)
from losslab.passport.fitting import fitted, gradient_scale, is_bounded
from losslab.passport.problems import PROBED, Problem, Shape, example, of_two_classes, small_shape

LOGITS = (
    TargetFormat.CLASS_INDICES,
    TargetFormat.CLASS_PROBABILITIES,
    TargetFormat.CLASS_MASKS,
    TargetFormat.BINARY_TARGETS,
)
ENOUGH = {TargetFormat.VALUES: 0.9, TargetFormat.POINT_SETS: 0.5, TargetFormat.RELEVANCE: 0.9}
"""Agreement with the answers that counts as learned. Default: 0.95."""
LENIENT = (TargetFormat.LABELLED_EMBEDDINGS, TargetFormat.POINT_SETS, TargetFormat.RELEVANCE)
"""Formats whose losses may need more than a small problem, or may be only a part of a loss."""
CANNOT_IGNORE = "has no ignore_index, nor terms of single targets, of which the data ignore some"
CONFIDENCES = (0.0, 3.0, 20.0)
"""Scales of right logits, at which a loss must not grow."""


class Estimation:
    """What a loss estimates, found when it is asked for: plans of sweeps do not ask.

    Args:
        loss: a private copy of the loss.
        target_format: format of the target.
        shape: shape of one sample's prediction.
    """

    def __init__(self, loss: nn.Module, target_format: TargetFormat, shape: Shape) -> None:
        self._loss = loss
        self._target_format = target_format
        self._shape = shape

    @cached_property
    def found(self) -> Estimate | None:
        """What the loss estimates; ``None`` if values are estimated outside their range."""
        with calls.in_private():
            if self._target_format is TargetFormat.VALUES:
                return estimate_values(self._loss, self._shape)
            if self._target_format is TargetFormat.BINARY_TARGETS:
                return estimate_binary(self._loss, self._shape)
            return estimate_classes(self._loss, self._target_format, self._shape)


@dataclass(frozen=True)
class Trial:
    """What was found when a loss was called in one target format.

    Attributes:
        target_format: the format.
        shape: shape of one sample's prediction.
        refusal: why the loss cannot be used in this format; empty if it can.
        reduction: ``mean``, ``sum``, ``none`` or ``other``.
        separable: whether no term depends on two samples (pixels of images).
        adds_up: whether totals and counts of batches add up, see
            :class:`~losslab.losses.totals.TotalsOfOther`.
        value, gradient: loss and norm of its gradient for predictions near 0.
        learned: whether predictions agree with the targets after the loss was minimised over them.
        estimation: what the loss estimates; ``None`` if that is not defined.
        shift_invariant: whether adding a number to all logits changes nothing.
        double_backward, vmap: whether these work.
        changed: names of buffers that a call changed.
        edges: inputs at the edge of what may occur, with what went wrong there.
        components: trials of the losses of a sum, by name.
    """

    target_format: TargetFormat
    shape: Shape
    refusal: str = ""
    reduction: str = "mean"
    separable: bool = True
    adds_up: bool = False
    value: float = float("nan")
    gradient: float = float("nan")
    learned: bool = True
    estimation: Estimation | None = None
    shift_invariant: bool | None = None
    double_backward: bool = False
    vmap: bool = False
    changed: Sequence[str] = ()
    edges: Mapping[str, str] = field(default_factory=dict)
    components: Mapping[str, "Trial"] = field(default_factory=dict)

    @property
    def estimate(self) -> Estimate | None:
        """What the loss estimates; ``None`` if that is not defined."""
        return None if self.estimation is None else self.estimation.found


def try_format(loss: nn.Module, target_format: TargetFormat, shape: Shape | None = None) -> Trial:
    """Try a loss in a target format, one of :data:`~losslab.passport.problems.PROBED`."""
    problem = example(target_format, shape)
    shape = tuple(problem.start.shape[1:])
    with calls.in_private():
        copied, computable = _computable(loss, problem)
        if target_format is TargetFormat.LABELLED_EMBEDDINGS and not _works(copied, computable):
            copied, computable = _computable(loss, of_two_classes(shape))
        selects = _selects(loss)
        if selects and not calls.selects_rightly(loss, *computable.pair):
            return Trial(target_format, shape, CANNOT_IGNORE)
        try:
            trial = _tried(copied, computable, target_format, shape)
        except Refusal as refusal:
            return Trial(target_format, shape, str(refusal))
        cannot = selects and not trial.separable
        return replace(trial, refusal=trial.refusal or CANNOT_IGNORE) if cannot else trial


def _selects(loss: nn.Module) -> bool:
    """Return whether a loss is given selected targets only; the losses in a sum are tried alone."""
    every = () if isinstance(loss, SumLoss) else loss.modules()
    return any(isinstance(module, WithoutIgnored) for module in every)


_TRIALS: dict[tuple[object, ...], Trial] = {}


def cached_trial(
    loss: nn.Module, target_format: TargetFormat, shape: Shape | None, *, key: str
) -> Trial | None:
    """Try a loss once per process; ``None`` for formats without a problem.

    Args:
        loss: any loss.
        target_format: format of the target.
        shape: shape of one sample's prediction; images are cut to a small size.
        key: text that is equal for losses that are.
    """
    if target_format not in PROBED:
        return None
    small = None if shape is None else small_shape(target_format, shape)
    place = key, target_format, small
    if place not in _TRIALS:
        _TRIALS[place] = try_format(loss, target_format, small)
    return _TRIALS[place]


def _computable(loss: nn.Module, problem: Problem) -> tuple[nn.Module, Problem]:
    """Return a copy of the loss and the problem in float64, or in float32 if that fails."""
    double = calls.private_copy(loss).double()
    if _works(double, problem):
        return double, problem
    single, small = calls.private_copy(loss), problem.float()
    return (single, small) if _works(single, small) else (double, problem)


def _works(loss: nn.Module, problem: Problem) -> bool:
    return calls.works(lambda: loss(*problem.pair))


def _tried(loss: nn.Module, problem: Problem, target_format: TargetFormat, shape: Shape) -> Trial:
    before = calls.state_of(loss)
    value, gradient = gradient_scale(loss, problem)
    after = loss.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    reduction = calls.reduction_of(loss, problem.start, problem.target)
    _require_start(value, gradient)
    separable = calls.is_separable(loss, problem.start, problem.target)
    learned = _learns(loss, problem, target_format, lenient=not separable and len(shape) > 1)
    if not separable:  # what it estimates says more
        _require_confidence(loss, problem, target_format)
    _require_embeddings(loss, problem, target_format)
    return Trial(
        target_format,
        shape,
        "returns one value per element instead of one number" if reduction == "none" else "",
        reduction,
        separable,
        not changed and calls.adds_up(loss, problem.start, problem.target),
        value,
        gradient,
        learned,
        _estimation(loss, target_format, shape, separable),
        _shift_invariance(loss, problem, target_format),
        calls.is_twice_differentiable(loss, problem.start, problem.target),
        calls.is_mapped(loss, problem.start, problem.target),
        changed,
        _edges(loss, problem, target_format),
    )


def _require_start(value: float, gradient: float) -> None:
    """Check that training can begin.

    Raises:
        Refusal: if it cannot.
    """
    if not (math.isfinite(value) and math.isfinite(gradient)):
        raise Refusal(f"is {value:g} with a gradient of norm {gradient:g} for predictions near 0")
    if gradient == 0:
        raise Refusal("has no gradient for predictions near 0")


def _learns(
    loss: nn.Module, problem: Problem, target_format: TargetFormat, *, lenient: bool
) -> bool:
    """Return whether minimising the loss leads to the answers.

    Args:
        loss: the loss.
        problem: predictions and their answers.
        target_format: format of the answers.
        lenient: whether a loss of values or masks may compare windows or the like, which a small
            problem does not do justice to.

    Raises:
        Refusal: if it does not, although the problem suffices.
    """
    prediction = fitted(loss, problem, stop_when_right=target_format in LOGITS)
    if target_format in LOGITS:
        if not is_bounded(loss, problem, prediction):
            raise Refusal("is unbounded below on logits")
        _require_gradient_of_negatives(loss, problem)
    agreement = problem.agreement(prediction)
    if agreement >= ENOUGH.get(target_format, 0.95):
        return True
    if target_format in LENIENT or (lenient and target_format is TargetFormat.VALUES):
        return False
    raise Refusal(
        f"does not lead to the right answers: minimised over free predictions, {agreement:.0%} "
        "agree with the targets"
    )


def _require_embeddings(loss: nn.Module, problem: Problem, target_format: TargetFormat) -> None:
    """Check that a loss compares embeddings, with each other or with vectors of its own."""
    if target_format is not TargetFormat.LABELLED_EMBEDDINGS or list(loss.parameters()):
        return
    if not calls.takes_labels_as_names(loss, problem.start, problem.target):
        raise Refusal("reads labels as the positions of logits")


def _require_gradient_of_negatives(loss: nn.Module, problem: Problem) -> None:
    """Check that the logits of wrong classes, and of negative targets, are trained too."""
    gradient = calls.gradient_of(loss, *problem.pair)[1]
    if problem.answers is not None and not gradient[problem.answers < 0].any():
        raise Refusal("has no gradient where the target is 0")


def _require_confidence(loss: nn.Module, problem: Problem, target_format: TargetFormat) -> None:
    """Check that a loss of pixels that belong together does not punish right, confident logits."""
    if target_format not in LOGITS or problem.answers is None:
        return
    with torch.no_grad():
        values = [
            float(loss(scale * problem.answers, problem.target).mean()) for scale in CONFIDENCES
        ]
        wrong = float(loss(-3 * problem.answers, problem.target).mean())
    first, second, third = values
    if not (wrong > first > second and third <= second + 1e-3 * abs(second)):
        raise Refusal(
            "does not fall as logits become right and confident: "
            f"{wrong:.3g}, {first:.3g}, {second:.3g}, {third:.3g} at -3, 0, 3, 20 times the answer"
        )


def _estimation(
    loss: nn.Module, target_format: TargetFormat, shape: Shape, separable: bool
) -> Estimation | None:
    """Return what a loss estimates, if its terms are those of single samples."""
    estimation = Estimation(loss, target_format, shape)
    if target_format is TargetFormat.VALUES and (separable or len(shape) == 1):
        if estimation.found is None:
            raise Refusal("is smallest outside the range of the targets")
        return estimation
    return estimation if separable and target_format in LOGITS else None


def _shift_invariance(
    loss: nn.Module, problem: Problem, target_format: TargetFormat
) -> bool | None:
    if target_format not in LOGITS:
        return None
    with torch.no_grad():
        value, moved = (loss(problem.start + by, problem.target).mean() for by in (0.0, 1.0))
    return bool(torch.isclose(value, moved, rtol=1e-6, atol=1e-10))


def _edges(loss: nn.Module, problem: Problem, target_format: TargetFormat) -> dict[str, str]:
    """Return what goes wrong on inputs at the edge, by the name of the input."""
    inputs = {"identical predictions": torch.zeros_like(problem.start)}
    if problem.answers is not None:
        if target_format in LOGITS:
            inputs["right logits of 10,000"] = 1e4 * problem.answers
            inputs["wrong logits of 10,000"] = -1e4 * problem.answers
        else:
            inputs["exact predictions"] = problem.answers.clone()
    cases = {name: (prediction, problem.target) for name, prediction in inputs.items()}
    if isinstance(problem.target, torch.Tensor):
        if target_format is TargetFormat.BINARY_TARGETS:
            for name, fill in (("no positive target", 0.0), ("no negative target", 1.0)):
                cases[name] = problem.start, torch.full_like(problem.target, fill)
        elif target_format in (TargetFormat.CLASS_INDICES, TargetFormat.CLASS_MASKS):
            cases["one class"] = problem.start, torch.zeros_like(problem.target)
    found = {name: _fault(loss, *case) for name, case in cases.items()}
    return {name: fault for name, fault in found.items() if fault}


def _fault(loss: nn.Module, prediction: torch.Tensor, target: object) -> str:
    try:
        value, gradient = calls.gradient_of(loss, prediction, target)
    except Refusal as refusal:
        return str(refusal)
    if not value.isfinite():
        return f"the loss is {value.item():g}"
    return "" if gradient.isfinite().all() else "the gradient is not finite"
