"""Tables of more rows than can be compared pair by pair."""

import math

import numpy as np
import pytest

from losslab.analysis.answer import answers
from losslab.analysis.comparison import MOST_PAIRS, compare
from losslab.analysis.comparison_groups import comparison_groups
from losslab.analysis.conclusions import MOST_TOLD, conclusions
from losslab.analysis.load import Collection
from losslab.analysis.notes import notes
from losslab.analysis.statistics import sign_flip_p

ROWS, SEEDS = 45, 20
EVERY = math.comb(ROWS, 2)


def values(seed: int = 0, step: float = 0.05, rows: int = ROWS) -> dict[str, list[float]]:
    """Errors of losses at the same seeds, each loss worse than the one before it."""
    stream = np.random.default_rng(seed)
    common = stream.normal(size=SEEDS)
    return {
        f"loss{place:02d}": list(9 + step * place + common + 0.1 * stream.normal(size=SEEDS))
        for place in range(rows)
    }


def test_each_row_is_compared_with_the_best_and_corrected_for_all_pairs(collected):
    assert EVERY > MOST_PAIRS
    maes = values()
    result = compare(collected(maes))
    [table] = result.tables
    assert {pair.a for pair in table.pairs} == {"loss00"} == {table.reference.label}
    assert [pair.b for pair in table.pairs] == [row.label for row in table.rows[1:]]
    assert result.comparisons == EVERY
    for pair in table.pairs[::9]:
        p = sign_flip_p(np.array(maes["loss00"]) - np.array(maes[pair.b]))
        assert pair.p == p
        assert pair.adjusted_p == min(1.0, EVERY * p)
        assert (pair.correction.method, pair.correction.divisor) == ("Bonferroni", EVERY)


def test_fewer_rows_are_compared_pair_by_pair(collected):
    [table] = compare(collected(values(rows=12))).tables
    assert len(table.pairs) == math.comb(12, 2)
    assert (table.reference, table.untested) == (None, 0)
    assert table.pairs[0].correction.method == "Holm"


def test_a_baseline_stays_one_comparison_per_row(collected):
    result = compare(collected(values()), baseline="loss07")
    assert (result.comparisons, result.tables[0].untested) == (ROWS - 1, 0)
    assert result.tables[0].pairs[0].correction.method == "Holm"
    [answer] = answers(result, tuned=True)
    assert "loss00 is better by" in answer.text or "are better" in answer.text
    assert len(answer.text) < 900
    with pytest.raises(ValueError, match=r"Rows: loss00, .* and 39 more$"):
        compare(collected(values()), baseline="other")


def test_a_baseline_of_many_rows_is_compared_by_its_best_one(made_up):
    runs = [
        made_up("focal", seed, 1 + place / 10 + seed, settings={"loss.gamma": place})
        for place in range(400)
        for seed in (0, 1)
    ]
    runs += [made_up(loss, seed, 2.0 + seed) for loss in ("mse", "mae") for seed in (0, 1)]
    [table] = compare(Collection(tuple(runs)), baseline="focal").tables
    assert {(pair.a, pair.b) for pair in table.pairs} == {
        (loss, "focal (gamma=0)") for loss in ("mse", "mae")
    }
    assert (table.reference.label, table.untested) == ("focal (gamma=0)", 2 * 399)


def test_failures_count_twice_among_pairs_that_are_not_compared(collected):
    maes = values() | {"lost": [*["diverged"] * 6, *values()["loss00"][6:]]}
    result = compare(collected(maes))
    untested = math.comb(ROWS + 1, 2) - ROWS
    tested = ROWS + 1  # values of each, and the failures of the one that fails
    assert result.comparisons == tested + 2 * untested


def test_the_best_of_many_equal_rows_is_seldom_called_better(collected):
    """The best row is chosen by its values: corrected for its own pairs only, this would fail."""
    wrong, uncorrected = 0, 0
    for seed in range(6):
        [table] = compare(collected(values(seed, step=0.0))).tables
        wrong += any(pair.better for pair in table.pairs)
        uncorrected += any(pair.p <= 0.05 / len(table.pairs) for pair in table.pairs)
    assert wrong <= 1
    assert uncorrected > 1


def test_texts_name_the_first_rows_and_count_the_others(collected):
    comparison = compare(collected(values(), urls={"x": "y"}))
    [table] = comparison.tables
    [answer] = answers(comparison)
    assert "loss00 " in answer.text or "loss00," in answer.text
    assert len(answer.text) < 600
    assert any("compared with loss00 only" in line for line in notes(table))
    assert len(conclusions(table)) < 3 * MOST_TOLD


def test_notes_that_hold_for_most_rows_are_counted(collected):
    maes = {name: [*its[:-1], "exception"] for name, its in values().items()}
    [table] = compare(collected(maes)).tables
    told = [line for line in notes(table) if "failed" in line]
    assert len(told) == 6
    assert "39 more notes of this kind" in notes(table)


@pytest.mark.parametrize("rows", [30])
def test_labels_hold_the_options_that_vary(made_up, rows):
    runs = [
        made_up("focal", seed, 1.0, settings={"loss.gamma": place / 10, "loss.alpha": None})
        for place in range(rows)
        for seed in (0, 1)
    ]
    runs += [made_up("mse", seed, 1.0) for seed in (0, 1)]
    [group] = comparison_groups(runs)
    expected = [f"focal (gamma={place / 10:g})" for place in range(rows)]
    assert [row.label for row in group.rows] == [*expected, "mse"]
