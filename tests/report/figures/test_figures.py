"""What the pictures of a comparison show, read off their axes."""

import io
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.report.figures.cross_losses import cross_losses, shortfall
from losslab.report.figures.final_metrics import final_metrics
from losslab.report.figures.gradient_norms import gradient_norms
from losslab.report.figures.over_time import TableCurves
from losslab.report.figures.seed_differences import MOST_PAIRS, seed_differences
from losslab.report.figures.selection import MOST_ROWS, table_figures
from losslab.report.figures.steps_to_target import common_target, reached, steps_to_target
from losslab.report.figures.style import (
    NARROW_WIDTH,
    NothingToDraw,
    beside,
    drawing_for,
    logarithmic,
    new_figure,
    panels,
    styled,
    svg,
)
from losslab.report.figures.validation_curves import curve_metrics, validation_curves


def line(axes, label):
    [found] = [line for line in axes.lines if line.get_label() == label]
    return found


def texts(axes):
    return [text.get_text() for text in axes.texts]


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_an_svg_is_that_of_savefig_drawn_once(table, monkeypatch):
    figure, buffer = validation_curves(table), io.StringIO()
    styled(figure.savefig)(buffer, format="svg", metadata={"Date": None})
    drawn = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda *given: drawn.append(1) or draw(*given))
    assert buffer.getvalue().endswith(svg(validation_curves(table)))
    assert len(drawn) == 1


class TestCurves:
    def test_a_mean_a_loss_and_a_thin_line_a_seed(self, table):
        [axes] = validation_curves(table).axes
        assert line(axes, "huber").get_ydata()[-1] == pytest.approx(0.55)
        assert line(axes, "mse").get_ydata()[-1] == pytest.approx(1.1)
        assert sum(line.get_linewidth() < 1 for line in axes.lines) == 6
        assert axes.get_title(loc="left") == "mean absolute error ↓"
        assert axes.get_xlabel() == "epoch"

    def test_the_band_is_the_interval_of_the_mean(self, table):
        [axes] = validation_curves(table).axes
        band = TableCurves(table).band(table.rows[0], "val/mae")
        heights = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert heights.max() == pytest.approx(band.high.max())
        assert heights.min() == pytest.approx(max(band.low.min(), 0))  # no error is below 0

    def test_losses_differ_without_colour(self, table):
        [axes] = validation_curves(table).axes
        huber, mse = line(axes, "huber"), line(axes, "mse")
        assert huber.get_linestyle() != mse.get_linestyle()
        assert huber.get_marker() != mse.get_marker()

    def test_a_seed_near_zero_does_not_take_the_axis(self, made_up, table_of, with_curves):
        levels = (0.5, 0.5, 1e-6)
        runs = [with_curves(made_up("mse", k, x), x, epochs=200) for k, x in enumerate(levels)]
        [axes] = validation_curves(table_of(runs)).axes
        mean = line(axes, "mse").get_ydata().min()
        assert axes.get_yscale() == "log"
        assert axes.get_ylim()[0] == pytest.approx(mean / 10)

    def test_reference_losses(self, table):
        read = TableCurves(table)
        [axes] = validation_curves(table, curve_metrics(table, read, references=True), read).axes
        assert axes.get_title(loc="left") == "mse loss ↓"

    def test_nothing_was_measured(self, made_up, table_of):
        with pytest.raises(NothingToDraw, match="no metric was measured during training"):
            validation_curves(table_of([made_up(mae=1.0)]))


class TestFinalMetrics:
    def test_a_dot_and_an_interval_a_loss_the_best_on_top(self, table):
        axes, rmse = final_metrics(table).axes
        assert names(axes.yaxis) == ["huber", "mse"]
        seeds, interval, mean = axes.lines[:3]
        assert seeds.get_xdata() == pytest.approx([0.5, 0.55, 0.6])
        summary = table.summary(table.rows[0], table.columns[0])
        assert list(interval.get_xdata()) == pytest.approx(summary.interval[:2])
        assert mean.get_xdata() == pytest.approx(0.55)
        assert rmse.get_title(loc="left") == "root mean squared error ↓"

    def test_failures_are_said(self, sweep, made_up, table_of):
        failed = made_up("mse", 3, kind="diverged")
        axes = final_metrics(table_of([*sweep, failed])).axes[0]
        assert names(axes.yaxis) == ["huber", "mse\n3, 1 of 4 failed"]

    def test_a_loss_without_a_finished_run(self, sweep, made_up, table_of):
        failed = made_up("mae", 0, kind="diverged")
        axes = final_metrics(table_of([*sweep, failed])).axes[0]
        assert texts(axes) == ["no run finished"]


