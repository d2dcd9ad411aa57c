"""Compiled kernels against the definitions of the losses in float64."""

import copy
import sys

import pytest
import torch
import torch._dynamo
from conformance import cases
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from losslab.losses import (
    BCELoss,
    CrossEntropyLoss,
    DiceLoss,
    EMDLoss,
    FocalLoss,
    HingeLoss,
    HuberLoss,
    MAELoss,
    MSELoss,
    SmoothL1Loss,
    TargetFormat,
    TverskyLoss,
)
from losslab.losses.functional import fused, kernels

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler")

FUSED = ("cross_entropy", "bce", "focal", "hinge", "dice", "tversky", "focal_tversky")
CASES = [
    case
    for case in cases()
    if case.name in FUSED
    # the others are computed by their definitions
    and (case.name == "cross_entropy" or "ignore_index" not in case.changed)
    and not ({"label_smoothing", "multiclass"} & case.changed.keys())
    and case.form is not TargetFormat.LABELLED_EMBEDDINGS
    and not (case.name == "bce" and isinstance(case.changed.get("pos_weight"), list))
    and not (case.name == "hinge" and case.form is TargetFormat.CLASS_INDICES)
]


@pytest.fixture(autouse=True)
def kernels_of_small_batches(monkeypatch):
    """Compute cross-entropy of a few logits by its kernel, too."""
    monkeypatch.setattr("losslab.losses.classification.CROSS_ENTROPY_KERNEL_FROM", 0)


TINY = torch.finfo(torch.float32).tiny
VALUES = {"rtol": 1e-5, "atol": 1e-7}


def results(loss, prediction, target):
    """The value and its gradient; whether a kernel computed them."""
    prediction = prediction.detach().requires_grad_()
    value = loss(prediction, target)
    (gradient,) = torch.autograd.grad(value, prediction)
    return value.detach(), gradient, type(value.grad_fn).__name__ == "_FusedBackward"


def require_equal(loss, prediction, target):
    """In float32, or half precision, a kernel gives what the definition gives in float64."""
    wide = loss if prediction.dtype is torch.float64 else copy.deepcopy(loss).double()
    soft = target.double() if target.is_floating_point() else target
    expected, slope, by_kernel = results(wide, prediction.double(), soft)
    assert not by_kernel
    value, gradient, by_kernel = results(loss, prediction, target)
    assert by_kernel
    assert value.dtype == torch.float32
    assert_close(value.double(), expected, **VALUES)
    half = prediction.dtype is not torch.float32
    tolerance = torch.finfo(prediction.dtype).eps if half else 2e-5
    assert_close(
        gradient.double(), slope, rtol=tolerance, atol=tolerance * slope.abs().max().item()
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradient(case, dtype, reduction):
    prediction, target = case.example(dtype=dtype, n=37)
    require_equal(case.build(reduction=reduction), prediction, target)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_image": False},
        {"ignore_index": 2, "empty": "skip"},
        {"ignore_index": 2, "per_image": False, "include_background": False},
        {"smooth": 1.0, "weight": [1.0, 2.0, 0.5, 4.0]},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [DiceLoss, lambda **o: DiceLoss(power=2, **o), TverskyLoss])
@pytest.mark.parametrize("classes", [False, True], ids=["masks", "classes"])
def test_regions_larger_than_a_block(make, options, classes):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 4, 37, 53, generator=generator)
    shape = (3, 37, 53) if classes else logits.shape
    target = torch.randint(4 if classes else 2, shape, generator=generator)
    if options.get("ignore_index") and not classes:
        target[torch.rand(shape, generator=generator) < 0.25] = 2
    if classes:
        target[0] = 1  # regions without foreground
    else:
        target[0, 2:] = 0
    loss = make(**options)
    require_equal(loss, logits, target if classes else target.float())
    wide = copy.deepcopy(loss).double()
    assert_close(
        [each.double() for each in loss.total(logits, target)],
        [each.double() for each in wide.total(logits.double(), target)],
        **VALUES,
    )


@pytest.mark.parametrize(
    "loss",
    [BCELoss(), BCELoss(pos_weight=3.0), FocalLoss(), FocalLoss(0.5, alpha=0.3), HingeLoss()],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32], ids=str)
def test_any_mask_in_any_layout(loss, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(3, 5, 9001, generator=generator)).mT
    target = (torch.rand(logits.shape, generator=generator) < 0.3).to(dtype)
    assert logits.numel() > 2**17  # more than one chunk
    require_equal(loss, logits, target)


