"""Scores of predicted probabilities against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch.nn.functional import one_hot

from losslab.metrics.classes import auroc_macro, membership
from losslab.metrics.probability import (
    brier_score,
    log_odds,
    negative_log_likelihood,
    predictive_entropy,
    to_probability,
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


def test_one_value_per_sample(samples):
    logits, labels = samples
    probability, hot = to_probability(logits, "softmax"), one_hot(labels, 4)
    brier = [((p - t) ** 2).sum() for p, t in zip(probability.numpy(), hot.numpy(), strict=True)]
    np.testing.assert_allclose(brier_score(probability, hot), brier, rtol=1e-5)
    entropy = [-(p * np.log(p)).sum() for p in probability.numpy()]
    np.testing.assert_allclose(
        predictive_entropy(probability, "softmax"), entropy, rtol=1e-4, atol=1e-6
    )


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
