"""Files of ranking grades: fractions are kept, and what cannot be graded is refused by its line."""

import gzip

import numpy as np
import pytest
import torch

from losslab.data.kinds import grades_of
from losslab.data.ranking import Letor
from losslab.losses import MarginRankingLoss, TargetFormat
from losslab.tasks import RankingTask


def lines(grade, queries=12, documents=3):
    """Write the grade of document d of query q, with two features."""
    return [
        f"{grade(query, document)} qid:{query} 1:{document}.5 2:{query}\n"
        for query in range(queries)
        for document in range(documents)
    ]


@pytest.fixture
def letor(tmp_path):
    def save(text, name="train.txt", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes("".join(text).encode(encoding))
        return Letor(path=str(path))

    return save


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def grades(data):
    targets = torch.cat([split.targets for split in (data.train, data.val, data.test)])
    grades, counted = grades_of(targets)
    return grades[counted]


def test_fractional_grades_are_kept(letor):
    known = [0.25, 0.5, 1.5]
    data = ready(letor(lines(lambda query, document: known[document])))
    assert grades(data).unique().tolist() == known
    assert data.describe().splitlines()[1] == "grades in training: 0.25 8, 0.5 8, 1.5 8"
    scores = data.test.targets.clone()
    metrics = RankingTask(data).metrics(scores, data.test.targets, None, {})
    assert {name: value.item() for name, value in metrics.items()} == pytest.approx(
        {"ndcg_at_10": 1, "kendall_tau": 1, "pairwise_accuracy": 1}
    )


def test_gains_of_fractional_grades(letor):
    """NDCG of two documents in the wrong order, calculated from its definition."""
    data = ready(letor(lines(lambda query, document: [0.5, 1.5][document], documents=2)))
    wrong = -data.test.targets
    high, low, second = 2**1.5 - 1, 2**0.5 - 1, 1 / np.log2(3)
    expected = (low + high * second) / (high + low * second)
    ndcg = RankingTask(data).metrics(wrong, data.test.targets, None, {})["ndcg_at_10"]
    assert ndcg.item() == pytest.approx(expected, abs=1e-12)


def test_whole_grades_stay_integers(letor):
    data = ready(letor(lines(lambda query, document: f"{document}.0")))
    assert data.train.targets.dtype == torch.int64


def test_many_different_grades_are_not_listed(letor):
    data = ready(letor(lines(lambda query, document: query / 10 + document / 100, 40)))
    assert "different ones, 0 to" in data.describe()
    pictures = RankingTask(data).figures(
        data.test.inputs, data.test.targets, data.test.targets, torch.nn.Identity()
    )
    assert "one dot per document" in pictures["scores"].axes[0].get_title()


def test_what_reading_changed_is_said(letor):
    text = lines(lambda query, document: document if query else 1)
    data = ready(letor([*text, "2 qid:5 1:1\n"]))
    assert data.notes == (
        "features standardized over all documents",
        "queries padded to 4 documents: 11 (first: qid 0)",
        "queries of one grade, which metrics leave out: 1 (first: qid 0)",
        "queries joined from several blocks of lines: 1 (first: qid 5)",
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-1 qid:3 1:1", r"train.txt, line 39, must have a grade from 0 .* got -1, as 1 of 37"),
        ("nan qid:3 1:1", "line 39, must have a grade from 0 .* got nan"),
        ("1e300 qid:3 1:1", "line 39, must have a grade from 0 to 1000, got 1e"),
        ("1 1:1", "line 39, must have a qid"),
        ("1 qid:3 1:1 2:nan", "line 39, must have finite features, got nan for 2"),
        ("1,5 qid:3 1:1", "line 39, must be 'grade qid:1 .* could not convert .*1,5"),
        ("1 qid:3 2:1 1:1", "line 39, must be .* sorted and unique"),
        ("1 qid:a 1:1", "line 39, must be .* invalid literal for int"),
        ("1 qid:99999999999999999999 1:1", "line 39, must be .* too large"),
    ],
)
def test_lines_that_cannot_be_read_right(letor, line, message):
    data = letor(["# a comment\n", "\n", *lines(lambda query, document: document), line + "\n"])
    with pytest.raises(ValueError, match=message) as caught:
        ready(data)
    assert "\n" not in str(caught.value)


def test_an_empty_file(letor):
    with pytest.raises(ValueError, match=r"must hold lines 'grade qid:1 .*, got none"):
        ready(letor(["# only a comment\n"]))


def test_a_mark_of_utf_8_and_compression(letor, tmp_path):
    text = lines(lambda query, document: document)
    expected = grades(ready(letor(text)))
    assert torch.equal(grades(ready(letor(text, encoding="utf-8-sig"))), expected)
    (tmp_path / "x.txt.gz").write_bytes(gzip.compress("".join(text).encode()))
    assert torch.equal(grades(ready(Letor(path=str(tmp_path / "x.txt.gz")))), expected)
    (tmp_path / "x.txt.gz").write_bytes(b"not compressed")
    with pytest.raises(ValueError, match=r"x.txt.gz must be a file, got: Not a gzipped file"):
        ready(Letor(path=str(tmp_path / "x.txt.gz")))


def test_padding_counts_for_no_loss_and_no_metric(letor):
    """Every second query has two of three documents."""
    text = [f"{d} qid:{q} 1:{d}.5 2:{q}\n" for q in range(12) for d in range(2 + q % 2)]
    data = ready(letor(text))
    task, targets = RankingTask(data), data.train.targets
    target = task.target(targets, TargetFormat.RELEVANCE)
    padding = ~target.counted
    assert padding.any()
    scores = torch.randn(targets.shape[:2], generator=torch.Generator().manual_seed(0))
    other = torch.where(padding, scores + 7, scores).requires_grad_()
    loss = MarginRankingLoss()(other, target)
    loss.backward()
    assert loss.item() == MarginRankingLoss()(scores, target).item()
    assert not other.grad[padding].any()
    found = task.metrics(other.detach(), targets, None, {})
    assert found == task.metrics(scores, targets, None, {})
