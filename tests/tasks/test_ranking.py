"""Ranking: metrics against hand-made orders, data against their options."""

import numpy as np
import pytest
import torch

from losslab.data.ranking import Letor, Ranking
from losslab.tasks.ranking import RankingTask, query_metrics


@pytest.mark.parametrize(
    ("scores", "grades", "ndcg", "tau", "pairwise"),
    [
        ([3.0, 2.0, 1.0], [2, 1, 0], 1.0, 1.0, 1.0),
        # gains 3, 1, 0 at ranks 3, 2, 1: (1/log2(3) + 3/2) / (3 + 1/log2(3))
        ([1.0, 2.0, 3.0], [2, 1, 0], (1 / np.log2(3) + 1.5) / (3 + 1 / np.log2(3)), -1.0, 0.0),
        ([1.0, 1.0], [1, 0], None, 0.0, 0.5),
    ],
    ids=["right", "reversed", "tied"],
)
def test_query_metrics(scores, grades, ndcg, tau, pairwise):
    values = query_metrics(np.array(scores), np.array(grades))
    if ndcg is not None:
        assert values[0] == pytest.approx(ndcg)
    assert values[1:] == pytest.approx((tau, pairwise))


@pytest.mark.parametrize("lowest", [-1, 0, -1.5])
def test_negative_grades_count_from_the_lowest(lowest):
    scores, grades = np.array([1.0, 3.0, 2.0]), np.array([0.0, 1.0, 2.0]) + lowest
    shifted = query_metrics(scores, grades - lowest)
    assert query_metrics(scores, grades) == pytest.approx(shifted)


def test_large_grades_do_not_overflow():
    """The gains of other documents vanish beside that of the best one."""
    values = query_metrics(np.array([1.0, 2.0, 3.0]), np.array([5000.0, 1.0, 0.0]))
    assert values[0] == pytest.approx(0.5)  # 1 / log2(1 + 3)


def test_padding_and_queries_of_one_grade_are_left_out():
    data = Ranking(queries=50)
    data.setup()
    scores = torch.tensor([[2.0, 1.0, 99.0], [0.0, 1.0, 2.0]])
    grades = torch.tensor([[1, -1, 5], [3, 3, 3]])
    counted = torch.tensor([[1, 1, 0], [1, 1, 1]])
    targets = torch.stack([grades, counted], dim=-1)
    values = RankingTask(data).metrics(scores, targets, None, {})
    assert {name: float(value) for name, value in values.items()} == {
        "ndcg_at_10": 1.0,
        "kendall_tau": 1.0,
        "pairwise_accuracy": 1.0,
    }


def test_noise_moves_training_grades_alone():
    clean, noisy = Ranking(queries=200), Ranking(queries=200, noise=1.0)
    for data in (clean, noisy):
        data.setup()
    assert torch.equal(clean.test.targets, noisy.test.targets)
    assert torch.equal(clean.val.targets, noisy.val.targets)
    assert (clean.train.targets != noisy.train.targets).float().mean() > 0.2


def test_letor_files(tmp_path):
    lines = [
        f"{(query + doc) % 3} qid:{query} 1:{doc}.5 3:{query}.0 # comment\n"
        for query in range(12)
        for doc in range(2 + query % 2)
    ]
    path = tmp_path / "train.txt"
    path.write_text("".join(lines))
    data = Letor(path=str(path))
    data.setup()
    assert data.input_shape == (3, 3)
    grades = torch.cat([split.targets for split in (data.train, data.val, data.test)])
    assert int((grades[..., 1] == 0).sum()) == 6  # every second query has two of three documents
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Letor(path=str(tmp_path / "nowhere")).setup()