class TestSeedDifferences:
    def test_differences_at_the_same_seed(self, table):
        [axes] = seed_differences(table).axes
        assert names(axes.yaxis) == ["huber - mse"]
        assert axes.lines[0].get_xdata() == pytest.approx([-0.5, -0.55, -0.6])
        assert axes.get_xlabel() == (
            "difference in mean absolute error, left of 0 the first is better, right the second"
        )
        assert texts(axes) == ["underpowered: n = 3 of 6"]

    def test_a_claim_is_said_and_coloured(self, made_up, table_of):
        runs = [
            made_up(loss, seed, level + 0.1 * seed)
            for loss, level in (("mse", 1.0), ("mae", 0.5))
            for seed in range(6)
        ]
        [axes] = seed_differences(table_of(runs)).axes
        assert texts(axes) == ["mae is better, p = 0.031"]

    def test_a_lost_pair_is_said(self, sweep, made_up, table_of):
        runs = [*sweep, made_up("mse", 3, kind="diverged"), made_up("huber", 3, 0.5)]
        [axes] = seed_differences(table_of(runs)).axes
        assert texts(axes)[0].endswith("\nmse failed at 1")

    def test_of_many_pairs_those_with_the_best(self, made_up, table_of):
        losses = [f"loss{number}" for number in range(8)]
        runs = [
            made_up(loss, seed, 1.0 + place + 0.1 * seed)
            for place, loss in enumerate(losses)
            for seed in range(2)
        ]
        table = table_of(runs)
        assert len(table.pairs) > MOST_PAIRS
        figure = seed_differences(table)
        assert names(figure.axes[0].yaxis) == [f"loss0 - {loss}" for loss in losses[1:]]
        assert "7 of 28 pairs" in figure.get_suptitle()

    def test_of_many_pairs_those_with_the_baseline(self, made_up, table_of):
        runs = [made_up(f"l{k:02}", s, 1.0 + 0.1 * k) for k in range(20) for s in range(3)]
        [axes] = seed_differences(table_of(runs, baseline="l07")).axes
        assert len(axes.get_yticklabels()) == MOST_PAIRS
        assert all("l07" in name for name in names(axes.yaxis))

    def test_many_seeds_that_are_equal_stay_in_their_line(self, made_up, table_of):
        maes = {"a": 1.0, "b": 2.0, "c": 3.0}
        runs = [made_up(loss, s, mae) for loss, mae in maes.items() for s in range(40)]
        [axes] = seed_differences(table_of(runs)).axes
        for place, dots in enumerate(line for line in axes.lines if len(line.get_ydata()) == 40):
            assert place < min(dots.get_ydata()) <= max(dots.get_ydata()) < place + 0.9

    def test_one_row_has_no_pair(self, made_up, table_of):
        with pytest.raises(NothingToDraw, match="no rows are compared by mae"):
            seed_differences(table_of([made_up(mae=1.0)]))


class TestStepsToTarget:
    def test_the_common_target_is_what_the_worst_mean_reaches(self, table):
        assert common_target(table, table.primary_metrics[0], TableCurves(table)) == pytest.approx(
            1.1
        )

    def test_when_each_seed_gets_there(self, table):
        metric, read = table.primary_metrics[0], TableCurves(table)
        huber, mse = table.rows
        # huber falls as 2 / epoch, 2.2 / epoch, 2.4 / epoch
        assert reached(huber, metric, 1.1, read) == {0: 2, 1: 2, 2: 3}
        assert reached(mse, metric, 1.1, read) == {0: 4, 1: 4, 2: math.inf}

    def test_dots_and_median(self, table):
        figure = steps_to_target(table, target=1.1)
        [axes] = figure.axes
        assert list(axes.lines[0].get_xdata()) == [2, 2, 3]
        assert len(set(axes.lines[0].get_ydata())) == 2  # equal ones are side by side
        assert texts(axes) == ["median 2", "median 4\n1 of 3 never"]
        assert "time to a validation mean absolute error of 1.100" in figure.get_suptitle()


