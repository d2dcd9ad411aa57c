import itertools
import math
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
import torch
from scipy import special
from sklearn.metrics import hinge_loss, log_loss
from torch.nn import functional as F
from torch.testing import assert_close

from losslab.config.errors import UserError
from losslab.loss_building import build_loss
from losslab.losses import (
    BCELoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeLoss,
    LogitAdjustedLoss,
    functional,
)
from losslab.losses.functional.fused import FOCAL, ElementKernel

WEIGHT = [0.5, 1.0, 4.0]


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def logits():
    return 3 * draw(40, 3)


@pytest.fixture
def indices():
    return torch.arange(40) % 3


@pytest.fixture
def masks():
    return (draw(40, 3, seed=1) > 0).double()


# cross-entropies


def test_cross_entropy_is_the_log_loss_of_scikit_learn(logits, indices):
    expected = log_loss(indices.numpy(), logits.softmax(dim=1).numpy())
    assert_close(CrossEntropyLoss()(logits, indices).item(), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["even", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_torchs(logits, indices, weight, smoothing, reduction):
    options = {"label_smoothing": smoothing, "reduction": reduction, "ignore_index": 1}
    given = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    expected = F.cross_entropy(logits, indices, weight=given, **options)
    assert_close(CrossEntropyLoss(weight, **options)(logits, indices), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, 2.0, WEIGHT], ids=["even", "number", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_one_hot_targets_equal_indices(logits, indices, weight, smoothing, reduction):
    options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    one_hot = CategoricalCrossEntropyLoss(**options)(logits, F.one_hot(indices, 3))
    assert_close(one_hot, CrossEntropyLoss(**options)(logits, indices))


def test_the_mean_is_over_the_weights_of_the_targets():
    """Torch divides the probability form by 2 instead, and gets three times as much."""
    logits, weight = torch.zeros(2, 3), torch.tensor([1.0, 1.0, 5.0])
    target = torch.eye(3)[[1, 2]]
    value = CategoricalCrossEntropyLoss(weight)(logits, target).item()
    assert value == pytest.approx(math.log(3))
    assert F.cross_entropy(logits, target, weight=weight).item() == pytest.approx(3 * math.log(3))


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["even", "weighted"])
def test_all_ignored_is_0_with_zero_gradient_and_counted(weight):
    loss = CrossEntropyLoss(weight)
    logits, target = torch.ones(4, 3, requires_grad=True), torch.full((4,), -100)
    value = loss(logits, target)
    value.backward()
    assert value.item() == 0
    assert logits.grad.abs().max().item() == 0
    assert loss.diagnostics(logits, target)["ignored"].item() == 4


VOID = {
    "binary": (lambda option: BCELoss(4.0, **option), "masks"),
    "binary focal": (lambda option: FocalLoss(alpha=0.25, **option), "masks"),
    "binary hinge": (lambda option: HingeLoss(**option), "masks"),
    "focal": (lambda option: FocalLoss(alpha=WEIGHT, **option), "indices"),
    "hinge": (lambda option: HingeLoss(**option), "indices"),
    "sum of hinges": (
        lambda option: HingeLoss(multiclass="weston_watkins", squared=True, **option),
        "indices",
    ),
    "one-hot": (lambda option: CategoricalCrossEntropyLoss(**option), "one-hot"),
    "weighted one-hot": (lambda option: CategoricalCrossEntropyLoss(WEIGHT, **option), "one-hot"),
}


@pytest.mark.parametrize(("make", "target"), VOID.values(), ids=VOID)
def test_ignored_samples_count_nowhere(make, target, logits, indices, masks):
    target = {"masks": masks, "indices": indices, "one-hot": torch.eye(3)[indices]}[target].clone()
    void = torch.arange(40) % 4 == 0
    logits.requires_grad_()
    expected = make({})(logits[~void], target[~void])
    (slope,) = torch.autograd.grad(expected, logits)
    target[void] = 255
    loss = make({"ignore_index": 255})
    value = loss(logits, target)
    assert_close(value, expected, rtol=1e-12, atol=0)
    assert_close(torch.autograd.grad(value, logits)[0], slope, rtol=1e-12, atol=1e-15)
    of_void = target[void].numel() if target.shape == masks.shape else 10
    ignored = 10 if isinstance(loss, CategoricalCrossEntropyLoss) else of_void
    assert loss.diagnostics(logits, target) == {"ignored": torch.tensor(ignored)}
    assert make({}).diagnostics(logits, target) == {}


@pytest.mark.parametrize(("make", "target"), VOID.values(), ids=VOID)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_all_void_is_0_with_zero_gradient(make, target, reduction):
    logits = torch.full((2, 3), 1e4, requires_grad=True)
    target = torch.full((2,) if target == "indices" else (2, 3), 255)
    value = make({"ignore_index": 255, "reduction": reduction})(logits, target)
    (slope,) = torch.autograd.grad(value.sum(), logits)
    assert not value.any()
    assert not slope.any()


def test_weights_that_are_all_0_count_nothing():
    value = CrossEntropyLoss([0.0, 1.0, 1.0])(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64))
    assert value.item() == 0


def test_a_class_ruled_out_by_both_costs_nothing():
    logits = torch.tensor([[0.0, 0.0, -math.inf]], requires_grad=True)
    value = CategoricalCrossEntropyLoss()(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    value.backward()
    assert value.item() == pytest.approx(math.log(2))
    assert logits.grad.tolist() == [[-0.5, 0.5, 0.0]]


IMPOSSIBLE = {
    "cross-entropy": CrossEntropyLoss(),
    "weighted cross-entropy": CrossEntropyLoss(WEIGHT),
    "smoothed cross-entropy": CrossEntropyLoss(label_smoothing=0.1),
    "categorical cross-entropy": CategoricalCrossEntropyLoss(),
    "focal": FocalLoss(),
}


@pytest.mark.parametrize("pixels", [(), (2,)], ids=["classes", "classes of pixels"])
@pytest.mark.parametrize("loss", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_target_that_was_ruled_out_costs_infinitely_much(loss, pixels):
    logits, target = torch.zeros(2, 3, *pixels), torch.zeros(2, *pixels, dtype=torch.int64)
    logits[:, 0] = -math.inf
    if isinstance(loss, CategoricalCrossEntropyLoss):
        target = F.one_hot(target, 3).movedim(-1, 1).float()
    assert loss(logits, target).item() == math.inf
    total, _ = loss.total(logits, target)
    assert total.item() == math.inf


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (5, 3, 4, 2)], ids=str)
def test_index_losses_give_one_value_a_target(shape):
    logits = draw(*shape)
    target = torch.zeros(shape[:1] + shape[2:], dtype=torch.int64)
    losses = (CrossEntropyLoss, FocalLoss, HingeLoss)
    assert {loss(reduction="none")(logits, target).shape for loss in losses} == {target.shape}
    assert_close(FocalLoss(0.0)(logits, target), CrossEntropyLoss()(logits, target))


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 4)], ids=str)
def test_binary_losses_give_one_value_an_element(shape):
    logits, target = draw(*shape), (draw(*shape, seed=1) > 0).double()
    losses = (BCELoss, FocalLoss, HingeLoss)
    assert {loss(reduction="none")(logits, target).shape for loss in losses} == {logits.shape}


