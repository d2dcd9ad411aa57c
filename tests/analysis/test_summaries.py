"""Which runs a summary counts as failed, and which it leaves out."""

import math

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection


@pytest.mark.parametrize(
    ("loss", "failed"),
    [(5.0, ()), (math.nan, (2,)), (math.inf, (2,))],
    ids=["the split does not define it", "predictions are NaN", "predictions are infinite"],
)
def test_a_metric_that_is_no_number(made_up, loss, failed):
    runs = [made_up(name, seed, 0.5 + seed / 10) for name in ("mse", "mae") for seed in range(4)]
    runs[2].record["test"] |= {"mae": math.nan, "loss": loss}
    [table] = compare(Collection(tuple(runs))).tables
    summary = table.summaries["mse", "mae"]
    assert sorted(summary.values) == [0, 1, 3]
    assert summary.failed == failed
    [pair] = table.pairs
    assert pair.failures.lost == len(failed)
