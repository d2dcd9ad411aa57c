"""The conformance suite on every loss there is, and on losses that break a promise each."""

import pytest
import torch
from conformance import CHECKS, CONFIGS, Case, cases

from losslab.losses import Loss, TargetFormat
from losslab.losses.base import require_same_shape


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("case", cases(), ids=str)
def test_keeps_the_contract(case, check):
    if reason := case.lacks(check.__name__):
        pytest.skip(reason)
    check(case)


def test_every_config_of_a_loss_of_ours_is_in_the_suite():
    configs = CONFIGS.glob("*.yaml")
    ours = {path.stem for path in configs if "_target_: losslab." in path.read_text()}
    assert {"focal", "mse"} <= ours <= {case.name for case in cases()}


class Exact(Loss):
    """The mean squared error, which the losses below spoil in one way each."""

    accepts = (TargetFormat.VALUES,)
    minimum = 0.0

    def forward(self, prediction, target):
        require_same_shape(prediction, target)
        wide = torch.promote_types(prediction.dtype, torch.float32)
        return self.reduce((prediction.to(wide) - target.to(wide)).square())


class Synchronises(Exact):
    def forward(self, prediction, target):
        result = super().forward(prediction, target)
        return result if result.sum().item() >= 0 else -result


class ChangesInput(Exact):
    def forward(self, prediction, target):
        return super().forward(prediction, target.clamp_(-1, 1))


class Broadcasts(Exact):
    def forward(self, prediction, target):
        return self.reduce((prediction - target).square())


class StaysInHalf(Exact):
    def forward(self, prediction, target):
        return self.reduce((prediction - target).square())


class WrongGradient(Exact):
    def forward(self, prediction, target):
        return super().forward(prediction, target) * prediction.detach().abs().sum()


class NoGradientAtZero(Exact):
    def forward(self, prediction, target):
        return self.reduce((prediction - target).square().sqrt())


class HidesNaN(Exact):
    def forward(self, prediction, target):
        return super().forward(prediction, target).nan_to_num(nan=0)


class MeanOfNothing(Exact):
    def reduce(self, elements):
        return getattr(elements, self.reduction)() if self.reduction != "none" else elements


class MeanByRows(Exact):
    def reduce(self, elements):
        return elements.sum() / 7 if self.reduction == "mean" else super().reduce(elements)


class StandardizesBatch(Exact):
    def forward(self, prediction, target):
        return super().forward(prediction / prediction.detach().std(), target)


class LooksAtOrder(Exact):
    def forward(self, prediction, target):
        require_same_shape(prediction, target)
        scale = torch.arange(1, len(prediction) + 1).unsqueeze(1)
        return self.reduce(scale * (prediction - target).square())


class NeverGetsThere(Exact):
    def forward(self, prediction, target):
        return super().forward(prediction, target) + 1


class BranchesOnValue(Exact):
    def forward(self, prediction, target):
        result = super().forward(prediction, target)
        return result if (result >= 0).all() else -result


class ForgetsItsState(Exact):
    def __init__(self, reduction="mean"):
        super().__init__(reduction)
        self.register_buffer("scale", torch.ones(()), persistent=False)

    def forward(self, prediction, target):
        return self.scale * super().forward(prediction, target)


BROKEN = [
    (Synchronises, "no_synchronisation"),
    (Synchronises, "compiles"),
    (BranchesOnValue, "no_synchronisation"),
    (BranchesOnValue, "vmaps"),
    (ChangesInput, "inputs_unchanged"),
    (Broadcasts, "shapes"),
    (StaysInHalf, "half_precision"),
    (WrongGradient, "gradient"),
    (NoGradientAtZero, "extremes"),
    (HidesNaN, "nans"),
    (MeanOfNothing, "empty_batch"),
    (MeanByRows, "reductions"),
    (MeanByRows, "totals"),
    (StandardizesBatch, "union"),
    (StandardizesBatch, "sample_weights"),
    (LooksAtOrder, "order"),
    (NeverGetsThere, "convergence"),
    (ForgetsItsState, "checkpoint"),
]


@pytest.mark.parametrize(
    ("broken", "check"), BROKEN, ids=[f"{broken.__name__}-{check}" for broken, check in BROKEN]
)
def test_a_broken_loss_is_caught(broken, check):
    CHECKS[check](Case("exact", Exact, TargetFormat.VALUES))
    with pytest.raises((Exception, pytest.fail.Exception)):
        CHECKS[check](Case("broken", broken, TargetFormat.VALUES))


def test_a_wrong_value_is_caught():
    with pytest.raises(AssertionError):
        CHECKS["value"](Case("mae", Exact, TargetFormat.VALUES))


def test_a_loss_of_ours_needs_a_reference():
    class Ours(Exact):
        __module__ = "losslab.losses.ours"

    with pytest.raises(pytest.fail.Exception, match="no reference"):
        CHECKS["value"](Case("unheard_of", Ours, TargetFormat.VALUES))


def test_a_loss_of_a_user_may_lack_a_reference():
    with pytest.raises(pytest.skip.Exception, match="no reference"):
        CHECKS["value"](Case("unheard_of", Exact, TargetFormat.VALUES))
