"""NDCG and recall of the first k beside scikit-learn and a loop."""

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from losslab.metrics import ranking
from losslab.metrics.ranking import ndcg, recall


def drawn(ties, queries=40, documents=15):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(queries, documents, generator=generator)
    scores = scores.round() if ties else scores
    return scores, torch.randint(0, 4, (queries, documents), generator=generator)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [1, 10, 15, 40])
def test_ndcg_is_that_of_scikit_learn(ties, k):
    scores, grades = drawn(ties)
    gains = 2**grades - 1
    expected = [
        ndcg_score([g], [s], k=k) for g, s in zip(gains.numpy(), scores.numpy(), strict=True)
    ]
    np.testing.assert_allclose(ndcg(scores, gains, k=k).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_recall_counts_the_relevant_among_the_first(k):
    scores, grades = drawn(ties=False)
    grades[0] = 0
    expected = []
    for score, relevant in zip(scores.numpy(), (grades == 3).numpy(), strict=True):
        first = np.argsort(-score)[:k]
        expected.append(relevant[first].sum() / relevant.sum() if relevant.any() else np.nan)
    np.testing.assert_allclose(recall(scores, grades == 3, k=k).numpy(), expected, rtol=1e-12)
    assert np.isnan(expected[0])


def test_equal_scores_have_the_chance_of_their_orders():
    relevant = torch.tensor([[True, False, False, False, True]])
    scores = torch.tensor([[1.0, 1.0, 1.0, 1.0, 2.0]])
    assert recall(scores, relevant, k=2).item() == pytest.approx((1 + 1 / 4) / 2)
    assert recall(torch.zeros(1, 5), relevant, k=2).item() == pytest.approx(2 / 5)


def test_padding_is_not_ranked():
    scores, grades = drawn(ties=True)
    counted = torch.rand(scores.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    found = ndcg(scores, 2**grades - 1, counted), recall(scores, grades > 2, counted)
    for row, mask in enumerate(counted):
        own, gains = scores[row, mask][None], (2 ** grades[row, mask] - 1)[None]
        relevant = grades[row, mask][None] > 2
        assert torch.equal(found[0][row], ndcg(own, gains)[0])
        torch.testing.assert_close(found[1][row], recall(own, relevant)[0], equal_nan=True)
    spoiled = scores.where(counted, torch.nan), grades.where(counted, 9)
    torch.testing.assert_close(ndcg(spoiled[0], 2 ** spoiled[1] - 1, counted), found[0])


def test_a_score_that_is_not_a_number_gives_none():
    scores, gains = torch.tensor([[1.0, torch.nan], [1.0, 0.0]]), torch.tensor([[1, 0], [1, 0]])
    assert ndcg(scores, gains).isnan().tolist() == [True, False]
    assert recall(scores, gains > 0).isnan().tolist() == [True, False]


def test_queries_are_sorted_in_parts(monkeypatch):
    scores, grades = drawn(ties=True)
    whole = ndcg(scores, grades)
    monkeypatch.setattr(ranking, "CHUNK", 100)  # six queries at once
    assert torch.equal(ndcg(scores, grades), whole)
