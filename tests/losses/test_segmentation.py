import numpy as np
import pytest
import torch
from scipy import special
from torch.testing import assert_close

from losslab.losses import (
    BCEDiceLoss,
    BCELoss,
    DiceLoss,
    FocalTverskyLoss,
    TverskyLoss,
)
from losslab.losses.functional import segmentation

LOSSES = (DiceLoss, TverskyLoss, FocalTverskyLoss, BCEDiceLoss)
EACH = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
PER_IMAGE = pytest.mark.parametrize("per_image", [True, False], ids=["per image", "batch"])


def _logits(*shape, dtype=torch.float64):
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.fixture
def masks():
    """Four images with one foreground each, of different size."""
    generator = torch.Generator().manual_seed(1)
    shares = torch.tensor([0.05, 0.2, 0.5, 0.9]).view(4, 1, 1, 1)
    return _logits(4, 1, 6, 5), (torch.rand(4, 1, 6, 5, generator=generator) < shares).double()


@pytest.fixture
def classes():
    """Four images of three classes, each class in each image."""
    generator = torch.Generator().manual_seed(1)
    return _logits(4, 3, 6, 5), torch.randint(3, (4, 6, 5), generator=generator)


# --- limit cases


@PER_IMAGE
@pytest.mark.parametrize("example", ["masks", "classes"])
def test_even_tversky_is_dice(example, per_image, request):
    batch = request.getfixturevalue(example)
    for smooth in (0.0, 3.0):
        dice = DiceLoss(per_image=per_image, smooth=2 * smooth)
        tversky = TverskyLoss(0.5, 0.5, per_image=per_image, smooth=smooth)
        assert_close(tversky(*batch), dice(*batch))


def test_tversky_of_full_prices_is_jaccard(masks):
    logits, target = (values.numpy() for values in masks)
    p = special.expit(logits)
    both, either = (p * target).sum((1, 2, 3)), (p + target - p * target).sum((1, 2, 3))
    assert_close(TverskyLoss(1, 1)(*masks).item(), (1 - both / either).mean())


def test_focal_tversky_of_exponent_1_is_the_sum_of_tversky_over_classes(masks, classes):
    focal = FocalTverskyLoss(exponent=1, fp_weight=0.3, fn_weight=0.7)
    plain = TverskyLoss(0.3, 0.7)
    assert_close(focal(*masks), plain(*masks))
    assert_close(focal(*classes), 3 * plain(*classes))


@PER_IMAGE
def test_bce_dice_is_its_weighted_parts(masks, per_image):
    loss = BCEDiceLoss(0.25, 2.0, per_image=per_image)
    terms = loss.components(*masks)
    assert_close(terms["bce"], 0.25 * BCELoss()(*masks))
    assert_close(terms["dice"], 2 * DiceLoss(per_image=per_image)(*masks))
    assert_close(loss(*masks), sum(terms.values()))


def test_two_classes_are_one_mask_of_the_difference_of_logits(classes):
    logits, target = classes[0][:, :2], classes[1] % 2
    one = logits[:, 1:] - logits[:, :1], target.unsqueeze(1)
    for loss in (DiceLoss, TverskyLoss, FocalTverskyLoss):
        assert_close(loss(include_background=False)(logits, target), loss()(*one))


def test_each_mask_of_several_counts_by_itself(masks):
    logits, target = masks
    stacked = torch.cat([logits, -logits], 1), torch.cat([target, target], 1)
    each = DiceLoss()(logits, target), DiceLoss()(-logits, target)
    assert_close(DiceLoss()(*stacked), sum(each) / 2)


# --- another library


@PER_IMAGE
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("example", ["masks", "classes"])
def test_dice_is_monais(example, power, per_image, request):
    monai = pytest.importorskip("monai.losses")
    logits, target = request.getfixturevalue(example)
    several = example == "classes"
    reference = monai.DiceLoss(
        sigmoid=not several,
        softmax=several,
        to_onehot_y=several,
        squared_pred=power == 2,
        batch=not per_image,
        smooth_nr=0.5,
        smooth_dr=0.5,
    )
    expected = reference(logits, target.unsqueeze(1) if several else target)
    ours = DiceLoss(power=power, per_image=per_image, smooth=0.5)(logits, target)
    assert_close(ours, expected, rtol=1e-6, atol=0)  # MONAI's one-hot is float32