# binary cross-entropy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-80.0, -25.0, -15.0, -1e-3, 0.0, 2.0, 16.0, 21.0, 80.0])
def test_bce_and_its_gradient_are_accurate(logit, target, dtype):
    mpmath.mp.dps = 50
    z = mpmath.mpf(torch.tensor(logit, dtype=dtype).item())
    sign = 1 if target else -1
    expected = mpmath.log(1 + mpmath.exp(-sign * z))
    slope = -sign / (1 + mpmath.exp(sign * z))
    prediction = torch.tensor([logit], dtype=dtype, requires_grad=True)
    value = BCELoss()(prediction, torch.tensor([target], dtype=dtype))
    value.backward()
    rtol = 4 * torch.finfo(dtype).eps
    assert value.item() == pytest.approx(float(expected), rel=rtol, abs=0)
    assert prediction.grad.item() == pytest.approx(float(slope), rel=rtol, abs=0)


@pytest.mark.parametrize("target", [torch.bool, torch.int64, torch.uint8, torch.float16], ids=str)
def test_masks_of_any_type_are_read(logits, masks, target):
    for loss in (BCELoss(), FocalLoss(), HingeLoss()):
        assert_close(loss(logits, masks.to(target)), loss(logits, masks))


@pytest.mark.parametrize("weight", [3.0, WEIGHT], ids=["number", "classes"])
def test_bce_is_torchs_with_pos_weight(logits, weight):
    target = torch.rand(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = torch.tensor(weight, dtype=torch.float64)
    expected = F.binary_cross_entropy_with_logits(logits, target, pos_weight=given)
    assert_close(BCELoss(weight)(logits, target), expected)


def test_pos_weight_goes_along_the_classes_of_an_image():
    logits, target = torch.zeros(2, 3, 5), torch.ones(2, 3, 5)
    elements = BCELoss(WEIGHT, reduction="none")(logits, target)
    assert_close(elements[1, :, 4], math.log(2) * torch.tensor(WEIGHT))


# hinge


def test_binary_hinge_is_scikit_learns(logits, masks):
    expected = hinge_loss(masks[:, 0].numpy(), logits[:, 0].numpy())
    assert_close(HingeLoss()(logits[:, 0], masks[:, 0]).item(), expected)


def test_crammer_singer_hinge_is_scikit_learns(logits, indices):
    assert_close(HingeLoss()(logits, indices).item(), hinge_loss(indices.numpy(), logits.numpy()))


@pytest.mark.parametrize("power", [1, 2])
def test_weston_watkins_hinge_is_classes_times_multi_margin(logits, indices, power):
    loss = HingeLoss(multiclass="weston_watkins", squared=power == 2)
    expected = 3 * F.multi_margin_loss(logits, indices, p=power)
    assert_close(loss(logits, indices), expected)


def test_hinge_reads_both_codes_of_a_binary_target(logits, masks):
    for squared in (False, True):
        loss = HingeLoss(squared=squared)
        assert_close(loss(logits, masks), loss(logits, 2 * masks - 1), rtol=0, atol=0)


def test_both_multiclass_hinges_agree_for_two_classes(logits, indices):
    target = indices.clamp(max=1)
    values = [
        HingeLoss(multiclass=name)(logits[:, :2], target)
        for name in ("crammer_singer", "weston_watkins")
    ]
    assert_close(*values)


# logit adjustment

COUNTS = [80, 15, 5]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_logit_adjusted_is_cross_entropy_of_adjusted_logits(logits, indices, tau, reduction):
    prior = torch.tensor(COUNTS, dtype=torch.float64) / 100
    expected = F.cross_entropy(logits + tau * prior.log(), indices, reduction=reduction)
    loss = LogitAdjustedLoss(COUNTS, tau, reduction=reduction)
    assert_close(loss(logits, indices), expected)
    pixels = logits.T.view(1, 3, 8, 5), indices.view(1, 8, 5)
    assert_close(loss(*pixels).flatten(), expected.flatten())


def test_logit_adjusted_has_its_minimum_at_the_probabilities_of_equally_frequent_classes():
    """For samples x with densities p(x|c), the training data have p(c|x) ~ counts * p(x|c)."""
    density = torch.tensor([0.02, 0.1, 0.3], dtype=torch.float64)  # of one x in each class
    share = torch.tensor(COUNTS) * density / (torch.tensor(COUNTS) * density).sum()
    logits = density.log()[None].requires_grad_()
    each = LogitAdjustedLoss(COUNTS, reduction="none")(logits.expand(3, -1), torch.arange(3))
    (share @ each).backward()
    assert_close(logits.grad, torch.zeros_like(logits))
    assert_close(logits.softmax(dim=1)[0], density / density.sum())


def test_a_run_adjusts_by_the_counts_of_its_training_split():
    node = {"_target_": "losslab.losses.LogitAdjustedLoss", "class_counts": None, "tau": 2.0}
    counts = torch.tensor([90, 10])
    loss = build_loss(node, SimpleNamespace(class_counts=counts))
    assert_close(loss.class_counts, torch.tensor([90.0, 10.0]))
    own = build_loss(node | {"class_counts": [1, 3]}, SimpleNamespace(class_counts=counts))
    assert_close(own.class_counts, torch.tensor([1.0, 3.0]))
    with pytest.raises(UserError, match="these data have no class counts"):
        build_loss(node, SimpleNamespace(class_counts=None))


def test_a_class_without_samples_cannot_be_adjusted():
    with pytest.raises(ValueError, match=r"class_counts must be > 0 .* got \[3.0, 0.0\]"):
        LogitAdjustedLoss([3, 0])


# focal


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_focal_without_gamma_is_cross_entropy(logits, indices, reduction):
    expected = CrossEntropyLoss(reduction=reduction)(logits, indices)
    assert_close(FocalLoss(0.0, reduction=reduction)(logits, indices), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_focal_without_gamma_is_bce(logits, masks, reduction):
    soft = 0.8 * masks + 0.1
    for target in (masks, soft):
        expected = BCELoss(reduction=reduction)(logits, target)
        value = FocalLoss(0.0, reduction=reduction)(logits, target)
        assert_close(value, expected, rtol=0, atol=0)


def test_focal_of_two_classes_is_focal_of_the_difference(logits, masks):
    binary = FocalLoss(alpha=0.25)(logits[:, 0], masks[:, 0])
    pair = torch.stack([torch.zeros(40), logits[:, 0]], dim=1)
    assert_close(FocalLoss(alpha=[0.75, 0.25])(pair, masks[:, 0].long()), binary)


def test_alpha_weighs_the_positive_class(logits, masks):
    elements = FocalLoss(reduction="none")(logits, masks)
    expected = elements * torch.where(masks > 0, 0.25, 0.75)
    for alpha in (0.25, [0.75, 0.25]):
        assert_close(FocalLoss(alpha=alpha, reduction="none")(logits, masks), expected)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("lead", [-100.0, -16.0, -1.0, 0.0, 3.0, 16.0])
@pytest.mark.parametrize("form", ["binary", "softmax"])
def test_focal_and_its_gradient_are_accurate_when_saturated(gamma, lead, form):
    mpmath.mp.dps = 80

    def exact(s):
        p = 1 / (1 + mpmath.exp(-s))
        return -((1 - p) ** gamma) * mpmath.log(p)

    if form == "binary":
        prediction, target = torch.tensor([lead]), torch.tensor([1.0])
    else:
        prediction, target = torch.tensor([[0.0, lead]]), torch.tensor([1])
    prediction.requires_grad_()
    value = FocalLoss(gamma)(prediction, target)
    value.backward()
    assert value.item() == pytest.approx(float(exact(lead)), rel=1e-5, abs=1e-37)
    slope = float(mpmath.diff(exact, lead))
    assert prediction.grad.flatten()[-1].item() == pytest.approx(slope, rel=1e-5, abs=1e-37)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_the_only_possible_class_is_0_with_gradient_0(gamma):
    logits = torch.tensor([[0.5, -math.inf, -math.inf]], requires_grad=True)
    value = FocalLoss(gamma)(logits, torch.tensor([0]))
    value.backward()
    assert value.item() == 0
    assert logits.grad.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_extreme_logits_is_finite(gamma):
    logits = torch.tensor([1e4, -1e4, 1e4, -1e4], requires_grad=True)
    elements = FocalLoss(gamma, reduction="none")(logits, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    elements.sum().backward()
    assert elements.tolist() == [0, 0, 1e4, 1e4]
    assert logits.grad.tolist() == [0, 0, 1, -1]


# options and shapes


@pytest.mark.parametrize(
    "given",
    [WEIGHT, tuple(WEIGHT), np.array(WEIGHT), torch.tensor(WEIGHT)],
    ids=["list", "tuple", "array", "tensor"],
)
def test_weights_may_come_in_any_container(given):
    loss = CrossEntropyLoss(weight=given)
    assert loss.state_dict()["weight"].tolist() == WEIGHT


def test_no_weights_leave_no_state():
    losses = (CrossEntropyLoss(), CategoricalCrossEntropyLoss(), BCELoss(), FocalLoss())
    assert [dict(loss.state_dict()) for loss in losses] == [{}] * 4


OPTIONS = {
    "weight negative": (lambda: CrossEntropyLoss([1.0, -1.0]), "weight must be finite and >= 0"),
    "weight nan": (lambda: CrossEntropyLoss([1.0, math.nan]), "weight must be finite and >= 0"),
    "weight word": (lambda: CrossEntropyLoss("balanced"), "weight must be None, one number"),
    "weight table": (lambda: CrossEntropyLoss(torch.ones(2, 2)), r"got shape \(2, 2\)"),
    "weight empty": (lambda: CrossEntropyLoss([]), r"got shape \(0,\)"),
    "smoothing": (lambda: CrossEntropyLoss(label_smoothing=1.5), "label_smoothing must be between"),
    "soft smoothing": (
        lambda: CategoricalCrossEntropyLoss(label_smoothing=-0.1),
        "label_smoothing must be between 0 and 1, got -0.1",
    ),
    "pos_weight": (lambda: BCELoss(pos_weight=-1.0), "pos_weight must be finite and >= 0"),
    "margin": (lambda: HingeLoss(margin=0.0), "margin must be > 0, got 0.0"),
    "multiclass": (lambda: HingeLoss(multiclass="all"), "multiclass must be one of 'crammer_s"),
    "gamma": (lambda: FocalLoss(gamma=-1.0), "gamma must be >= 0, got -1.0"),
    "alpha": (lambda: FocalLoss(alpha=1.5), "alpha must be between 0 and 1, got 1.5"),
}


@pytest.mark.parametrize(("build", "message"), OPTIONS.values(), ids=OPTIONS)
def test_options_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


FIVE = torch.zeros(5, dtype=torch.int64)
CALLS = {
    "indices as floats": (CrossEntropyLoss(), (5, 3), FIVE.float(), "got torch.float32 of shape"),
    "indices with a column": (
        CrossEntropyLoss(),
        (5, 3),
        FIVE[:, None],
        r"indices of shape \(5,\)",
    ),
    "one class": (CrossEntropyLoss(), (5, 1), FIVE, "at least 2 classes"),
    "no classes": (CrossEntropyLoss(), (5,), FIVE, r"shape \(N, C, \*\)"),
    "probabilities for indices": (CrossEntropyLoss(), (5, 3), torch.ones(5, 3), "int64 class ind"),
    "indices for probabilities": (
        CategoricalCrossEntropyLoss(),
        (5, 3),
        FIVE,
        r"the shape of prediction, \(5, 3\), got \(5,\)",
    ),
    "weights of other classes": (
        CrossEntropyLoss([1.0, 2.0]),
        (5, 3),
        FIVE,
        "weight must hold one number per class, 3 in total, got 2",
    ),
    "pos_weight of other classes": (
        BCELoss([1.0, 2.0]),
        (5, 3),
        torch.ones(5, 3),
        "pos_weight must hold one number per class, 3 in total, got 2",
    ),
    "pos_weight without classes": (BCELoss([1.0, 2.0]), (5,), torch.ones(5), "at least 2 classes"),
    "bce broadcast": (BCELoss(), (5, 1), torch.ones(5), r"prediction, \(5, 1\), got \(5,\)"),
    "hinge broadcast": (HingeLoss(), (5,), torch.ones(5, 1), "must be binary with the shape"),
    "focal column": (FocalLoss(), (5, 1), FIVE, "at least 2 classes"),
    "focal float indices": (
        FocalLoss(),
        (5, 3),
        FIVE.float(),
        "or hold int64 class indices of shape",
    ),
    "alpha as one number": (
        FocalLoss(alpha=0.25),
        (5, 3),
        FIVE,
        "alpha must hold one number per class, 3 in total, for class indices",
    ),
    "alpha of other classes": (FocalLoss(alpha=[1.0, 2.0]), (5, 3), FIVE, "3 in total, got 2"),
    "alpha of binary targets": (
        FocalLoss(alpha=WEIGHT),
        (5, 3),
        torch.ones(5, 3),
        "two for the negative and the positive class, got 3",
    ),
}


@pytest.mark.parametrize(("loss", "shape", "target", "message"), CALLS.values(), ids=CALLS)
def test_targets_that_do_not_fit_are_refused(loss, shape, target, message):
    with pytest.raises(ValueError, match=message):
        loss(torch.zeros(shape), target)


INFINITE = [-math.inf, math.inf, -math.inf, math.inf, math.inf, -math.inf, 1.0, -2.0]
SHARES = [0.0, 1.0, 1.0, 0.0, 0.3, 0.7, 1.0, 0.6]


def binary_reference(logits, target, gamma=0.0, positive=1.0, negative=1.0):
    """Return focal loss by its definition, in which a share of 0 leaves a term out."""
    p, q = special.expit(logits), special.expit(-logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [
            positive * target * np.where(q > 0, q**gamma, gamma == 0) * -special.log_expit(logits),
            negative
            * (1 - target)
            * np.where(p > 0, p**gamma, gamma == 0)
            * -special.log_expit(-logits),
        ]
    shares = [target, 1 - target]
    return sum(np.where(share == 0, 0, term) for share, term in zip(shares, terms, strict=True))


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (BCELoss(reduction="none"), {}),
        (BCELoss(pos_weight=3.0, reduction="none"), {"positive": 3.0}),
        (FocalLoss(gamma=0.0, reduction="none"), {}),
        (FocalLoss(gamma=0.5, reduction="none"), {"gamma": 0.5}),
        (
            FocalLoss(gamma=2.0, alpha=0.25, reduction="none"),
            {"gamma": 2.0, "positive": 0.25, "negative": 0.75},
        ),
    ],
    ids=["bce", "pos_weight", "focal 0", "focal 0.5", "focal alpha"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_infinite_logits_have_the_limit_and_no_gradient_is_lost(loss, options, dtype, soft):
    hard = [share in (0.0, 1.0) for share in SHARES]
    kept = [place for place in range(len(SHARES)) if soft or hard[place]]
    logits, target = np.array(INFINITE)[kept], np.array(SHARES)[kept]
    given = torch.tensor(logits, dtype=dtype, requires_grad=True)
    values = loss(given, torch.tensor(target, dtype=dtype))
    np.testing.assert_allclose(
        values.detach(), binary_reference(logits, target, **options), rtol=1e-5
    )
    [gradient] = torch.autograd.grad(values.sum(), given)
    assert gradient.isfinite().all()
    # those of finite logits are what they are without infinite ones
    finite = np.isfinite(logits)
    alone = torch.tensor(logits[finite], dtype=dtype, requires_grad=True)
    [own] = torch.autograd.grad(loss(alone, torch.tensor(target[finite], dtype=dtype)).sum(), alone)
    assert torch.equal(gradient[torch.from_numpy(finite)], own)


@pytest.mark.parametrize(
    ("gamma", "weights"), [(0.0, ()), (0.0, (3.0,)), (2.0, ()), (0.5, (0.25, 0.75))]
)
def test_fused_sums_of_infinite_logits(gamma, weights):
    """Of right decisions alone, and with wrong ones."""
    logits, target = torch.tensor(INFINITE), torch.tensor([0.0, 1, 1, 0, 0, 1, 1, 0])
    given = [torch.tensor(weight) for weight in weights]
    for kept in ([0, 1, 6, 7], list(range(8))):
        z, t = logits[kept].requires_grad_(), target[kept]
        expected = functional.binary_focal(z, t, gamma, *given)
        kernel = ElementKernel(FOCAL, 1, gamma, *given)
        [total], slopes = kernel.compute(True, z.detach(), t)
        assert total.item() == pytest.approx(expected.sum().item(), rel=1e-5)
        [gradient] = torch.autograd.grad(expected.sum(), z)
        torch.testing.assert_close(slopes, gradient)


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropyLoss(reduction="none"),
        CrossEntropyLoss(weight=[1.0, 1.0, 1.0], reduction="none"),
        CategoricalCrossEntropyLoss(reduction="none"),
        FocalLoss(gamma=0.0, reduction="none"),
    ],
    ids=["cross_entropy", "weights", "categorical", "focal"],
)
def test_a_class_with_logit_minus_infinity(loss):
    """It costs nothing where it is wrong, and infinitely much where it is right."""
    logits = torch.tensor([[0.0, -math.inf, 1.0], [-math.inf, 0.0, 1.0]], requires_grad=True)
    target = torch.tensor([0, 0])
    if isinstance(loss, CategoricalCrossEntropyLoss):
        target = torch.nn.functional.one_hot(target, 3).float()
    values = loss(logits, target)
    assert values.tolist() == [pytest.approx(math.log1p(math.e), rel=1e-6), math.inf]
    [gradient] = torch.autograd.grad(values.sum(), logits)
    p = 1 / (1 + math.e)
    torch.testing.assert_close(gradient, torch.tensor([[p - 1, 0, 1 - p], [-1, p, 1 - p]]))


def test_the_margin_of_hinge_is_1_unless_told():
    scores, target = draw(20), (draw(20, seed=1) > 0).double()
    expected = np.maximum(0, 1 - (2 * target - 1).numpy() * scores.numpy())
    np.testing.assert_allclose(functional.binary_hinge(scores, target), expected)


def test_small_means_of_cross_entropy_refuse_what_sums_refuse():
    """The mean of a small batch leaves the checks of most shapes to torch's operator."""
    sizes = [shape for dims in range(5) for shape in itertools.product((1, 2, 3), repeat=dims)]
    both = CrossEntropyLoss(), CrossEntropyLoss(reduction="sum")
    accepted = 0
    for of_logits, of_targets in itertools.product(sizes, sizes):
        for dtype in (torch.int64, torch.int32, torch.uint8, torch.float32):
            batch = torch.zeros(of_logits), torch.zeros(of_targets, dtype=dtype)
            refusals = [_refusal(loss, *batch) for loss in both]
            assert refusals[0] == refusals[1], (of_logits, of_targets, dtype)
            accepted += refusals[0] is None
    assert accepted == sum(len(shape) > 1 and shape[1] > 1 for shape in sizes)


def _refusal(loss, *batch):
    try:
        loss(*batch)
    except ValueError as error:
        return str(error)
    return None


def test_sparse_and_dense_cross_entropy_of_small_batches_have_the_same_gradient_bits():
    """As in training on 10 classes by batches of 64; the kernel of larger ones rounds otherwise."""
    found = []
    index = torch.randint(10, (64,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(64, 10, generator=torch.Generator().manual_seed(1))
    dense = torch.nn.functional.one_hot(index, 10).float()
    for loss, target in ((CrossEntropyLoss(), index), (CategoricalCrossEntropyLoss(), dense)):
        given = logits.clone().requires_grad_()
        value = loss(given, target)
        value.backward()
        found.append((value.detach(), given.grad))
    (sparse, sparse_gradient), (categorical, categorical_gradient) = found
    assert torch.equal(sparse_gradient, categorical_gradient)
    assert_close(sparse, categorical)
