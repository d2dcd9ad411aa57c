"""Weighted sums of losses: values, gradients, weights that change, and weights that are learned."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from losslab.losses import (
    BCELoss,
    CenterLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    MAELoss,
    MSELoss,
    SSELoss,
    SumLoss,
    TargetFormat,
    UncertaintySumLoss,
    WeightSchedule,
)
from losslab.losses.totals import TotalsOfOther

RNG = torch.Generator().manual_seed(0)
LOGITS, MASKS = (
    torch.randn(4, 1, 6, 6, generator=RNG),
    torch.rand(4, 1, 6, 6, generator=RNG).round(),
)
SCORES, CLASSES = torch.randn(5, 3, generator=RNG), torch.tensor([0, 2, 1, 1, 0])


def test_value_and_gradient_are_the_weighted_sum():
    loss = SumLoss({"dice": DiceLoss(), "bce": BCELoss()}, {"dice": 0.7, "bce": 0.3})
    logits = LOGITS.clone().requires_grad_()
    expected = 0.7 * DiceLoss()(logits, MASKS) + 0.3 * F.binary_cross_entropy_with_logits(
        logits, MASKS
    )
    assert_close(loss(logits, MASKS), expected)
    (gradient,) = torch.autograd.grad(loss(logits, MASKS), logits)
    assert_close(gradient, torch.autograd.grad(expected, logits)[0])
    components = loss.components(logits, MASKS)
    assert list(components) == ["dice", "bce"]
    assert_close(components["dice"], 0.7 * DiceLoss()(logits, MASKS))


def test_weights_that_are_left_out_are_one():
    values = torch.ones(3, 1), torch.zeros(3, 1)
    assert SumLoss({"mse": MSELoss(), "mae": MAELoss()}, {"mae": 2})(*values) == 3


def test_losses_of_other_libraries_and_other_targets():
    of = {"ours": CrossEntropyLoss(), "theirs": nn.MultiMarginLoss(), "one-vs-rest": BCELoss()}
    expected = (
        F.cross_entropy(SCORES, CLASSES)
        + F.multi_margin_loss(SCORES, CLASSES)
        + F.binary_cross_entropy_with_logits(SCORES, F.one_hot(CLASSES, 3).float())
    )
    assert_close(SumLoss(of)(SCORES, CLASSES), expected)


def test_ignored_pixels_are_ignored_by_each_loss():
    logits, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    masks[0, 0] = -100
    of = {
        "bce": BCELoss(ignore_index=-100),
        "dice": DiceLoss(ignore_index=-100),
        "cross_entropy": CrossEntropyLoss(),
    }
    logits.requires_grad_()
    SumLoss(of)(logits, masks).backward()
    assert not logits.grad[0, :, 0].any()
    assert logits.grad[0, :, 1].all()


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({"a": DiceLoss(), "b": BCELoss()}, {"binary targets", "class masks"}),
        ({"a": DiceLoss(), "b": CrossEntropyLoss()}, {"class masks"}),
        ({"a": FocalLoss(), "b": BCELoss()}, {"binary targets", "class indices", "class masks"}),
        (
            {"a": CenterLoss(num_classes=2, embedding_size=3), "b": CrossEntropyLoss()},
            {"embeddings with labels"},
        ),
        ({"a": MSELoss(), "b": nn.L1Loss()}, {"values", "boxes", "images"}),
        ({"a": nn.L1Loss()}, {each.value for each in TargetFormat}),
    ],
)
def test_target_formats_are_those_that_all_accept(of, expected):
    assert {each.value for each in SumLoss(of).accepts} == expected


def test_errors():
    with pytest.raises(ValueError, match="take different targets: a accepts values, b accepts"):
        SumLoss({"a": MSELoss(), "b": DiceLoss()})
    with pytest.raises(ValueError, match="at least one loss"):
        SumLoss({})
    with pytest.raises(ValueError, match="weight of a must be >= 0, got -1"):
        SumLoss({"a": MSELoss()}, {"a": -1})
    with pytest.raises(ValueError, match="weights must be of a, got b"):
        SumLoss({"a": MSELoss()}, {"b": 1})


def test_inverse_link_is_the_one_they_share():
    indices = TargetFormat.CLASS_INDICES
    alike = SumLoss({"a": CrossEntropyLoss(), "b": CrossEntropyLoss()})
    assert alike.link_for(indices) == "softmax"
    assert SumLoss({"a": CrossEntropyLoss(), "b": FocalLoss()}).link_for(indices) is None
    assert SumLoss({"a": CrossEntropyLoss(), "b": BCELoss()}).link_for(indices) is None


@pytest.mark.parametrize(
    "of", [{"a": MSELoss(), "b": MAELoss()}, {"a": MSELoss(), "b": nn.L1Loss()}]
)
def test_totals_of_batches_add_up(of):
    loss = SumLoss(of, {"a": 2, "b": 0.5})
    prediction, target = torch.randn(7, 2), torch.randn(7, 2)
    halves = [loss.total(prediction[part], target[part]) for part in (slice(3), slice(3, 7))]
    total, count = map(sum, zip(*halves, strict=True))
    assert_close(loss.from_total(total, count), loss(prediction, target))


def test_sample_weights_count_samples():
    loss = SumLoss({"a": MSELoss(), "b": nn.L1Loss()}, {"b": 0.5})
    prediction, target = torch.randn(3, 1), torch.randn(3, 1)
    with pytest.raises(ValueError, match="one value per sample"):
        loss.total(prediction, target, torch.tensor([1.0, 2.0, 0.0]))
    loss.use_totals("b", TotalsOfOther(loss.of["b"], sample_loss=nn.L1Loss(reduction="none")))
    found = loss.from_total(*loss.total(prediction, target, torch.tensor([1.0, 2.0, 0.0])))
    again = torch.tensor([0, 1, 1])
    assert_close(found, loss(prediction[again], target[again]))


def test_sums_and_means_have_no_common_total():
    values = torch.ones(3, 1), torch.zeros(3, 1)
    assert SumLoss({"a": SSELoss(), "b": MSELoss()})(*values) == 4
    with pytest.raises(ValueError, match="sum and losses that average has no total"):
        SumLoss({"a": SSELoss(), "b": MSELoss()}).total(*values)
    alike = SumLoss({"a": SSELoss(), "b": SSELoss()}, {"b": 2})
    assert alike.from_total(*alike.total(*values)) == alike(*values) == 9


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 4}, [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]),
        ({"epochs": 2, "after": 2}, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]),
        ({"epochs": 0, "after": 2}, [1.0, 1.0, 3.0, 3.0, 3.0, 3.0]),
        ({"epochs": 3, "shape": "cosine"}, [1.0, 1.5, 2.5, 3.0, 3.0, 3.0]),
    ],
)
def test_weights_follow_their_schedule(options, expected):
    # whole numbers must not make the weight a whole number
    loss = SumLoss({"mae": MAELoss()}, {"mae": WeightSchedule(first=1, last=3, **options)})
    values = torch.ones(2, 1), torch.zeros(2, 1)
    found = []
    for epoch in range(6):
        loss.set_epoch(epoch)
        found.append(float(loss(*values)))
    assert found == pytest.approx(expected)
    loss.set_epoch(0)
    assert loss.eval()(*values) == 3  # epochs are compared by the same loss


def test_a_sum_in_a_sum_follows_its_schedule_too():
    inner = SumLoss({"mae": MAELoss()}, {"mae": WeightSchedule(first=0, last=1, epochs=1)})
    outer = SumLoss({"inner": inner, "mse": MSELoss()})
    outer.set_epoch(1)
    assert outer(torch.ones(1, 1), torch.zeros(1, 1)) == 2


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"first": -1}, {"after": -1}, {"shape": "sine"}])
def test_schedules_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WeightSchedule(**{"first": 0, "last": 1, "epochs": 1} | wrong)


def test_learned_weights_have_the_minimum_of_the_paper():
    """At the minimum over s, exp(-s) L = 1/2: the weight is 1 / (2 L)."""
    loss = UncertaintySumLoss({"mse": MSELoss(), "mae": MAELoss()}, {"mae": 3}).double()
    values = torch.full((2, 1), 4.0, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    assert_close(loss(*values), torch.tensor(16 + 3 * 4 - math.log(3) / 2, dtype=torch.float64))
    with torch.no_grad():
        loss.log_variances.copy_(torch.tensor([2 * 16, 2 * 4], dtype=torch.float64).log())
    loss(*values).backward()
    assert_close(loss.log_variances.grad, torch.zeros(2, dtype=torch.float64))
    assert loss.weight("mse").item() == pytest.approx(1 / 32)
    assert loss.diagnostics(*values)["weight_mae"].item() == pytest.approx(1 / 8)


@pytest.mark.parametrize("weight", [0, WeightSchedule(first=1, last=2, epochs=1)])
def test_learned_weights_begin_above_0_and_have_no_schedule(weight):
    with pytest.raises(ValueError, match="weight of mse"):
        UncertaintySumLoss({"mse": MSELoss()}, {"mse": weight})
