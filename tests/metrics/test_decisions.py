"""Decisions against scikit-learn, thresholds against trying all of them."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from losslab.metrics.decisions import best_f1_threshold, binary_f1, first_best
from losslab.metrics.weights import weight_summary


@pytest.mark.parametrize("seed", range(3))
def test_f1_and_its_best_threshold(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(60) < 0.2
    score = np.round(rng.normal(size=60) + truth, 1)  # with ties
    tried = [f1_score(truth, score >= value) for value in np.unique(score)]
    scores, truths = torch.from_numpy(score), torch.from_numpy(truth)
    guess = scores >= best_f1_threshold(scores, truths)
    assert binary_f1(guess, truths).item() == pytest.approx(max(tried))
    assert f1_score(truth, guess.numpy()) == pytest.approx(max(tried))


def test_vectors_are_no_weights():
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        layer.bias.fill_(100.0)
    assert weight_summary(layer) == {"weight_rms": 2.5, "near_zero_weights": 0.5}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_threshold_between_neighbouring_numbers_parts_them(dtype):
    low = torch.tensor(1.0, dtype=dtype)
    score = torch.stack([low, torch.nextafter(low, low + 1)])
    truth = torch.tensor([False, True])
    assert torch.equal(score.double() >= best_f1_threshold(score, truth), truth)


def test_thresholds_of_scores_too_large_to_count_down_from():
    score = torch.tensor([1e20, 1e20, 3e20])
    assert best_f1_threshold(score, torch.tensor([True, True, True])) < 1e20


def test_the_first_of_equally_good_values_wins():
    assert first_best(torch.tensor([torch.nan, 0.3, 0.1 + 0.2, 0.2], dtype=torch.float64)) == 1
