"""The passport of a loss: what it was found to be when it was tried."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from losslab.config.errors import UserError
from losslab.losses.base import Loss, TargetFormat
from losslab.losses.function import FunctionLoss
from losslab.passport.problems import PROBED, Shape
from losslab.passport.trial import Trial, try_format

SMALL_GRADIENT = 1e-6
"""Norm of the gradient at the start below which training may not begin."""


@dataclass(frozen=True)
class Passport:
    """What a loss is, found by experiment.

    Attributes:
        name: class and options of the loss.
        trials: what was found in each target format that was tried.
        parameters: shapes of the loss's own trained parameters, by name.
        buffers: names of its buffers.
        untried: target formats that the loss declares, in which it cannot be tried.
    """

    name: str
    trials: Sequence[Trial]
    parameters: Mapping[str, Shape]
    buffers: Sequence[str]
    untried: Sequence[TargetFormat] = ()

    @property
    def accepted(self) -> Sequence[Trial]:
        """The trials of the target formats in which the loss can be used."""
        return [trial for trial in self.trials if not trial.refusal]

    def trial(self, target_format: TargetFormat) -> Trial:
        """Return what was found in a target format.

        Raises:
            KeyError: if it was not tried.
        """
        for trial in self.trials:
            if trial.target_format is target_format:
                return trial
        raise KeyError(target_format.value)

    def __str__(self) -> str:
        """Return the passport as a card to read."""
        blocks = [[("loss", self.name), *self._own_state()]]
        blocks += [list(_lines(trial)) for trial in self.accepted]
        refused = [trial for trial in self.trials if trial.refusal]
        blocks.append([(f"not {trial.target_format.value}", trial.refusal) for trial in refused])
        width = max(len(key) for block in blocks for key, _ in block) + 2
        return "\n\n".join(
            "\n".join(f"{key:{width}}{text}" for key, text in block) for block in blocks if block
        )

    def _own_state(self) -> Iterator[tuple[str, str]]:
        if self.parameters:
            listed = ", ".join(f"{name} {shape}" for name, shape in self.parameters.items())
            yield "parameters", listed
        if self.buffers:
            yield "buffers", ", ".join(self.buffers)
        if self.untried:
            yield "accepts", " or ".join(each.value for each in self.untried) + " (not tried)"


def probe(
    loss: nn.Module | Callable[..., Tensor],
    *,
    target_formats: Sequence[TargetFormat] | None = None,
    shape: Shape | None = None,
) -> Passport:
    """Find out what a loss is by calling it on small problems with known answers.

    Args:
        loss: any module or function that is called as ``loss(prediction, target)``. A module is
            copied first.
        target_formats: those to try. Default: those that the loss declares, else all of them.
        shape: shape of one sample's prediction, such as (C,), if the loss needs a certain one.

    Raises:
        UserError: if it is neither.

    Example:
        >>> import torch
        >>> passport = probe(torch.nn.CrossEntropyLoss())
        >>> passport.trial(TargetFormat.CLASS_INDICES).estimate.of
        'class probabilities, by the softmax'
    """
    loss = _as_module(loss)
    if target_formats is None:
        target_formats = loss.accepts if isinstance(loss, Loss) else PROBED
    return Passport(
        _name(loss),
        [try_format(loss, each, shape) for each in target_formats if each in PROBED],
        {name: tuple(value.shape) for name, value in loss.named_parameters()},
        [name for name, _ in loss.named_buffers()],
        [each for each in target_formats if each not in PROBED],
    )


def warnings_of(trial: Trial) -> Iterator[str]:
    """Say what is odd about a loss that can be used."""
    if trial.gradient < SMALL_GRADIENT:
        yield f"its gradient has a norm of {trial.gradient:.2g} at the start"
    if not trial.learned:
        yield "minimising it over free predictions does not lead to the right answers"
    if trial.estimate is not None and trial.estimate.consistent is False:
        yield "its minimum does not give the most likely class the largest logit"
    if trial.changed:
        yield f"a call changes its buffers {', '.join(trial.changed)}"
    for edge, fault in trial.edges.items():
        yield f"{fault} for {edge}"


def notes_on(trial: Trial) -> dict[str, Any]:
    """Return what a record keeps of a trial: what the loss estimates, and what is odd about it."""
    estimates = None if trial.estimate is None else trial.estimate.of
    return {"estimates": estimates, "warnings": list(warnings_of(trial))}


def _as_module(loss: Any) -> nn.Module:
    if isinstance(loss, nn.Module):
        return loss
    if isinstance(loss, type) or not callable(loss):
        raise UserError(
            f"loss must be a module, or a function of prediction and target, got {loss!r:.60}"
        )
    return FunctionLoss(loss)


def _name(loss: nn.Module) -> str:
    options = loss.extra_repr()
    return f"{type(loss).__module__}.{type(loss).__qualname__}({options})"


def _lines(trial: Trial) -> Iterator[tuple[str, str]]:
    """Describe a trial, line by line."""
    shape = ", ".join(["N", *map(str, trial.shape)])
    yield "accepts", f"{trial.target_format.value}, with predictions ({shape})"
    yield "reduction", trial.reduction
    yield "at the start", f"loss {trial.value:.3g}, gradient of norm {trial.gradient:.3g}"
    yield "terms", "one per sample" if trial.separable else "shared by samples or pixels"
    yield "estimates", "not defined" if trial.estimate is None else trial.estimate.of
    if trial.shift_invariant is not None:
        yield (
            "a number added to all logits",
            "changes " + ("nothing" if trial.shift_invariant else "the loss"),
        )
    works = {"double backward": trial.double_backward, "vmap": trial.vmap}
    yield "works under", ", ".join(name for name, does in works.items() if does) or "neither"
    for warning in warnings_of(trial):
        yield "warning", warning
