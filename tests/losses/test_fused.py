"""The fused path, at sizes where it would not be taken yet, by the checks of every loss."""

import sys

import pytest
import torch
from conformance import CHECKS, cases
from torch.testing import assert_close
from torch.utils._pytree import tree_map

from losslab.losses import (
    BCELoss,
    FocalLoss,
    HingeLoss,
    HuberLoss,
    MAELoss,
    MSELoss,
    SmoothL1Loss,
    TargetFormat,
)
from losslab.losses.functional import fused
from losslab.losses.functional.regression import ABSOLUTE, HUBER, SQUARED
from losslab.losses.functional.segmentation import MASKS

FUSED = ("bce", "focal", "hinge", "dice", "tversky", "bce_dice")
CASES = [
    case
    for case in cases()
    if case.name in FUSED
    and case.form in (TargetFormat.BINARY_TARGETS, TargetFormat.CLASS_PROBABILITIES)
]
PROMISES = ("value", "gradient", "extremes", "half_precision", "vmaps", "functional_gradient")


@pytest.fixture
def always(monkeypatch):
    """Fused whatever the size, in blocks of four elements."""
    monkeypatch.setattr(fused, "FUSE_FROM", 0)
    monkeypatch.setattr(fused, "BLOCK", 4)


@pytest.mark.parametrize("check", PROMISES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_keeps_the_contract(case, check, always):
    CHECKS[check](case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_derivatives_and_those_by_the_target(case, always):
    prediction, target = case.example(n=2)
    # hinge and ignored targets are about exact values, without a derivative
    smooth = case.name != "hinge" and "ignore_index" not in str(case)
    given = prediction.requires_grad_(), target.double().requires_grad_(smooth)
    assert torch.autograd.gradcheck(case.build(), given)
    assert torch.autograd.gradgradcheck(case.build(), given)


@pytest.mark.parametrize("loss", [BCELoss(), FocalLoss(), HingeLoss()], ids=str)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_a_large_batch_of_any_mask_is_that_of_its_elements(loss, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(3, 5, 9001, generator=generator)).mT.requires_grad_()
    masks = (torch.rand(logits.shape, generator=generator) < 0.3).to(dtype)
    assert logits.numel() > fused.BLOCK
    definition = type(loss)(reduction="none")
    expected = definition(logits.double(), masks).mean()
    assert_close(loss(logits, masks).double(), expected, rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(loss(logits, masks), logits)
    assert_close(slope, torch.autograd.grad(expected, logits)[0], rtol=1e-5, atol=1e-12)


def test_compiled_is_uncompiled(monkeypatch):
    if not fused.has_compiler():
        pytest.skip("no C++ compiler")
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(2**16, generator=generator)).requires_grad_()
    masks = (torch.rand(2**16, generator=generator) < 0.3).float()
    results = []
    for least in (10**9, 0):
        monkeypatch.setattr(fused, "COMPILE_FROM", least)
        value = FocalLoss()(logits, masks)
        results.append((value, *torch.autograd.grad(value, logits)))
    assert not fused._uncompiled
    assert_close(*results, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("loss", [MSELoss(), MAELoss(), HuberLoss(0.5), SmoothL1Loss(0.5)], ids=str)
def test_large_errors_in_half_precision_are_compiled(loss, monkeypatch):
    if not fused.has_compiler():
        pytest.skip("no C++ compiler")
    monkeypatch.setattr(fused, "COMPILE_FROM", 0)
    generator = torch.Generator().manual_seed(0)
    values, target = torch.randn(2, 300, 7, generator=generator).bfloat16()
    values.requires_grad_()
    wide = values.detach().double().requires_grad_()
    value, expected = loss(values, target), loss(wide, target.double())
    assert not fused._uncompiled
    assert value.dtype == torch.float32
    assert_close(value.double(), expected, rtol=1e-5, atol=0)
    (slope,), (expected,) = torch.autograd.grad(value, values), torch.autograd.grad(expected, wide)
    assert_close(slope.double(), expected, rtol=torch.finfo(torch.bfloat16).eps, atol=1e-9)


def test_where_compiling_fails_blocks_take_over(monkeypatch, caplog):
    tried = []

    def fails(*_):
        tried.append(1)
        raise RuntimeError("no such compiler")

    monkeypatch.setattr(fused, "COMPILE_FROM", 0)
    monkeypatch.setattr(fused, "has_compiler", lambda: True)
    monkeypatch.setattr(fused, "_compiled", lambda function: fails)
    monkeypatch.setattr(fused, "_uncompiled", set())
    batch = tree_map(lambda values: values.repeat(2**14, 1), CASES[0].example(torch.float32))
    for _ in range(2):
        assert_close(BCELoss()(*batch), BCELoss(reduction="none")(*batch).mean())
    assert "no such compiler" in caplog.text
    assert len(tried) == 1


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("ignores", [False, True])
def test_the_slope_of_each_sum_over_regions(power, ignores, always):
    """Any weights of the five sums, of masks with and without foreground."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 10, generator=generator, dtype=torch.float64, requires_grad=True)
    masks = (torch.randn(3, 10, generator=generator) > 0).double() * torch.tensor([[1], [1], [0]])
    counted = [torch.randn(3, 10, generator=generator) > -1] if ignores else []
    sums = fused.row_sums(MASKS, 3, logits, masks, *counted, options=(power,))
    elements = MASKS.elements(power, logits, masks, *counted)
    expected = torch.stack([each.sum(dim=1) for each in elements], dim=1)
    assert_close(sums, expected)
    for weights in torch.eye(5, dtype=torch.float64):
        own, other = (
            torch.autograd.grad((each * weights).sum(), logits, retain_graph=True)[0]
            for each in (sums, expected)
        )
        assert_close(own, other)


@pytest.mark.parametrize(("command", "there"), [(sys.executable, True), ("no-such-program", False)])
def test_the_compiler_is_that_of_the_environment(command, there, monkeypatch):
    monkeypatch.setenv("CXX", command)
    assert fused.has_compiler.__wrapped__() is there


@pytest.mark.parametrize(
    ("formula", "options"),
    [(SQUARED, ()), (ABSOLUTE, ()), (HUBER, (0.5,))],
    ids=["2", "1", "huber"],
)
def test_sums_of_errors_in_several_rows(formula, options, always):
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 3, 10, generator=generator)
    prediction.requires_grad_()
    sums = fused.row_sums(formula, 3, prediction, target, options=options)
    [elements] = formula.elements(*options, prediction, target)
    expected = elements.sum(dim=1, keepdim=True)
    assert_close(sums, expected)
    weights = torch.tensor([[1.0], [-2.0], [0.5]])
    own, other = (
        torch.autograd.grad((each * weights).sum(), prediction)[0] for each in (sums, expected)
    )
    assert_close(own, other)
