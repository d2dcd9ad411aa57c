import pytest

from losslab.analysis.comparison import compare
from losslab.report.cells import cell, seeds_text


@pytest.mark.parametrize(
    ("maes", "text"),
    [
        ([3.0, 4.0, 5.0, 6.0], "4.500 [2.446, 6.554]"),
        ([12.34567], "12.35"),
        (["diverged", "running"], ""),
    ],
    ids=["four", "one", "none"],
)
def test_a_cell(collected, maes, text):
    [table] = compare(collected({"mse": maes})).tables
    assert cell(table.summary(table.rows[0], table.primary_metrics[0])) == text


@pytest.mark.parametrize(
    ("maes", "text"),
    [
        ([1.0, 2.0], "2"),
        ([1.0, "diverged", "exception"], "1, 2 of 3 failed"),
        (["running", "interrupted", "memory"], "0, 1 of 3 running, 2 of 3 missing"),
        ([1.0, "diverged", "running"], "1, 1 of 3 failed, 1 of 3 running"),
    ],
    ids=["done", "failed", "missing", "both"],
)
def test_the_seeds_of_a_row(collected, maes, text):
    [table] = compare(collected({"mse": maes})).tables
    assert seeds_text(table.rows[0]) == text
