"""Pairwise losses beside those of torch on the same pairs."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from losslab.losses import BPRLoss, MarginRankingLoss, RelevanceTarget


@pytest.mark.parametrize("margin", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_pairs_are_those_of_torch(margin, reduction):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    grades = torch.randint(-1, 3, (4, 6), generator=generator)
    first, second, y = [], [], []
    for query in range(4):
        for i, j in itertools.combinations(range(6), 2):
            a, b = grades[query, i].item(), grades[query, j].item()
            if a != b:
                first.append(scores[query, i])
                second.append(scores[query, j])
                y.append(1.0 if a > b else -1.0)
    torchs = torch.nn.MarginRankingLoss(margin=margin, reduction=reduction)
    expected = torchs(torch.stack(first), torch.stack(second), torch.tensor(y))
    assert_close(MarginRankingLoss(margin, reduction)(scores, grades), expected)


def test_padding_is_not_read():
    """Its grade may be any number, and -1 is the grade of a document."""
    counted = torch.tensor([[True, True, False]])
    target = RelevanceTarget(torch.tensor([[1.0, -1.0, torch.nan]]), counted)
    scores = torch.tensor([[0.0, 2.0, torch.nan]], requires_grad=True)
    result = MarginRankingLoss()(scores, target)
    result.backward()
    assert result.item() == 3
    assert scores.grad.tolist() == [[-1, 1, 0]]


def test_queries_do_not_meet():
    scores, grades = torch.tensor([[1.0, 0.0], [9.0, 7.0]]), torch.tensor([[2, 1], [1, 0]])
    assert MarginRankingLoss(margin=1.0)(scores, grades).item() == 0


def test_none_gives_the_sum_of_each_query():
    scores, grades = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]), torch.tensor([[2, 1, 0]] * 2)
    assert MarginRankingLoss(reduction="none")(scores, grades).tolist() == [3, 1]


def test_facts_give_the_share_of_active_pairs():
    scores, grades = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[2, 1, 0]])
    assert_close(MarginRankingLoss().diagnostics(scores, grades)["active_pairs"].item(), 1 / 3)


@pytest.mark.parametrize(
    ("scores", "grades", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 1), r"\(2, 3\), got \(2, 1\)"),
        (
            torch.zeros(2, 3),
            RelevanceTarget(torch.zeros(2, 3), torch.ones(3, dtype=torch.bool)),
            r"\(2, 3\), got \(3,\)",
        ),
        (torch.zeros(3), torch.zeros(3), r"\(queries, documents\), got \(3,\)"),
    ],
    ids=["other shape", "other mask", "no queries"],
)
def test_what_does_not_fit_is_refused(scores, grades, message):
    with pytest.raises(ValueError, match=message):
        MarginRankingLoss()(scores, grades)


def test_a_negative_margin_is_refused():
    with pytest.raises(ValueError, match="margin must be >= 0, got -1"):
        MarginRankingLoss(margin=-1.0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_bpr_of_pairs_is_the_cross_entropy_of_their_differences(reduction):
    generator = torch.Generator().manual_seed(0)
    scores = 9 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    grades = torch.randint(-1, 3, (4, 6), generator=generator)
    differences = [
        scores[query, i] - scores[query, j]
        for query in range(4)
        for i, j in itertools.permutations(range(6), 2)
        if grades[query, i] > grades[query, j]
    ]
    torchs = torch.nn.BCEWithLogitsLoss(reduction=reduction)
    expected = torchs(torch.stack(differences), torch.ones(len(differences), dtype=torch.float64))
    assert_close(BPRLoss(reduction)(scores, grades), expected, rtol=1e-14, atol=0)


def test_bpr_is_exact_far_from_the_boundary():
    """softplus of torch is 0 and linear from 20 on."""
    scores, liked = torch.tensor([[30.0, 0.0]], dtype=torch.float64), torch.tensor([[1, 0]])
    small = 9.357622968839737e-14  # log(1 + exp(-30)), calculated with 30 digits
    assert BPRLoss()(scores, liked).item() == pytest.approx(small, rel=1e-14, abs=0)
    assert BPRLoss()(-scores, liked).item() == pytest.approx(30 + small, rel=1e-15, abs=0)
