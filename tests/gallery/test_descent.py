"""Steps to a target and oscillation, from curves written by hand."""

import math
from pathlib import Path

import pytest

from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import Run
from losslab.gallery.chart import draw_curves
from losslab.gallery.descent import oscillation, steps_to_target
from losslab.gallery.rows import MEASURES
from losslab.runs.curves import CurveWriter, Point
from losslab.runs.folder import RunFolder
from losslab.runs.record import new_record


def run_of(folder: Path, **curves):
    folder.mkdir(exist_ok=True)
    writer = CurveWriter(RunFolder(folder).metrics)
    for name, values in curves.items():
        writer.append(
            Point(epoch, 10 * (epoch + 1), 0.0, f"val/{name}", value)
            for epoch, value in enumerate(values)
        )
    writer.flush()
    record = new_record()
    record.update(status="done")
    return Run(folder, record, {"task": {"monitor": "mae", "mode": "min"}})


@pytest.mark.parametrize(
    ("r2", "steps"),
    [
        ([0.5, 0.9999, 1.0], 20),
        ([0.99995, 0.5, 0.2], 10),  # arrived once, wherever it went then
        ([0.5, 0.9998, math.nan], math.nan),
    ],
    ids=["later", "and left", "never"],
)
def test_steps_to_the_target_are_those_of_the_first_arrival(tmp_path, r2, steps):
    assert steps_to_target(run_of(tmp_path, r2=r2)) == pytest.approx(steps, nan_ok=True)


def test_oscillation_is_the_mean_change_in_the_last_quarter(tmp_path):
    """Of eight epochs, those are the changes into the seventh and into the eighth."""
    made = run_of(tmp_path, mae=[90.0, 5.0, 7.0, 5.0, 7.0, 2.0, 3.0, 1.0])
    assert oscillation(made) == (1 + 2) / 2


def test_a_single_epoch_does_not_oscillate(tmp_path):
    assert math.isnan(oscillation(run_of(tmp_path, mae=[1.0])))


def test_curves_are_drawn_by_epoch_on_a_logarithmic_axis(tmp_path):
    """Of the means 10 and 0.1, with the labels that are given."""
    each = {"a": [8, 0.05], "b": [12, 0.15]}
    runs = [run_of(tmp_path / name, mae=values) for name, values in each.items()]
    figure = draw_curves([Row("long label", (*runs,))], ["mse"], "val/mae", "epoch", log=True)
    [axes] = figure.axes
    assert axes.get_yscale() == "log"
    [label] = axes.get_legend().get_texts()
    mean = axes.get_lines()[-1]
    assert (label.get_text(), mean.get_label()) == ("mse", "mse")
    assert mean.get_xdata().tolist() == [1, 2]
    assert mean.get_ydata() == pytest.approx([10, 0.1])


def test_the_training_return_is_the_last_logged_mean_of_training_episodes(tmp_path):
    run = run_of(tmp_path, return_mean=[500.0])
    writer = CurveWriter(RunFolder(tmp_path).metrics)
    writer.append(Point(0, step, 0.0, "train/return_mean", step / 10) for step in (100, 200))
    writer.flush()
    _, training_return = MEASURES["training_return"]
    assert training_return(run) == 20.0