@pytest.mark.parametrize(
    "loss", [BCELoss(), FocalLoss(1.0), DiceLoss(), DiceLoss(power=2)], ids=str
)
def test_soft_targets(loss):
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(2, 7, 1, 300, generator=generator)
    require_equal(loss, 4 * logits, target.sigmoid())


@pytest.mark.parametrize("options", [{}, {"weight": [0.5, 1.0, 2.0]}], ids=str)
def test_ignored_targets_of_classes_do_not_count(options):
    """Even where their logits are not numbers; none counted gives 0."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 50, generator=generator)
    target = torch.randint(3, (4, 50), generator=generator)
    target[0], target[1, ::2] = -100, -100
    loss = CrossEntropyLoss(**options)
    require_equal(loss, logits, target)
    value, gradient, _ = results(loss, logits, target)
    logits[0] = torch.nan
    assert_close(results(loss, logits, target)[:2], (value, gradient), rtol=0, atol=0)
    assert [each.any().item() for each in results(loss, logits[:1], target[:1])[:2]] == [False] * 2


def test_one_weight_for_all_classes():
    """It cancels in the mean and multiplies the sum."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(400, 10, generator=generator)
    target = torch.randint(10, (400,), generator=generator)
    require_equal(CrossEntropyLoss(weight=2.0), logits, target)
    require_equal(CrossEntropyLoss(weight=2.0, reduction="sum"), logits, target)


ONE_OF_EACH = [
    (BCELoss(), "masks"),
    (DiceLoss(), "masks"),
    (DiceLoss(power=2), "masks"),
    (CrossEntropyLoss(), "classes"),
    (DiceLoss(), "classes"),
    (DiceLoss(power=2), "classes"),
    (EMDLoss(method="sinkhorn"), "clouds"),
]


def batch_of(kind):
    generator = torch.Generator().manual_seed(0)
    shape = (3, 5, 3) if kind == "clouds" else (3, 5, 40, 41)
    prediction = torch.randn(shape, generator=generator)
    if kind == "clouds":
        return prediction, torch.randn(shape, generator=generator)
    if kind == "masks":
        return prediction, (torch.rand(shape, generator=generator) < 0.3).float()
    return prediction, torch.randint(5, (3, 40, 41), generator=generator)


