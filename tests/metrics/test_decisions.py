"""Decisions against scikit-learn, thresholds against trying all of them."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from losslab.metrics.decisions import best_f1_threshold, binary_f1
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