@PER_IMAGE
def test_tversky_is_monais(masks, per_image):
    monai = pytest.importorskip("monai.losses")
    reference = monai.TverskyLoss(
        sigmoid=True, alpha=0.2, beta=0.9, batch=not per_image, smooth_nr=0.5, smooth_dr=0.5
    )
    ours = TverskyLoss(fp_weight=0.2, fn_weight=0.9, per_image=per_image, smooth=0.5)
    assert_close(ours(*masks), reference(*masks))


# --- layouts and reductions


@EACH
def test_an_image_may_lack_the_channel(loss, masks):
    logits, target = masks
    assert_close(loss()(logits[:, 0], target[:, 0]), loss()(logits, target), rtol=0, atol=0)


@EACH
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_may_have_any_dtype(loss, masks, dtype):
    logits, target = masks
    assert_close(loss()(logits, target.to(dtype)), loss()(logits, target), rtol=0, atol=0)


@EACH
def test_none_gives_one_value_a_class_of_an_image(loss, classes):
    logits, target = classes
    values = loss(reduction="none")(logits, target)
    assert values.shape == (4, 3)
    assert loss(reduction="none", per_image=False)(logits, target).shape == (3,)
    divisor = 4 if loss is FocalTverskyLoss else 12
    assert_close(loss()(logits, target), values.sum() / divisor)


@EACH
def test_the_batch_as_one_image_is_one_image_of_all_pixels(loss, masks):
    logits, target = masks
    joined = logits.reshape(1, 1, -1, 5), target.reshape(1, 1, -1, 5)
    assert_close(loss(per_image=False)(logits, target), loss()(*joined))


BUILT = [
    *(loss(per_image=per_image) for loss in LOSSES for per_image in (True, False)),
    DiceLoss(power=2),
    BCEDiceLoss(power=2, per_image=False),
]


@pytest.mark.parametrize("loss", BUILT, ids=str)
def test_soft_targets_have_the_gradient_of_finite_differences(loss, masks):
    logits, target = masks
    soft = target * 0.6 + 0.1
    assert torch.autograd.gradcheck(lambda z: loss(z, soft), logits.requires_grad_())


def test_soft_targets_follow_the_formula(masks):
    logits, target = masks
    soft = (target * 0.6 + 0.1).numpy()
    p = special.expit(logits.numpy())
    for power in (1, 2):
        sizes = (p**power + soft**power).sum((1, 2, 3))
        expected = (1 - 2 * (p * soft).sum((1, 2, 3)) / sizes).mean()
        loss = DiceLoss(power=power)
        assert_close(loss(logits, torch.from_numpy(soft)).item(), expected)


# --- ignored pixels


@EACH
@PER_IMAGE
@pytest.mark.parametrize("example", ["masks", "classes"])
def test_ignored_pixels_count_nowhere(loss, per_image, example, request):
    logits, target = request.getfixturevalue(example)
    options = {"ignore_index": 255, "per_image": per_image}
    ignored = target.clone()
    ignored[..., 3:] = 255
    cropped = loss(per_image=per_image)(logits[..., :3], target[..., :3])
    assert_close(loss(**options)(logits, ignored), cropped)
    assert loss(**options).diagnostics(logits, ignored)["ignored_pixels"] == 4 * 6 * 2
    assert "ignored_pixels" not in loss().diagnostics(logits, target)


@EACH
@pytest.mark.parametrize("empty", ["soft", "skip"])
def test_all_ignored_is_0_with_gradient_0(loss, empty):
    logits = torch.full((2, 1, 3, 3), 5.0, requires_grad=True)
    value = loss(ignore_index=255, empty=empty)(logits, torch.full((2, 1, 3, 3), 255))
    value.backward()
    assert value.item() == 0
    assert logits.grad.count_nonzero() == 0


@EACH
def test_an_ignored_image_leaves_the_mean(loss, masks):
    logits, target = masks
    ignored = target.clone()
    ignored[1] = 255
    rest = [0, 2, 3]
    assert_close(loss(ignore_index=255)(logits, ignored), loss()(logits[rest], target[rest]))


