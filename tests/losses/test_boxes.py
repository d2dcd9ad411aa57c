"""Losses of boxes: against torchvision, and where its values or gradients are not finite."""

import math

import pytest
import torch
from torch.testing import assert_close
from torchvision import ops

from losslab.losses import CIoULoss, DIoULoss, GIoULoss, IoULoss, MAELoss, SumLoss, TargetFormat
from losslab.losses.functional import box_iou, ciou, diou, giou, iou

PEERS = {
    GIoULoss: ops.generalized_box_iou_loss,
    DIoULoss: ops.distance_box_iou_loss,
    CIoULoss: ops.complete_box_iou_loss,
}
ALL = [IoULoss, *PEERS]


def named(loss):
    return loss.__name__


def boxes(n=200, scale=100.0, seed=0):
    """Predicted and true boxes in float64, some of which overlap, some not, some share edges."""
    rng = torch.Generator().manual_seed(seed)
    low, size = scale * torch.rand(2, 2, n, 2, generator=rng, dtype=torch.float64)
    prediction, target = torch.cat([low, low + size / 2 + scale / 100], dim=2)
    shift = prediction[::10, :1] - target[::10, :1]
    target[::10] += shift * torch.tensor([1, 0, 1, 0])  # a common left edge
    return prediction, target


def value_and_gradient(loss, prediction, target):
    prediction = prediction.clone().requires_grad_()
    value = loss(prediction, target)
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    return value.detach(), gradient


@pytest.mark.parametrize(("ours", "theirs"), PEERS.items(), ids=named)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_values_and_gradients_are_those_of_torchvision(ours, theirs, reduction):
    prediction, target = boxes()
    expected = value_and_gradient(
        lambda p, t: theirs(p, t, reduction=reduction, eps=0), prediction, target
    )
    found = value_and_gradient(ours(reduction=reduction), prediction, target)
    # torchvision's CIoU has its epsilon of 1e-7 in the DIoU whatever it is given
    assert_close(found, expected, rtol=1e-8, atol=1e-11)


def test_the_iou_is_that_of_torchvision():
    prediction, target = boxes()
    expected = ops.box_iou(prediction, target).diagonal()
    assert 0.1 < (expected > 0).double().mean() < 0.9
    assert_close(box_iou(prediction, target), expected)
    assert_close(IoULoss(reduction="none")(prediction, target), 1 - expected)


@pytest.mark.parametrize("formula", [iou, giou, diou], ids=named)
def test_gradients_are_those_of_finite_differences(formula):
    prediction, target = boxes(n=20, seed=1)
    free = (target != prediction).all(dim=1)  # not at the kink of a common edge
    prediction = prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: formula(p[free], target[free]), prediction)


