"""Metrics of classes against torchmetrics, alone and mapped over many runs."""

import pytest
import torch
from torch.testing import assert_close
from torchmetrics.functional import classification as tm

from losslab.metrics.classes import auroc_macro, calibration_error, f1_macro, membership, recall

CASES = {"ten classes": (10, 300), "two classes": (2, 50), "a class is missing": (6, 12)}


@pytest.fixture(params=CASES.values(), ids=CASES)
def split(request):
    """Probabilities, a few of them equal, with targets."""
    classes, n = request.param
    stream = torch.Generator().manual_seed(classes)
    score = torch.randn(n, classes, generator=stream).mul(2).round(decimals=1).softmax(dim=1)
    target = torch.randint(classes - (classes == 6), (n,), generator=stream)
    return score.double(), target, classes


def test_f1_and_recall(split):
    score, target, classes = split
    guess, truth = membership(score.argmax(dim=1), classes), membership(target, classes)
    options = {"num_classes": classes, "validate_args": False}
    expected = tm.multiclass_f1_score(score, target, average="macro", **options)
    assert_close(f1_macro(guess, truth).float(), expected)
    expected = tm.multiclass_recall(score, target, average=None, **options)
    expected = expected.where(truth.any(dim=0), torch.nan)  # torchmetrics gives 0
    assert_close(recall(guess, truth).float(), expected, equal_nan=True)


@pytest.mark.filterwarnings("ignore:No positive samples")
def test_auroc(split):
    score, target, classes = split
    truth = membership(target, classes)
    there = [c for c in range(classes) if truth[:, c].any() and not truth[:, c].all()]
    each = [tm.binary_auroc(score[:, c], truth[:, c].long()) for c in there]
    assert_close(auroc_macro(score, truth).float(), torch.stack(each).mean())


def test_calibration_error(split):
    score, target, _ = split
    confidence, guess = score.max(dim=1)
    right = guess == target
    expected = tm.multiclass_calibration_error(score, target, score.shape[1], n_bins=15)
    assert_close(calibration_error(confidence, right).float(), expected.float())


def test_a_confidence_of_one_is_in_the_last_bin():
    """Networks with large logits give it; torchmetrics has it in a bin of its own."""
    confidence = torch.tensor([0.97, 1.0, 1.0, 0.98])
    right = torch.tensor([1, 0, 1, 1])
    gap = (right - confidence).sum().abs() / 4
    assert_close(calibration_error(confidence, right).float(), gap)


@pytest.mark.parametrize("metric", [f1_macro, recall, auroc_macro], ids=lambda f: f.__name__)
def test_mapped_over_runs_as_one_by_one(metric):
    stream = torch.Generator().manual_seed(1)
    first = torch.rand(3, 40, 5, generator=stream)
    truth = membership(torch.randint(5, (120,), generator=stream), 5).reshape(3, 40, 5)
    first = first if metric is auroc_macro else first > 0.7
    expected = torch.stack([metric(*pair) for pair in zip(first, truth, strict=True)])
    assert_close(torch.func.vmap(metric)(first, truth), expected)


def test_rounding_does_not_part_confidences_at_the_edge_of_a_bin():
    """A collapsed network's confidence is 1 / 5, give or take the rounding of float32."""
    confidence = torch.tensor([0.2, 0.19999999, 0.20000001, 0.2])
    right = torch.tensor([1, 0, 0, 0])
    gap = (right - confidence).sum().abs() / 4
    assert_close(calibration_error(confidence, right).float(), gap)
