"""What a run knows of the totals and counts of its loss."""

from typing import Any

from torch import nn

from losslab.config.errors import UserError
from losslab.losses import SumLoss, WithoutIgnored
from losslab.losses.base import Loss
from losslab.losses.totals import (
    Totals,
    TotalsOfOther,
    has_reduction,
    has_totals,
    totals_of,
    with_reduction,
)
from losslab.passport import Trial


def has_sample_weights(data: Any) -> bool:
    """Return whether the training samples have weights."""
    return getattr(getattr(data, "train", None), "weights", None) is not None


def loss_totals(loss: nn.Module, trial: Trial | None, *, weighted: bool, name: str) -> Totals:
    """Return what computes totals and counts of a loss, and set those of the losses in a sum.

    Args:
        loss: the loss.
        trial: what was found when it was tried.
        weighted: whether the samples have weights.
        name: name of the loss, for the error.

    Raises:
        UserError: if the samples have weights, and a loss of another library no value per sample.
    """
    if isinstance(loss, SumLoss):
        for key, component in loss.of.items():
            own = None if trial is None else trial.components.get(key)
            totals = loss_totals(component, own, weighted=weighted, name=f"{name}: {key}")
            loss.use_totals(key, totals)
    if has_totals(loss):
        return totals_of(loss)
    if weighted:
        _require_sample_values(loss, name)
    return TotalsOfOther(
        loss,
        sums=trial is not None and trial.reduction == "sum",
        sum_loss=with_reduction(loss, "sum") if trial is not None and trial.adds_up else None,
        sample_loss=with_reduction(loss, "none") if weighted else None,
    )


def adds_up(loss: nn.Module, trial: Trial | None) -> bool:
    """Return whether totals and counts of parts of a batch add up to those of the batch.

    A loss with several components has one total for all of them, from which none is computed.

    Args:
        loss: the loss.
        trial: what was found when it was tried.
    """
    divided = isinstance(loss, Loss) and type(loss).components is not Loss.components
    return trial is not None and trial.adds_up and not divided


def _require_sample_values(loss: nn.Module, name: str) -> None:
    """Check that a loss of another library may have one value per sample.

    Raises:
        UserError: if it cannot.
    """
    reason = f"{type(loss).__name__} has no attribute reduction to set to 'none'"
    if any(isinstance(module, WithoutIgnored) for module in loss.modules()):
        reason = "it is given single labels, since some are not known"
    elif has_reduction(loss):
        return
    raise UserError(f"the data have sample weights, but {name} has no value per sample: {reason}")