# --- empty targets


def test_an_empty_target_costs_the_mean_probability():
    logits = _logits(1, 1, 4, 4)
    p, empty = special.expit(logits.numpy()), torch.zeros(1, 1, 4, 4)
    assert_close(DiceLoss()(logits, empty).item(), p.mean())
    assert_close(DiceLoss(power=2)(logits, empty).item(), np.square(p).mean())
    assert_close(TverskyLoss(0.1, 0.9)(logits, empty).item(), p.mean())
    assert_close(FocalTverskyLoss(0.75)(logits, empty).item(), p.mean() ** 0.75)


@EACH
def test_an_empty_target_pushes_every_pixel_down(loss):
    logits = _logits(1, 1, 4, 4).requires_grad_()
    loss()(logits, torch.zeros(1, 1, 4, 4)).backward()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("loss", LOSSES[:3], ids=lambda loss: loss.__name__)
def test_a_skipped_target_leaves_the_mean_and_is_counted(loss, masks):
    logits, target = masks
    target[1] = 0
    rest = [0, 2, 3]
    skipping = loss(empty="skip")
    assert_close(skipping(logits, target), loss()(logits[rest], target[rest]))
    assert skipping.diagnostics(logits, target) == {"empty_targets": 1}
    assert skipping(logits, torch.zeros_like(target)).item() == 0


def test_bce_still_sees_a_skipped_target(masks):
    logits, target = masks
    target[1] = 0
    terms = BCEDiceLoss(empty="skip").components(logits, target)
    assert_close(terms["bce"], BCELoss()(logits, target))
    assert_close(terms["dice"], DiceLoss(empty="skip")(logits, target))


# --- numerics


@EACH
@pytest.mark.parametrize("logit", [40.0, 1e4])
def test_a_perfect_mask_costs_nothing_and_keeps_still(loss, logit):
    target = (_logits(2, 1, 4, 4) > 0).float()
    logits = ((2 * target - 1) * logit).requires_grad_()
    value = loss()(logits, target)
    value.backward()
    assert value.item() < 1e-12
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() < 1e-12


@pytest.mark.parametrize("exponent", [0.1, 0.75, 1.0, 2.0])
def test_a_power_at_a_perfect_mask_has_gradient_0(exponent):
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    FocalTverskyLoss(exponent)(logits, torch.tensor([[1, 0]])).backward()
    assert logits.grad.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "loss", [DiceLoss(), FocalTverskyLoss()], ids=lambda loss: type(loss).__name__
)
@pytest.mark.parametrize("layout", ["mask", "classes"])
def test_confident_pixels_keep_their_digits_in_float32(loss, layout):
    logits = torch.tensor([[-30.0, 25.0, 20.0, -20.0, 18.0, -25.0]])
    target = torch.tensor([[0, 1, 1, 0, 1, 0]])
    if layout == "classes":
        logits = torch.stack([torch.zeros_like(logits), logits], dim=1)
    results = []
    for dtype in (torch.float32, torch.float64):
        given = logits.to(dtype, copy=True).requires_grad_()
        value = loss(given, target)
        value.backward()
        results.append((value.detach().double(), given.grad.double()))
    assert_close(results[0], results[1], rtol=2e-5, atol=0)


def test_compiles_with_inductor(classes):
    loss = DiceLoss()
    torch._dynamo.reset()
    assert_close(torch.compile(loss, fullgraph=True)(*classes), loss(*classes))


@PER_IMAGE
@EACH
def test_stacked_batches_are_a_loop(loss, per_image, classes):
    built = loss(per_image=per_image, ignore_index=1, empty="skip")
    logits = torch.stack([classes[0], -classes[0]])
    values = torch.vmap(built, in_dims=(0, None))(logits, classes[1])
    assert_close(values, torch.stack([built(each, classes[1]) for each in logits]))


# --- errors


