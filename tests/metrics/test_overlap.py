"""Overlap of masks against counts by hand, average precision against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from losslab.metrics.overlap import average_precision, mean_of_classes, per_image, squashed


def mask(*rows):
    return torch.tensor(rows, dtype=torch.bool)[None, None]


EMPTY, FULL = mask([0, 0], [0, 0]), mask([1, 1], [1, 1])


@pytest.mark.parametrize(
    ("absent", "guess", "truth", "expected"),
    [
        ("skip", mask([1, 1], [0, 0]), mask([1, 0], [1, 0]), [1 / 3, 1 / 2, 1 / 2, 1 / 2]),
        ("skip", FULL, mask([1, 0], [0, 0]), [1 / 4, 2 / 5, 1 / 4, 1]),
        ("skip", FULL, FULL, [1, 1, 1, 1]),
        ("skip", EMPTY, EMPTY, [math.nan, math.nan, math.nan, math.nan]),
        ("skip", EMPTY, FULL, [0, 0, 0, 0]),
        ("skip", FULL, EMPTY, [0, 0, 0, math.nan]),
        ("one", EMPTY, EMPTY, [1, 1, 1, 1]),
        ("one", EMPTY, FULL, [0, 0, 1, 0]),
        ("one", FULL, EMPTY, [0, 0, 0, 1]),
    ],
)
def test_one_mask(absent, guess, truth, expected):
    values = per_image(guess, truth, absent)
    assert list(values) == ["iou", "dice", "precision", "recall"]
    assert [value.item() for value in values.values()] == pytest.approx(expected, nan_ok=True)


def test_a_class_that_is_always_missed_pulls_the_mean_down():
    """Two of ten images have the second class, which is never predicted; the first one is right."""
    truth = torch.zeros(10, 2, 4, 4, dtype=torch.bool)
    truth[:, 0, :2] = True
    truth[:2, 1, 2:] = True
    guess = truth.clone()
    guess[:, 1] = False
    skipped, counted = per_image(guess, truth), per_image(guess, truth, "one")
    for name in ("iou", "dice", "precision", "recall"):
        assert mean_of_classes(skipped[name]) == 0.5, name
        expected = 1.0 if name == "precision" else 0.9
        assert mean_of_classes(counted[name]).item() == pytest.approx(expected), name


def test_each_mask_has_its_value():
    guess = torch.cat([torch.cat([FULL, EMPTY], 1), torch.cat([FULL, FULL], 1)])
    truth = torch.cat([torch.cat([FULL, EMPTY], 1), torch.cat([EMPTY, EMPTY], 1)])
    assert per_image(guess, truth, "one")["dice"].tolist() == [[1, 1], [0, 0]]


def test_average_precision_is_scikit_learns():
    rng = np.random.default_rng(0)
    truth = rng.random((5, 3, 8, 8)) < 0.1
    score = rng.normal(size=truth.shape) + truth
    expected = np.mean(
        [average_precision_score(truth[:, c].ravel(), score[:, c].ravel()) for c in range(3)]
    )
    value = average_precision(torch.from_numpy(score), torch.from_numpy(truth))
    assert value.item() == pytest.approx(expected)


def test_far_scores_keep_their_order():
    truth = torch.tensor([0, 1, 1, 0]).bool().view(1, 1, 2, 2)
    score = torch.tensor([200.0, 200.1, 300.0, -500.0]).view(1, 1, 2, 2)
    assert average_precision(score, truth).item() == 1
    assert squashed(torch.tensor([-1e9, 0.0, 1e9])).tolist() == pytest.approx([0, 0.5, 1], abs=1e-8)


def test_a_class_that_does_not_occur_is_left_out():
    score = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    truth = torch.tensor([[[[True, False]], [[False, False]]]])
    assert average_precision(score, truth).item() == 1
    assert average_precision(score, truth & False).isnan()