def test_the_gradient_of_ciou_keeps_the_weight_of_the_aspect_ratio():
    """Finite differences of the value with alpha as it is at the point."""
    prediction, target = (each[1:9] for each in boxes(seed=2))
    _, gradient = value_and_gradient(ciou, prediction, target)

    def aspect(p):
        angles = [torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])) for b in (p, target)]
        return (2 / torch.pi * (angles[0] - angles[1])).square()

    alpha = aspect(prediction) / (iou(prediction, target) + aspect(prediction))
    for place in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[place] = 1e-4
        ends = [diou(p, target) + alpha * aspect(p) for p in (prediction + step, prediction - step)]
        assert_close((ends[0] - ends[1]) / 2e-4, gradient[:, place], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_corners_may_come_in_any_order(loss):
    prediction, target = boxes()
    expected, gradient = value_and_gradient(loss(), prediction, target)
    for order in ([2, 1, 0, 3], [0, 3, 2, 1], [2, 3, 0, 1]):
        found, swapped = value_and_gradient(loss(), prediction[:, order], target)
        assert_close(found, expected)
        assert_close(swapped[:, order], gradient)
        assert_close(loss()(target[:, order], prediction), loss()(target, prediction))


def test_torchvision_has_losses_beyond_their_range_where_corners_are_swapped():
    """Why ours puts them in order, as Rezatofighi et al. (2019) do."""
    prediction, target = torch.tensor([[5.0, 0.0, 1.0, 1.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]])
    assert ops.generalized_box_iou_loss(prediction, target).item() == pytest.approx(3)  # at most 2
    assert GIoULoss()(prediction, target).item() == pytest.approx(1 - 1 / 5)


@pytest.mark.parametrize("loss", ALL, ids=named)
@pytest.mark.parametrize("unit", [1e-30, 1e-4, 1e15])
def test_the_unit_of_the_coordinates_does_not_matter(loss, unit):
    prediction, target = (each.float() for each in boxes())
    expected, gradient = value_and_gradient(loss(), prediction, target)
    found, slope = value_and_gradient(loss(), prediction * unit, target * unit)
    assert_close(found, expected)
    assert_close(slope * unit, gradient, rtol=1e-4, atol=1e-7)


def test_torchvision_has_a_loss_where_small_boxes_are_equal():
    box = torch.tensor([[0.1, 0.1, 0.101, 0.101]])  # a pixel of a thousand
    assert ops.generalized_box_iou_loss(box, box).item() > 0.09
    assert GIoULoss()(box, box).item() == 0


def with_shape(diou, iou, angle):
    """CIoU by hand, for the angle of the prediction's diagonal; that of BOX is atan 2."""
    v = (2 / math.pi * (math.atan(2) - angle)) ** 2
    return diou + v**2 / (iou + v)


BOX = [1.0, 1.0, 5.0, 3.0]
# prediction and target; the value of IoU, GIoU, DIoU and CIoU by hand
EDGES = {
    "identical": (BOX, BOX, (0, 0, 0, 0)),
    "a point inside": ([4, 2, 4, 2], BOX, (1, 1, 1.05, with_shape(1.05, 1, math.pi / 4))),
    "without height": ([1, 2, 5, 2], BOX, (1, 1, 1, with_shape(1, 1, math.pi / 2))),
    "without width, beside": ([7, 1, 7, 3], BOX, (1, 1 + 4 / 12, 1.4, with_shape(1.4, 1, 0))),
    "both one point": ([2, 2, 2, 2], [2, 2, 2, 2], (1, 1, 1, 1)),
    "both on one line": ([0, 2, 1, 2], [3, 2, 4, 2], (1, 1, 1 + 9 / 16, 1 + 9 / 16)),
    "apart": ([0, 0, 1, 1], [2, 0, 3, 1], (1, 1 + 1 / 3, 1.4, 1.4)),
    "touching": ([0, 0, 1, 1], [1, 0, 2, 1], (1, 1, 1.2, 1.2)),
    "same centre": (
        [2, 0, 4, 4],
        BOX,
        (2 / 3, 11 / 12, 2 / 3, with_shape(2 / 3, 2 / 3, math.atan(0.5))),
    ),
}


@pytest.mark.parametrize("place", range(4), ids=[named(loss) for loss in ALL])
@pytest.mark.parametrize(("prediction", "target", "values"), EDGES.values(), ids=EDGES)
def test_edges(prediction, target, values, place):
    given = (torch.tensor([each], dtype=torch.float32) for each in (prediction, target))
    value, gradient = value_and_gradient(ALL[place](), *given)
    assert gradient.isfinite().all()
    assert value.item() == pytest.approx(values[place])


# where torchvision's loss, or its gradient, is not a number
NOT_A_NUMBER = {
    "a point": ([4, 2, 4, 2], BOX, "value"),
    "without height": ([1.5, 2, 4.5, 2], BOX, "gradient"),
}


@pytest.mark.parametrize(("prediction", "target", "lacks"), NOT_A_NUMBER.values(), ids=NOT_A_NUMBER)
def test_ciou_is_finite_where_that_of_torchvision_is_not(prediction, target, lacks):
    given = [torch.tensor([each], dtype=torch.float32) for each in (prediction, target)]
    value, gradient = value_and_gradient(PEERS[CIoULoss], *given)
    assert bool(value.isnan()) == (lacks == "value")
    assert gradient.isnan().any()
    value, gradient = value_and_gradient(CIoULoss(), *given)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_a_box_without_width_learns_to_have_one(loss):
    target = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    _, gradient = value_and_gradient(loss(), torch.tensor([[2.0, 1.0, 2.0, 3.0]]), target)
    assert gradient[0, 0] > 0 > gradient[0, 2]  # the left edge goes left, the right one right


@pytest.mark.parametrize(("loss", "moves"), [(IoULoss, False), *((each, True) for each in PEERS)])
def test_boxes_apart_are_drawn_together_by_all_but_iou(loss, moves):
    prediction, target = torch.tensor([[6.0, 0.0, 8.0, 1.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]])
    _, gradient = value_and_gradient(loss(), prediction, target)
    assert bool(gradient.any()) == moves
    if moves:
        assert gradient[0, 0] + gradient[0, 2] > 0


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_double_backward(loss):
    prediction, target = boxes(n=5, seed=3)
    prediction.requires_grad_()
    (gradient,) = torch.autograd.grad(loss()(prediction, target), prediction, create_graph=True)
    gradient.square().sum().backward()
    assert prediction.grad.isfinite().all()
    assert prediction.grad.any()


@pytest.mark.parametrize("loss", ALL, ids=named)
def test_several_boxes_per_sample(loss):
    prediction, target = boxes(n=12)
    values = loss(reduction="none")(prediction, target)
    assert_close(
        loss(reduction="none")(prediction.view(3, 4, 4), target.view(3, 4, 4)).flatten(), values
    )
    assert_close(loss()(prediction.view(3, 4, 4), target.view(3, 4, 4)), values.mean())


@pytest.mark.parametrize(
    "shape", [(4,), (3, 5), (3, 4, 3)], ids=["one box", "five numbers", "coordinates first"]
)
def test_what_is_not_boxes_is_refused(shape):
    with pytest.raises(ValueError, match=r"boxes, floating-point corners of shape \(N, 4\)"):
        IoULoss()(torch.zeros(shape), torch.zeros(shape))


def test_a_sum_of_a_loss_of_values_and_one_of_boxes_takes_boxes():
    loss = SumLoss({"mae": MAELoss(), "giou": GIoULoss()}, {"mae": 5.0, "giou": 2.0})
    assert loss.accepts == (TargetFormat.BOXES,)
    assert loss.format_for("mae", TargetFormat.BOXES) is TargetFormat.VALUES
    prediction, target = boxes(n=5)
    expected = 5 * (prediction - target).abs().mean() + 2 * giou(prediction, target).mean()
    assert_close(loss(prediction, target), expected)