@pytest.mark.parametrize(("loss", "kind"), ONE_OF_EACH, ids=str)
def test_the_value_is_the_same_where_no_gradient_is_wanted(loss, kind):
    prediction, target = batch_of(kind)
    expected, _, by_kernel = results(loss, prediction, target)
    assert by_kernel or kind == "clouds"
    assert_close(loss(prediction, target), expected, rtol=1e-6, atol=0)
    with torch.no_grad():
        assert_close(loss(prediction.requires_grad_(), target), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("loss", "kind"), ONE_OF_EACH, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_graph_that_is_kept_has_the_same_gradient_twice(loss, kind, dtype):
    """Also multiplied by a number, of which bfloat16 would keep three digits."""
    prediction, target = batch_of(kind)
    given = prediction.to(dtype).requires_grad_()
    value = loss(given, target.to(dtype) if target.is_floating_point() else target)
    first, again, scaled, third = (
        torch.autograd.grad(factor * value, given, retain_graph=True)[0]
        for factor in (1.0, 1.0, 4096.0, 1 / 3)
    )
    assert_close(again, first, rtol=0, atol=0)
    tolerance = 2 * torch.finfo(dtype).eps
    largest = first.abs().max().item()
    assert_close(scaled / 4096, first, rtol=tolerance, atol=tolerance * largest)
    assert_close(3 * third, first, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize(("loss", "kind"), ONE_OF_EACH[:-1], ids=str)
def test_the_gradient_is_that_of_the_values_that_were_read(loss, kind):
    """It is held, so that a change in place later does not matter; a further pass would see it."""
    prediction, target = batch_of(kind)
    _, expected, _ = results(loss, prediction, target)
    leaf = prediction.clone().requires_grad_()
    given = leaf * 1
    value = loss(given, target)
    with torch.no_grad():
        given.zero_()
    assert_close(torch.autograd.grad(value, leaf, retain_graph=True)[0], expected, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(value, leaf)


class Stops(torch.autograd.Function):
    """Through which no gradient comes."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, weight):
        return None


@pytest.mark.parametrize(("loss", "kind"), ONE_OF_EACH[:-1], ids=str)
def test_no_gradient_is_not_a_gradient_of_zero(loss, kind):
    prediction, target = batch_of(kind)
    leaf = prediction.requires_grad_()
    Stops.apply(loss(leaf, target)).backward()
    assert leaf.grad is None


@pytest.mark.parametrize(("loss", "kind"), ONE_OF_EACH, ids=str)
def test_a_batch_of_gradients(loss, kind):
    prediction, target = batch_of(kind)
    _, expected, _ = results(loss, prediction, target)
    leaf = prediction.requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5])
    (batch,) = torch.autograd.grad(loss(leaf, target), leaf, weights, is_grads_batched=True)
    assert_close(batch, torch.stack([weight * expected for weight in weights]))


def test_a_graph_that_was_freed_by_a_pass_with_a_graph_is_gone():
    leaf = torch.zeros(2, 2, requires_grad=True)
    value = BCELoss()(leaf, torch.ones(2, 2))
    torch.autograd.grad(value, leaf, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="a second time"):
        torch.autograd.grad(value, leaf)


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), FocalLoss(), DiceLoss()], ids=str)
def test_a_target_that_is_no_class_is_refused_as_by_the_definition(loss):
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        loss(torch.zeros(2, 3, 4), torch.full((2, 4), 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(5000, 10), (3, 10, 40, 41), (2, 3, 1)], ids=str)
def test_focal_loss_of_classes_in_any_layout(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(shape, generator=generator)).to(dtype)
    target = torch.randint(shape[1], shape[:1] + shape[2:], generator=generator)
    alpha = torch.rand(shape[1], generator=generator)
    require_equal(FocalLoss(alpha=alpha), logits, target)


@pytest.mark.parametrize("loss", [MSELoss(), MAELoss(), HuberLoss(0.5), SmoothL1Loss(0.5)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_errors_in_half_precision(loss, dtype):
    generator = torch.Generator().manual_seed(0)
    values, target = torch.randn(2, 300, 7, generator=generator).to(dtype)
    require_equal(loss, values, target)
    require_equal(loss, values, target.float())


@pytest.mark.parametrize("loss", [MSELoss(), MAELoss(), HuberLoss(0.5), SmoothL1Loss(0.5)], ids=str)
def test_large_errors_in_float32(loss):
    generator = torch.Generator().manual_seed(0)
    require_equal(loss, *torch.randn(2, 2**16, generator=generator))


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_confident_logits_keep_their_loss(target):
    """From certain to impossible, to the smallest normal number of float32."""
    logits = torch.linspace(-80, 80, 4001)
    exact = logits.double().requires_grad_()
    given = logits.requires_grad_()
    for loss in (BCELoss(reduction="sum"), FocalLoss(reduction="sum")):
        for place in range(0, 4001, 100):
            one, other = given[place : place + 1], exact[place : place + 1]
            share = torch.tensor([target])
            assert_close(
                loss(one, share).double(), loss(other, share.double()), rtol=2e-6, atol=TINY
            )
            slopes = [
                torch.autograd.grad(loss(z, share.to(z.dtype)), z, retain_graph=True)[0].double()
                for z in (one, other)
            ]
            assert_close(*slopes, rtol=2e-6, atol=TINY)


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "hinge"], ids=str)
def test_second_derivatives(case):
    prediction, target = case.example(dtype=torch.float32, n=3)
    found = []
    for dtype in (torch.float32, torch.float64):
        z = prediction.to(dtype).requires_grad_()
        t = target.to(dtype) if target.is_floating_point() else target
        (slope,) = torch.autograd.grad(case.build()(z, t), z, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), z)[0].double())
    assert_close(*found, rtol=1e-4, atol=1e-5 * found[1].abs().max().item())


def test_a_target_that_is_differentiated_has_its_gradient():
    logits, target = torch.tensor([1.0, -2.0]), torch.tensor([0.25, 0.5], requires_grad=True)
    (slope,) = torch.autograd.grad(BCELoss(reduction="sum")(logits, target), target)
    assert_close(slope, -logits)


def test_threads_do_not_change_the_result():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 400, 500, generator=generator)
    masks = (torch.rand(logits.shape, generator=generator) < 0.3).float()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(
                [results(loss, logits, masks)[:2] for loss in (FocalLoss(), DiceLoss())]
                + [results(DiceLoss(), logits, masks[:, 0].long())[:2]]
            )
    finally:
        torch.set_num_threads(before)
    assert_close(*found, rtol=0, atol=0)


def test_an_overlap_of_ones_own_is_not_that_of_the_base_class():
    class Own(DiceLoss):
        def overlap(self, region):
            return 2 * super().overlap(region)

    logits, masks = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert_close(Own()(logits, masks), 2 * DiceLoss()(logits, masks))


@pytest.fixture
def compiling():
    """Look for the kernels as in a new process."""
    kernels.library.cache_clear()
    yield
    kernels.library.cache_clear()


def test_without_a_compiler_losses_have_their_definition(compiling, monkeypatch, tmp_path):
    batch = CASES[0].example(dtype=torch.float32)
    expected = results(BCELoss(), *batch)
    kernels.library.cache_clear()
    monkeypatch.setenv("CXX", "no-such-program")
    monkeypatch.setenv(kernels.FOLDER, str(tmp_path))
    found = results(BCELoss(), *batch)
    assert (expected[2], found[2]) == (True, False)
    assert_close(found[:2], expected[:2])


def test_where_compiling_fails_the_reason_is_logged(compiling, monkeypatch, tmp_path, caplog):
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!{sys.executable}\nraise SystemExit('no such instruction')\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv(kernels.FOLDER, str(tmp_path / "new"))
    assert kernels.library() is None
    assert "no such instruction" in caplog.text


def test_kernels_can_be_turned_off(compiling, monkeypatch):
    monkeypatch.setenv(kernels.FOLDER, "")
    assert kernels.library() is None


def test_no_kernel_for_tensors_without_memory():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert not fused.has_kernel(torch.zeros(3))
    assert fused.has_kernel(torch.zeros(3))


def test_the_compiled_kernels_are_named_in_records(monkeypatch):
    assert kernels.version().startswith("kernels-")
    monkeypatch.setenv(kernels.FOLDER, "")
    kernels.library.cache_clear()
    assert kernels.version() == "none"
    kernels.library.cache_clear()


BATCH = torch.linspace(-2, 2, 24).view(2, 3, 4), (torch.arange(24) % 3 == 0).float().view(2, 3, 4)


@pytest.mark.parametrize("loss", [BCELoss(), DiceLoss(), FocalLoss()], ids=str)
def test_the_default_dtype_does_not_matter(loss):
    expected = results(loss, *BATCH)
    torch.set_default_dtype(torch.float64)
    try:
        assert_close(results(loss, *BATCH), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert_close(results(loss, *BATCH), expected)


@pytest.mark.parametrize("loss", [BCELoss(), DiceLoss()], ids=str)
def test_what_traces_a_loss_sees_its_operations(loss):
    logits, target = BATCH
    for traced in (make_fx(loss)(logits, target), torch.jit.trace(loss, (logits, target))):
        assert_close(traced(logits + 1, target), loss(logits + 1, target))


def test_tensors_without_numbers_of_their_own_have_no_kernel():
    logits, target = BATCH
    assert fused.has_kernel(logits, target)
    assert not fused.has_kernel(torch._neg_view(logits), target)
    assert not fused.has_kernel(logits, target.as_subclass(type("Own", (torch.Tensor,), {})))
    assert_close(BCELoss()(torch._neg_view(logits), target), BCELoss()(-logits, target))


def test_forward_mode_derivatives():
    logits, target = BATCH
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(logits, torch.ones_like(logits))
        tangent = forward_ad.unpack_dual(BCELoss()(dual, target)).tangent
    assert_close(tangent, results(BCELoss(), logits, target)[1].sum())


@torch._dynamo.config.patch(compiled_autograd=True)
def test_compiled_autograd_of_a_graph_that_is_kept():
    logits, target = BATCH[0].clone().requires_grad_(), BATCH[1]
    value = BCELoss()(logits, target)
    backward = torch.compile(lambda v: (2 * v).backward(retain_graph=True), backend="eager")
    found = []
    for _ in range(3):
        logits.grad = None
        backward(value)
        found.append(logits.grad.clone())
    assert_close(found, [2 * results(BCELoss(), *BATCH)[1]] * 3)


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), FocalLoss()], ids=str)
def test_logits_that_are_no_numbers_show_in_the_value(loss):
    logits, target = torch.zeros(512, 5), torch.zeros(512, dtype=torch.long)
    logits[3, 2] = torch.nan
    value, gradient, by_kernel = results(loss, logits, target)
    assert by_kernel
    assert value.isnan()
    assert gradient[3].isnan().all()


def test_masks_without_channels_cost_nothing():
    assert DiceLoss(reduction="sum")(torch.zeros(2, 0, 4, 4), torch.zeros(2, 0, 4, 4)) == 0