class TestCrossLosses:
    def test_means_by_row_and_column(self, table):
        [axes] = cross_losses(table).axes
        assert names(axes.yaxis) == ["huber", "mse"]
        assert names(axes.xaxis) == [
            "mse loss ↓",
            "mean absolute\nerror ↓",
            "root mean\nsquared error\n↓",
        ]
        squares = [np.mean(np.square([level * k for k in (1, 1.1, 1.2)])) for level in (0.5, 1)]
        assert texts(axes)[0] == f"{squares[0]:.4f}"
        shown = dict(zip(texts(axes)[::2], texts(axes)[1::2], strict=True))
        assert shown["1.100"] == "2 times"
        assert list(shown.values()).count("best") == 3

    @pytest.mark.parametrize(
        ("worse", "words"),
        [(1.004, "0.4 % off"), (1.99, "99 % off"), (1.999, "2 times"), (3.64, "3.64 times")],
    )
    def test_how_far_in_words(self, worse, words, made_up, table_of):
        table = table_of([made_up("a", 0, 1.0), made_up("b", 0, worse)])
        [axes] = cross_losses(table, metrics=table.primary_metrics).axes
        assert texts(axes)[1::2] == ["best", words]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [((1.0, 1.5), (0, 0.5)), ((0.0, 1.0), (0, math.inf)), ((2.0, 2.0), (0, 0))],
        ids=["half", "zero", "equal"],
    )
    def test_shortfall_is_a_share_of_the_best(self, values, expected, made_up, table_of):
        runs = [made_up(loss, 0, value) for loss, value in zip(("a", "b"), values, strict=True)]
        table = table_of(runs)
        column = [table.summary(row, table.primary_metrics[0]) for row in table.rows]
        assert tuple(shortfall(summary, column) for summary in column) == pytest.approx(expected)


def test_of_many_rows_the_best_are_drawn_which_the_title_says(made_up, table_of):
    runs = [made_up(f"l{k:02}", s, 1.0 + 0.1 * k) for k in range(MOST_ROWS + 4) for s in range(2)]
    table = table_of(runs)
    drawn = {each.name: each.figure for each in table_figures(compare(Collection(runs)), table)}
    shown = [f"l{k:02}" for k in range(MOST_ROWS)]
    for name in ("final_metrics", "cross_losses"):
        assert names(drawn[name].axes[0].yaxis) == shown
        assert f"the best {MOST_ROWS} of {MOST_ROWS + 4} rows" in drawn[name].get_suptitle()
    assert table.best(MOST_ROWS + 4) is table


def test_gradient_norms_by_step(table):
    [axes] = gradient_norms(table).axes
    assert line(axes, "mse").get_xdata().tolist() == [10, 20, 30, 40]
    assert line(axes, "mse").get_ydata() == pytest.approx(np.full(4, 11.0))
    assert axes.get_yscale() == "log"


def test_a_loss_looks_the_same_in_every_picture(sweep):
    by_mae, by_rmse = (
        validation_curves(compare(Collection(tuple(sweep)), primary_metrics=[name]).tables[0]).axes[
            0
        ]
        for name in ("mae", "rmse")
    )
    assert line(by_mae, "mse").get_color() == line(by_rmse, "mse").get_color()


@pytest.mark.parametrize(
    ("ends", "expected"),
    [((1, 60), [1, 2, 5, 10, 20, 50]), ((1e-4, 8), [1e-4, 1e-3, 1e-2, 0.1, 1])],
    ids=["few decades", "many"],
)
def test_ticks_of_a_logarithmic_axis(ends, expected):
    axes = new_figure(3, 3).subplots()
    logarithmic(axes, "y")
    axes.set_ylim(*ends)
    shown = [tick for tick in axes.get_yticks() if ends[0] <= tick <= ends[1]]
    assert shown == pytest.approx(expected)


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(3, 4, [3]), (5, 4, [3, 2]), (7, 3, [3, 3, 1]), (8, 4, [4, 4])]
)
def test_panels_stand_in_even_rows(count, columns, rows):
    _, grid = panels(count, 2.0, 2.0, columns=columns)
    places = [axes.get_subplotspec().rowspan.start for axes in grid]
    assert [places.count(row) for row in sorted(set(places))] == rows


def test_narrow_figures_have_one_panel_per_row_and_fit_a_phone(table):
    for draw in (final_metrics, validation_curves, seed_differences, gradient_norms):
        wide = draw(table)
        with drawing_for("phone"):
            phone = draw(table)
        assert phone.get_figwidth() == NARROW_WIDTH < wide.get_figwidth()
        places = {round(axes.get_position().x0, 2) for axes in phone.axes}
        assert len(phone.axes) == len(wide.axes)
        assert len(places) == 1
    assert final_metrics(table).get_figwidth() > NARROW_WIDTH


def test_no_values_have_no_heights():
    assert beside([], place=0, step=0.1, room=0.5) == []
