"""A row's curves on one axis."""

import numpy as np
import pytest
from scipy import stats

from losslab.report.figures.over_time import TableCurves


def test_mean_and_interval_over_seeds(table):
    huber = table.rows[0]
    band = TableCurves(table).band(huber, "val/mae")
    assert band.x.tolist() == [1, 2, 3, 4]
    finals = [0.5, 0.55, 0.6]
    assert band.mean[-1] == pytest.approx(0.55)
    expected = stats.t.interval(0.95, 2, loc=0.55, scale=stats.sem(finals))
    assert (band.low[-1], band.high[-1]) == pytest.approx(expected)
    assert [curve[1][-1] for curve in band.runs.values()] == pytest.approx(finals)


def test_the_mean_ends_with_the_shortest_run(made_up, table_of, with_curves):
    runs = [with_curves(made_up(seed=seed, mae=1.0), 1.0, epochs=3 + seed) for seed in range(2)]
    table = table_of(runs)
    band = TableCurves(table).band(table.rows[0], "val/mae")
    assert band.x.tolist() == [1, 2, 3]
    assert [len(x) for x, _ in band.runs.values()] == [3, 4]


def test_a_single_run_has_no_interval(made_up, table_of, with_curves):
    table = table_of([with_curves(made_up(mae=1.0), 1.0)])
    band = TableCurves(table).band(table.rows[0], "val/mae")
    assert band.mean[-1] == 1.0
    assert np.isnan(band.low).all()


def test_runs_that_failed_have_no_curve(made_up, table_of, with_curves):
    runs = [with_curves(made_up("mse", seed, kind="diverged"), 1.0) for seed in range(2)]
    runs += [with_curves(made_up("mae", seed, 1.0), 1.0) for seed in range(2)]
    table = table_of(runs)
    bands = {row.label: TableCurves(table).band(row, "val/mae") for row in table.rows}
    assert bands["mse"] is None
    assert bands["mae"] is not None


@pytest.mark.parametrize(
    ("name", "settings", "axis", "last"),
    [
        ("val/mae", {}, "epoch", 4),
        ("train/grad_norm", {}, "training step", 40),
        ("val/mae", {"task.steps_per_epoch": 500}, "environment steps", 2000),
    ],
    ids=["epochs", "steps", "environment"],
)
def test_the_axis_fits_what_is_measured(name, settings, axis, last, made_up, table_of, with_curves):
    table = table_of([with_curves(made_up(mae=1.0, settings=settings), 1.0)])
    curves = TableCurves(table)
    assert curves.axis(name) == axis
    assert curves.band(table.rows[0], name).x[-1] == last
