"""Scores of predicted probabilities against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch.nn.functional import one_hot

from losslab.metrics.classes import auroc_macro, membership
from losslab.metrics.probability import (
    fit_temperature,
    log_odds,
    negative_log_likelihood,
)


@pytest.fixture
def samples():
    rng = torch.Generator().manual_seed(0)
    return 3 * torch.randn(50, 4, generator=rng), torch.randint(4, (50,), generator=rng)


def test_the_likelihood_of_classes_is_scikit_learns(samples):
    logits, labels = samples
    values = negative_log_likelihood(logits, one_hot(labels, 4), "softmax")
    expected = log_loss(labels, logits.double().softmax(dim=1), labels=range(4))
    assert values.mean().item() == pytest.approx(expected)


def test_the_likelihood_of_labels_is_that_of_each(samples):
    logits, labels = samples
    hot = one_hot(labels, 4)
    values = negative_log_likelihood(logits, hot, "sigmoid")
    probability = logits.double().sigmoid()
    likelihood = torch.where(hot > 0, probability, 1 - probability).prod(dim=1)
    np.testing.assert_allclose(values, -likelihood.log())


def test_probabilities_themselves(samples):
    logits, labels = samples
    probability, hot = logits.double().softmax(dim=1), one_hot(labels, 4)
    values = negative_log_likelihood(probability, hot, "identity")
    np.testing.assert_allclose(values, negative_log_likelihood(logits, hot, "softmax"))
    certain = torch.tensor([[0.0, 1.0]])
    assert negative_log_likelihood(certain, certain, "identity").item() == 0


@pytest.mark.parametrize("scale", [1.0, 40.0, 1e4])
@pytest.mark.parametrize("shape", [(50, 4), (5, 3, 6, 6)])
def test_log_odds_stay_apart_where_probabilities_round(scale, shape):
    logits = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = log_odds(logits, "softmax")
    expected = [
        logits[:, c].double() - others.double().logsumexp(dim=1)
        for c in range(shape[1])
        for others in [torch.cat([logits[:, :c], logits[:, c + 1 :]], dim=1)]
    ]
    torch.testing.assert_close(found, torch.stack(expected, dim=1))
    torch.testing.assert_close(log_odds(logits, "sigmoid"), logits.double())


def test_confident_logits_are_ordered_as_by_scikit_learn():
    """Their probabilities are all 1 in float32."""
    lead, truth = torch.tensor([30.0, 31, 32, 33, 34, 35]), torch.tensor([0, 0, 1, 0, 1, 1])
    logits = torch.stack([torch.zeros(6), lead], dim=1)
    score = log_odds(logits, "softmax")
    found = auroc_macro(score, membership(truth, 2))
    assert float(found) == pytest.approx(roc_auc_score(truth, lead))


def test_equal_log_odds_are_ties():
    """Shifted logits, and logits of the other classes in another order, have the same odds."""
    logits = torch.tensor([[0.0, 0.1, 0.3, 0.5], [10.0, 10.1, 10.3, 10.5], [0.3, 0.1, 0.0, 0.5]])
    logits[1] = logits[0] + 8
    truth = membership(torch.tensor([3, 0, 3]), 4)[:, 3:]
    assert auroc_macro(log_odds(logits[[0, 2, 2]], "softmax")[:, 3:], truth) == 0.5
    shifted = torch.tensor([[0.0, 1.0], [10.0, 11.0], [1000.0, 1001.0]])
    assert len(log_odds(shifted, "softmax")[:, 1].unique()) == 1


def test_the_likelihood_of_what_is_nearly_certain():
    """The probability itself rounds to 1."""
    value = negative_log_likelihood(torch.tensor([[0.0, 40.0]]), torch.tensor([[0, 1]]), "softmax")
    assert value.item() == pytest.approx(np.exp(-40.0), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_temperatures_follow_the_scale_of_the_logits(samples, scale):
    logits, labels = samples
    hot = one_hot(labels, 4)
    for link in ("softmax", "sigmoid"):
        temperature, nll = fit_temperature(logits.double(), hot, link)
        scaled, same = fit_temperature(scale * logits.double(), hot, link)
        assert scaled / temperature == pytest.approx(scale, rel=1e-3)
        assert same == pytest.approx(nll, rel=1e-9)
