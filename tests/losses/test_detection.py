"""The loss of a detector: its parts at each place, and what it divides by."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from losslab.losses import (
    BCELoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    DetectionLoss,
    FocalLoss,
    GIoULoss,
    HingeLoss,
    MAELoss,
    MSELoss,
    RMSELoss,
    SmoothL1Loss,
    WeightSchedule,
)

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(2, 5, 3, generator=RNG)
LOW = 4 * torch.rand(2, 5, 2, generator=RNG)
BOXES = torch.cat([LOW, LOW + 1 + torch.rand(2, 5, 2, generator=RNG)], dim=2)
TRUE = BOXES + 0.3 * torch.rand(2, 5, 4, generator=RNG)
LABELS = torch.tensor([[0, -1, 2, -1, -2], [-1, 1, -1, -1, -1]])
PREDICTION = torch.cat([LOGITS, BOXES], dim=2)
TARGET = torch.cat([LABELS.unsqueeze(2), TRUE], dim=2)
OBJECTS, COUNTED = LABELS >= 0, LABELS != -2


def made(classification, of_box, **weights):
    return DetectionLoss({"classification": classification, "box": of_box}, weights)


def test_places_without_an_object_have_no_box_and_every_class_0():
    hot = F.one_hot(LABELS.clamp(min=-1) + 1, 4)[..., 1:].float()
    bce = F.binary_cross_entropy_with_logits(LOGITS[COUNTED], hot[COUNTED], reduction="sum")
    l1 = F.l1_loss(BOXES[OBJECTS], TRUE[OBJECTS], reduction="sum")
    found = made(BCELoss(), MAELoss(), box=0.5).components(PREDICTION, TARGET)
    assert list(found) == ["classification", "box"]
    assert_close(found["classification"], bce / 3)
    assert_close(found["box"], 0.5 * l1 / 3)


@pytest.mark.parametrize(
    ("classification", "theirs"),
    [
        (CrossEntropyLoss(), F.cross_entropy),
        (
            CrossEntropyLoss(weight=[0.1, 1, 2, 3]),
            lambda *given, **options: F.cross_entropy(
                *given, torch.tensor([0.1, 1, 2, 3]), **options
            ),
        ),
        (CategoricalCrossEntropyLoss(), F.cross_entropy),
    ],
)
def test_losses_of_exclusive_classes_get_the_background_as_the_first(classification, theirs):
    logits = torch.cat([torch.zeros(2, 5, 1), LOGITS], dim=2)
    expected = theirs(logits[COUNTED], (LABELS + 1)[COUNTED], reduction="sum") / 3
    loss = made(classification, GIoULoss())
    assert_close(loss.components(PREDICTION, TARGET)["classification"], expected)
    assert loss.link_for(loss.accepts[0]) == "softmax"
    assert loss.shape_for("classification", (3,)) == (4,)


def test_losses_of_other_libraries():
    theirs = made(nn.BCEWithLogitsLoss(), nn.SmoothL1Loss(beta=0.5))
    ours = made(BCELoss(), SmoothL1Loss(beta=0.5))
    assert_close(theirs(PREDICTION, TARGET), ours(PREDICTION, TARGET))
    assert theirs.link_for(theirs.accepts[0]) is None
    assert ours.link_for(ours.accepts[0]) == "sigmoid"
    assert ours.shape_for("classification", (3,)) == (3,)
    assert ours.shape_for("box", (3,)) == (4,)


def test_without_objects_the_background_is_learned_and_no_box():
    prediction = PREDICTION.clone().requires_grad_()
    nothing = torch.cat([torch.full((2, 5, 1), -1.0), torch.zeros(2, 5, 4)], dim=2)
    loss = made(FocalLoss(), GIoULoss())
    value = loss(prediction, nothing)
    value.backward()
    assert_close(value, FocalLoss(reduction="sum")(LOGITS, torch.zeros(2, 5, 3)))
    assert (prediction.grad[..., :3] > 0).all()
    assert not prediction.grad[..., 3:].any()


class NaNWithoutSize(nn.Module):
    """A loss that is not defined for boxes without size, as torchvision's are."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, prediction, target):
        values = ((prediction - target).abs() / (target[:, 2:] - target[:, :2]).repeat(1, 2)).sum(1)
        return values if self.reduction == "none" else values.mean()


def test_boxes_where_there_is_no_object_are_not_read():
    target = TARGET.clone()
    prediction = PREDICTION.clone()
    prediction[..., 3:] = prediction[..., 3:].where(OBJECTS.unsqueeze(2), torch.inf)
    prediction.requires_grad_()
    loss = made(FocalLoss(), NaNWithoutSize())
    loss(prediction, target).backward()
    assert prediction.grad.isfinite().all()
    assert_close(loss(prediction, target), loss(PREDICTION, target))


def test_totals_of_batches_add_up_though_their_numbers_of_objects_differ():
    loss = made(FocalLoss(), GIoULoss(), box=2)
    parts = [loss.total(PREDICTION[k : k + 1], TARGET[k : k + 1]) for k in (0, 1)]
    total, count = map(sum, zip(*parts, strict=True))
    assert count == 3
    assert_close(loss.from_total(total, count), loss(PREDICTION, TARGET))


def test_weights_may_follow_a_schedule():
    loss = made(FocalLoss(), GIoULoss(), box=WeightSchedule(first=0, last=2, epochs=4))
    loss.set_epoch(0)
    assert loss.components(PREDICTION, TARGET)["box"] == 0
    loss.set_epoch(2)
    once = made(FocalLoss(), GIoULoss()).components(PREDICTION, TARGET)["box"]
    assert_close(loss.components(PREDICTION, TARGET)["box"], once)
    diagnostics = loss.diagnostics(PREDICTION, TARGET)
    assert {name: value.item() for name, value in diagnostics.items()} == {
        "weight_box": 1.0,
        "places_per_image": 1.5,
    }


REFUSED = {
    "names": (
        lambda: DetectionLoss({"bce": BCELoss()}),
        "must have classification and box, got bce",
    ),
    "classes": (lambda: made(MSELoss(), GIoULoss()), "classification must be .* accepts values"),
    "boxes": (
        lambda: made(BCELoss(), CrossEntropyLoss()),
        "box must be one such as giou or smooth",
    ),
    "root": (lambda: made(BCELoss(), RMSELoss()), "box must be a mean of terms, got RMSELoss"),
    "function": (lambda: made(nn.Identity(), GIoULoss()), "attribute reduction"),
    "sum": (
        lambda: made(BCELoss(reduction="sum"), GIoULoss(reduction="sum")),
        "reduction .* must be 'mean'",
    ),
    "prediction": (lambda: made(BCELoss(), GIoULoss())(LOGITS[0], TARGET), "four corners at each"),
    "target": (lambda: made(BCELoss(), GIoULoss())(PREDICTION, TARGET[:, :4]), r"\(2, 5, 5\), got"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_hinge_is_one_vs_rest():
    loss = made(HingeLoss(), GIoULoss())
    signs = 2 * F.one_hot(LABELS.clamp(min=-1) + 1, 4)[..., 1:] - 1
    expected = (1 - signs * LOGITS).clamp(min=0)[COUNTED].sum() / 3
    assert_close(loss.components(PREDICTION, TARGET)["classification"], expected)