@EACH
@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        ((2, 1, 4, 4), (2, 4, 4)),
        ((2, 3, 4, 4), (2, 1, 4, 4)),
        ((2, 3, 4, 4), (2, 4, 5)),
        ((2, 4, 4), (2, 1, 4, 4)),
    ],
)
def test_shapes_of_neither_layout_are_refused(loss, prediction, target):
    with pytest.raises(ValueError, match="target must be masks of the prediction's shape") as error:
        loss()(torch.zeros(prediction), torch.zeros(target, dtype=torch.long))
    assert str(prediction) in str(error.value)
    assert str(target) in str(error.value)


@EACH
def test_class_indices_must_be_integers(loss):
    with pytest.raises(TypeError, match="target must hold integer class indices"):
        loss()(torch.zeros(2, 3, 4), torch.zeros(2, 4))


@EACH
def test_a_class_that_is_none_is_refused(loss):
    with pytest.raises((IndexError, RuntimeError), match="index 3 is out of bounds"):
        loss()(torch.zeros(1, 3, 2), torch.tensor([[0, 3]]))


@EACH
def test_class_weights_may_leave_out_the_background(loss):
    logits, target = torch.randn(2, 3, 4), torch.tensor([[0, 1, 2, 1], [2, 2, 0, 0]])
    options = {"include_background": False}
    expected = loss(weight=[1.0, 3.0], **options)(logits, target)
    torch.testing.assert_close(loss(weight=[9.0, 1.0, 3.0], **options)(logits, target), expected)
    with pytest.raises(ValueError, match="one number per class, 3 in total, got 4"):
        loss(weight=[1.0, 1.0, 1.0, 1.0], **options)(logits, target)


@pytest.mark.parametrize("loss", [DiceLoss, TverskyLoss, BCEDiceLoss])
def test_a_class_of_weight_0_is_left_out_of_the_mean(loss):
    logits, target = (
        torch.randn(2, 2, 4, 1),
        torch.tensor([[[0, 1, 1, 1], [1, 0, 0, 1]]] * 2)[..., None],
    )
    only = loss()(logits[:, 1:], target[:, 1:])
    torch.testing.assert_close(loss(weight=[0.0, 2.0])(logits, target), only)


@EACH
def test_regions_of_the_batch_have_no_sample_weights(loss):
    logits, masks = torch.zeros(2, 3, 4), torch.zeros(2, 4).long()
    with pytest.raises(ValueError, match="sample weights need per_image=True"):
        loss(per_image=False).total(logits, masks, torch.ones(2))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_bce_dice_is_made_of_total_and_count_where_its_means_differ(reduction):
    logits = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    masks = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]])[..., None, None].expand(4, 2, 5, 5)
    loss = BCEDiceLoss(empty="skip", dice_weight=3.0, reduction=reduction)
    weights, index = torch.tensor([0.0, 2.0, 1.0, 1.0]), torch.tensor([1, 1, 2, 3])
    expected = loss(logits[index], masks[index])
    found = loss.from_total(*loss.total(logits, masks, weights))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DiceLoss(power=3), "power must be one of 1, 2, got 3"),
        (lambda: DiceLoss(smooth=-1), "smooth must be >= 0, got -1"),
        (lambda: DiceLoss(empty="zero"), "empty must be one of 'soft', 'skip', got 'zero'"),
        (lambda: TverskyLoss(fp_weight=-0.1), "fp_weight must be >= 0, got -0.1"),
        (lambda: TverskyLoss(fn_weight=0), "fn_weight must be > 0, got 0"),
        (lambda: FocalTverskyLoss(exponent=0), "exponent must be > 0, got 0"),
        (lambda: BCEDiceLoss(bce_weight=-1), "bce_weight must be >= 0, got -1"),
        (lambda: BCEDiceLoss(dice_weight=-1), "dice_weight must be >= 0, got -1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_level_of_regions_with_few_pixels():
    """The mean over the pixels that count: none, one, two."""
    level, counted = torch.tensor([0.0, 0.3, 0.8]), torch.tensor([0, 1, 2])
    others = (torch.zeros(3),) * 4
    region = segmentation.Region(counted, *others, level)
    assert_close(segmentation.foreground_level(region), torch.tensor([0.0, 0.3, 0.4]))
    assert segmentation.has_pixels(region).tolist() == [False, True, True]
