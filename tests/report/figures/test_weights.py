"""Two metrics over the weight of a component, and the Pareto front."""

import numpy as np
import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.metrics.labels import metric
from losslab.report.figures.selection import table_figures
from losslab.report.figures.style import NothingToDraw
from losslab.report.figures.weights import pareto_front, weights

MAE = {0.1: (1.0, 4.0), 1.0: (2.0, 2.0), 10.0: (3.0, 3.0)}
"""Mean absolute and root mean squared error by weight: the last is dominated."""


def of_sum(weight, mse=1.0):
    options = {"mse": ("MSE", mse), "mae": ("MAE", weight)}
    return {
        f"loss.of.{name}.{key}": value
        for name, (target, own) in options.items()
        for key, value in (("weight", own), ("loss._target_", target))
    }


@pytest.fixture
def runs(made_up):
    """Makes the runs of sums of mse and mae, by weight, and of mae alone."""

    def make(points, *, mse=1.0, alone=(5.0, 1.0)):
        rows = {
            f"mse+{weight:g}mae": (point, of_sum(weight, mse)) for weight, point in points.items()
        }
        if alone:
            rows["mae"] = (alone, {"loss._target_": "MAE"})
        found = []
        for label, ((mae, rmse), settings) in rows.items():
            for seed, shift in enumerate((-0.1, 0.0, 0.1)):
                run = made_up(label, seed, mae + shift, settings=settings)
                run.record["test"]["rmse"] = rmse + 2 * shift
                found.append(run)
        return found

    return make


def test_points_are_means_in_the_order_of_the_weight(runs, table_of):
    [axes] = weights(table_of(runs(MAE))).axes
    assert axes.lines[0].get_xydata() == pytest.approx(np.array(list(MAE.values())))
    assert [text.get_text() for text in axes.texts] == ["0.1", "1", "10", "mae alone"]
    assert [text.xy for text in axes.texts[::3]] == [pytest.approx((1, 4)), pytest.approx((5, 1))]
    assert axes.get_xlabel() == "mean absolute error ↓"
    assert axes.get_ylabel() == "root mean squared error ↓"
    assert axes.get_title(loc="left") == "mse + mae, by the weight of mae"


def test_intervals_are_those_of_the_summaries(runs, table_of):
    table = table_of(runs(MAE))
    [axes] = weights(table).axes
    row = next(row for row in table.rows if row.label == "mse+0.1mae")
    for line, name in zip(axes.lines[2:4], ("mae", "rmse"), strict=True):
        low, high, _ = table.summary(row, metric(name)).interval
        ends = line.get_xdata() if name == "mae" else line.get_ydata()
        assert list(ends) == pytest.approx([low, high])


def test_the_front_is_filled_and_joined(runs, table_of):
    [axes] = weights(table_of(runs(MAE))).axes
    front = axes.lines[1]
    assert front.get_xydata() == pytest.approx(np.array([(5, 1), (2, 2), (1, 4)]))
    filled = {
        tuple(np.round(line.get_xydata()[0], 6)): line.get_markerfacecolor() == line.get_color()
        for line in axes.lines[2:]
        if line.get_marker() not in ("None", None, "")
    }
    assert filled == {(1, 4): True, (2, 2): True, (3, 3): False, (5, 1): True}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["accuracy", "auroc"], ["c", "a"]),
        (["mae", "rmse"], ["d"]),
        (["accuracy", "ece"], ["d", "b", "a"]),
    ],
)
def test_directions_of_better(names, expected):
    points = {"a": (3, 2), "b": (2, 1), "c": (1, 3), "d": (0, 0), "e": (2, 1.5)}
    assert pareto_front(points, [metric(name) for name in names]) == expected


def test_equal_points_do_not_dominate_each_other():
    assert pareto_front({"a": (1, 1), "b": (1, 1)}, [metric("mae"), metric("rmse")]) == ["a", "b"]


def test_the_metrics_are_those_that_were_asked_for(runs, table_of):
    [axes] = weights(table_of(runs(MAE), primary_metrics=["rmse", "mae"])).axes
    assert axes.get_xlabel() == "root mean squared error ↓"
    assert axes.get_ylabel() == "mean absolute error ↓"


def test_a_weight_without_the_metric_is_left_out(runs, table_of):
    found = runs(MAE)
    for run in found[:3]:
        run.record["test"]["rmse"] = float("nan")
    [axes] = weights(table_of(found)).axes
    assert [text.get_text() for text in axes.texts] == ["1", "10", "mae alone"]


def test_a_panel_per_value_of_another_weight(runs, table_of):
    more = {weight: (2 * mae, rmse) for weight, (mae, rmse) in MAE.items()}
    found = [*runs(MAE), *runs(more, mse=2.0, alone=None)]
    for run in found[12:]:
        run.config["choices"]["loss"] = run.record["loss"] = f"2{run.loss}"
    titles = [axes.get_title(loc="left") for axes in weights(table_of(found)).axes]
    assert titles == ["mse + mae, by the weight of mae", "2mse + mae, by the weight of mae"]


def test_fewer_than_three_weights_or_a_single_metric_have_no_figure(runs, table_of):
    two = {weight: MAE[weight] for weight in (0.1, 1.0)}
    with pytest.raises(NothingToDraw, match="no weight has three values"):
        weights(table_of(runs(two)))
    with pytest.raises(NothingToDraw):
        weights(table_of(runs(MAE), columns=["mae"]))


def test_it_is_a_figure_of_the_report(runs):
    comparison = compare(Collection(tuple(runs(MAE))))
    [figure] = [f for f in table_figures(comparison, comparison.tables[0]) if f.name == "weights"]
    assert figure.caption.startswith("Two metrics over a component's weight")
    assert "mean absolute error and root mean squared error" in figure.figure.get_suptitle()


def test_a_metric_that_no_sum_has_is_passed_over(runs, table_of):
    found = runs(MAE)
    for run in found:
        run.config["task"]["metrics"] = ["mae", "ece", "rmse"]
        if "+" not in run.loss:
            run.record["test"]["ece"] = 0.1
    [axes] = weights(table_of(found)).axes
    assert axes.get_ylabel() == "root mean squared error ↓"
