"""The best loss in each cell of a map, and when it is established."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.analysis.loss_map import loss_map
from losslab.analysis.map_answer import answer, caveats, how_sure
from losslab.config.axes import Axis
from losslab.runs.looks import Looks
from losslab.runs.map_file import read_map, write_map

LOSSES = ("mae", "mse")
SEEDS = 8  # ceil(1 + log2(6 / 0.05)) for one pair in each of six cells


def robust(loss, outliers, lr, seed):
    """Mse is better without outliers, mae with many; with few, the sign varies with the seed."""
    sign = {0: 1, 0.1: (-1) ** seed, 0.2: -1}[outliers]
    return 2 + 0.01 * seed + sign * (0.3 + 0.01 * seed) * (loss == "mae")


def outcomes(found):
    return {(c.x, c.y): (c.outcome, c.best) for c in found.cells.values()}


def test_cells_and_what_is_established(mapped):
    found = mapped(LOSSES, robust, SEEDS)
    decided = {place: out for place, out in outcomes(found).items() if place[0] != 0.1}
    assert decided == {
        (0, 0.01): ("best", "mse"),
        (0, 0.1): ("best", "mse"),
        (0.2, 0.01): ("best", "mae"),
        (0.2, 0.1): ("best", "mae"),
    }
    assert {c.outcome for c in found.cells.values() if c.x == 0.1} == {"undecided"}
    cell = found.cells[2, 0]
    # all 8 signs agree: 2 of 2 ** 8 assignments; Holm multiplies the four smallest by 6
    assert cell.p == pytest.approx(6 * 2 / 2**8)
    assert (cell.pairs[0].a, cell.pairs[0].b) == ("mae", "mse")
    assert cell.pairs[0].mean == pytest.approx(-(0.3 + 0.035))
    assert cell.mean == pytest.approx(2.035 - 0.335)


def test_answer_in_words(mapped):
    found = mapped(LOSSES, robust, SEEDS)
    assert answer(found) == (
        "On regression, by mean absolute error: mae is the best at outliers=0.2 at every lr; "
        "mse is the best at outliers=0 at every lr; undecided: 2 of 6 cells."
    )
    assert how_sure(found) == "8 seeds; sign flips, Holm over 6 comparisons; holds for new samples"
    assert list(caveats(found)) == []


def test_earlier_looks_are_named(mapped):
    looks = Looks((frozenset(range(4)),))
    found = mapped(LOSSES, robust, SEEDS, looks=looks)
    assert "Holm over 6 comparisons, 2 looks;" in how_sure(found)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([(0, 0.01)], "mae is the best in 5 of 6 cells; undecided"),
        ([(0, 0.01), (0, 0.1), (0.1, 0.1)], "in 3 of 6 cells, all of them from outliers=0.1;"),
    ],
)
def test_cells_that_are_no_rectangle_are_counted(mapped, others, words):
    def error(loss, outliers, lr, seed):
        return robust(loss, 0.1 if (outliers, lr) in others else 0.2, lr, seed)

    assert words in answer(mapped(LOSSES, error, SEEDS))


def test_a_loss_must_be_better_than_each_other_one(mapped):
    """Mae is better than mse everywhere, but huber differs from it at random."""

    def error(loss, outliers, lr, seed):
        if loss == "huber":
            return robust("mae", 0.2, lr, seed) + 0.001 * (-1) ** seed
        return robust(loss, 0.2, lr, seed)

    losses = ("mae", "huber", "mse")
    found = mapped(losses, error, 10)
    assert {c.outcome for c in found.cells.values()} == {"undecided"}
    beaten = [p for p in found.pairs if "mse" in (p.a, p.b)]
    assert len(beaten) == 12
    assert all(pair.significant for pair in beaten)
    with_margin = mapped(losses, error, 10, within={"mae": 0.1})
    assert {c.outcome for c in with_margin.cells.values()} == {"equal"}
    assert "the best are equally good within 0.1 in 6 of 6 cells" in answer(with_margin)


def test_failures_count_against_a_loss(mapped):
    def error(loss, outliers, lr, seed):
        return "diverged" if loss == "mse" else robust(loss, 0, lr, seed)

    found = mapped(LOSSES, error, SEEDS)
    assert set(outcomes(found).values()) == {("best", "mae")}
    # McNemar's test: 2 of 2 ** 8; the family has no test of values, since no seed has both
    assert found.cells[0, 0].p == pytest.approx(6 * 2 / 2**8)
    assert list(caveats(found)) == [
        "Runs that diverged or failed, which count against a loss: 48 of mse."
    ]


def test_with_too_few_seeds_that_is_said(mapped):
    found = mapped(LOSSES, robust, SEEDS - 1)
    assert {c.outcome for c in found.cells.values()} == {"undecided"}
    [line] = caveats(found)
    assert line == (
        "With 7 seeds no difference of any size can reach p < 0.05 over 6 comparisons: at least 8 "
        "are needed."
    )


def test_cells_without_all_losses_are_missing(mapped):
    def error(loss, outliers, lr, seed):
        if outliers == 0.2 or (outliers == 0 and loss == "mse"):
            return None
        return robust(loss, 0.2, lr, seed)

    found = mapped(LOSSES, error, SEEDS)
    missing = [(c.x, c.best) for c in found.of("missing")]
    assert missing == [(0, "mae"), (0, "mae"), (0.2, ""), (0.2, "")]
    assert answer(found).endswith("without all results: 4 of 6 cells.")


def test_runs_outside_of_the_grid_are_refused(mapped, made_up, saved):
    runs = tuple(made_up(loss, 0, 1.0, settings={"data.outliers": 0.5}) for loss in LOSSES)
    with pytest.raises(ValueError, match="not one of a cell of the map"):
        loss_map(compare(Collection(runs)), saved(*LOSSES, seeds=1))


@pytest.mark.slow
def test_without_any_difference_few_maps_have_an_established_cell(mapped):
    """At most 5 % of maps make a false claim; pair by pair it would be 17 %."""
    maps, axis = 200, Axis("data.outliers", (0, 0.1))
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(maps):
        values = rng.normal(10, 1, size=(2, 2, 2, SEEDS))

        def error(loss, outliers, lr, seed, values=values):
            return values[LOSSES.index(loss), int(outliers > 0), int(lr > 0.05), seed]

        found = mapped(LOSSES, error, SEEDS, x=axis)
        false += bool(found.of("best"))
    # four cells whose smallest p-value, 2 ** -7, is significant over four comparisons
    expected = 1 - (1 - 2**-7) ** 4
    assert stats.binomtest(false, maps, 0.05, alternative="greater").pvalue > 0.01
    assert stats.binomtest(false, maps, expected).pvalue > 0.01


def test_the_file_of_a_map(tmp_path, saved):
    made = saved(*LOSSES, seeds=8)
    write_map(tmp_path, made)
    assert read_map(tmp_path) == made
    assert (made.cells, made.comparisons, made.runs) == (6, 6, 96)
    assert made.command == "losslab map loss=mae,mse x=... y=... 'seeds=range(0,8)'"
    assert replace(made, seeds=(3, 1)).command.endswith("seeds=3,1")
    assert made.with_seeds([7, 8]).seeds == tuple(range(9))
