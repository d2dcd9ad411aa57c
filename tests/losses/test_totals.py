"""Batches of a loss of another library add up to their union, whatever its mean divides by."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from losslab.losses import (
    Averaged,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    MSELoss,
    OnLogSoftmax,
    OnSigmoid,
    OnSoftmax,
    RMSELoss,
    WithOneHotTargets,
)
from losslab.losses.function import FunctionLoss
from losslab.losses.totals import (
    TotalsOfOther,
    has_reduction,
    has_totals,
    totals_of,
    with_reduction,
)

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(7, 3, generator=RNG, dtype=torch.float64)
LABELS = torch.tensor([0, 0, 0, 2, 1, 1, 2])
HOT = F.one_hot(LABELS).double()
WEIGHT = torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64)
RIGHT = 30 * HOT  # a hinge loss is 0 there


def terms_of_focal(prediction, target, reduction="none"):
    terms = F.cross_entropy(prediction, target, reduction="none") ** 2
    return terms if reduction == "none" else getattr(terms, reduction)()


OTHERS = {
    "plain": (nn.CrossEntropyLoss(), LOGITS, LABELS),
    "class weights": (nn.CrossEntropyLoss(WEIGHT), LOGITS, LABELS),
    "smoothed": (nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1), LOGITS, LABELS),
    "ignored": (nn.CrossEntropyLoss(WEIGHT, ignore_index=0), LOGITS, LABELS),
    "one hot": (nn.CrossEntropyLoss(WEIGHT), LOGITS, HOT),
    "positive weight": (nn.BCEWithLogitsLoss(pos_weight=WEIGHT), LOGITS, HOT),
    "zero in a batch": (nn.MultiMarginLoss(), torch.cat([RIGHT[:3], LOGITS[3:]]), LABELS),
    "zero": (nn.MultiMarginLoss(), RIGHT, LABELS),
    "exact": (nn.MSELoss(), torch.cat([HOT[:3], LOGITS[3:]]), HOT),
    "all elements 0": (nn.L1Loss(), torch.zeros(7, 3), torch.zeros(7, 3)),
    "batchmean": (OnLogSoftmax(nn.KLDivLoss(reduction="batchmean")), LOGITS, HOT.clone()),
    "in an adapter": (OnLogSoftmax(nn.NLLLoss(WEIGHT)), LOGITS, LABELS),
    "averaged function": (Averaged(FunctionLoss(terms_of_focal)), LOGITS, LABELS),
    "function": (FunctionLoss(F.cross_entropy, weight=WEIGHT), LOGITS, LABELS),
}


def united(totals, prediction, target):
    """The loss of two batches, the first of 3 samples and the second of 4."""
    pairs = [totals.total(prediction[part], target[part]) for part in (slice(3), slice(3, None))]
    total, count = map(sum, zip(*pairs, strict=True))
    return totals.from_total(total, count)


@pytest.mark.parametrize(("loss", "prediction", "target"), OTHERS.values(), ids=OTHERS)
def test_batches_add_up_to_their_union(loss, prediction, target):
    totals = TotalsOfOther(loss, sum_loss=with_reduction(loss, "sum"))
    one, other = (prediction.clone().requires_grad_() for _ in range(2))
    expected, found = loss(one, target), united(totals, other, target)
    assert_close(found, expected, rtol=1e-12, atol=0)
    expected.backward()
    found.backward()
    assert_close(other.grad, one.grad, rtol=1e-12, atol=1e-18)


def test_a_batch_in_which_nothing_counts_is_0():
    loss = nn.CrossEntropyLoss(ignore_index=1)
    totals = TotalsOfOther(loss, sum_loss=with_reduction(loss, "sum"))
    logits = LOGITS.clone().requires_grad_()
    total, count = totals.total(logits, torch.ones(7, dtype=torch.int64))
    assert (total.item(), count.item()) == (0, 0)
    totals.from_total(total, count).backward()
    assert not logits.grad.any()


def test_predictions_that_are_not_finite_stay_visible():
    loss = nn.CrossEntropyLoss()
    totals = TotalsOfOther(loss, sum_loss=with_reduction(loss, "sum"))
    assert totals.from_total(*totals.total(LOGITS * torch.nan, LABELS)).isnan()


def test_a_sum_is_not_divided():
    totals = TotalsOfOther(nn.MSELoss(reduction="sum"), sums=True)
    assert_close(united(totals, LOGITS, HOT), (LOGITS - HOT).square().sum())


def test_without_a_sum_the_mean_counts_the_samples():
    class Mean(nn.Module):
        def forward(self, prediction, target):
            return (prediction - target).square().mean()

    assert not has_reduction(Mean())
    assert_close(united(totals_of(Mean()), LOGITS, HOT), F.mse_loss(LOGITS, HOT))


ADAPTED = {
    "class weights": (
        WithOneHotTargets(CategoricalCrossEntropyLoss(weight=[1.0, 5.0, 20.0])),
        LABELS,
    ),
    "Brier score": (OnSoftmax(WithOneHotTargets(MSELoss())), LABELS),
    "root": (OnSigmoid(RMSELoss()), HOT),
}


@pytest.mark.parametrize(("loss", "target"), ADAPTED.values(), ids=ADAPTED)
def test_losses_of_ours_in_adapters_add_up(loss, target):
    assert has_totals(loss)
    assert_close(united(totals_of(loss), LOGITS, target), loss(LOGITS, target))
    twice = torch.tensor([0, 0, 3])
    weights = torch.tensor([2.0, 0, 0, 1, 0, 0, 0])
    found = loss.from_total(*loss.total(LOGITS, target, weights))
    assert_close(found, loss(LOGITS[twice], target[twice]))


def test_what_averages_a_loss_of_ours_has_no_totals_of_its_own():
    assert not has_totals(Averaged(CrossEntropyLoss(reduction="none")))


def test_another_reduction_shares_parameters_and_buffers():
    inner = nn.CrossEntropyLoss(torch.ones(3))
    inner.scale = nn.Parameter(torch.ones(()))
    loss = Averaged(inner)
    summed = with_reduction(loss, "sum")
    assert (inner.reduction, summed.loss.reduction) == ("mean", "sum")
    loss.double()
    assert summed.loss.weight.dtype == torch.float64
    assert summed.loss.scale is inner.scale
