"""Measures and baselines of the claim about information, of runs on a channel."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import entropy

from losslab.analysis.load import collect
from losslab.config.jobs import compose_jobs
from losslab.gallery.chart import draw_chart
from losslab.gallery.claim import Chart
from losslab.gallery.rows import picked, rows_of
from losslab.training import train

COMMON = ["loss=cross_entropy", "data=channel", "data.n=1000", "data.alphabet=2", "trainer=cpu"]
QUICK = ["trainer.max_epochs=3", "optimizer.lr=0.05", "callbacks=quiet", "logger=none"]
MEASURED = ("loss_per_symbol", "rare_information", "information_of_share")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = [
        ["data.noise=0.2", "data.constant=true", "data.symbols=1"],
        ["data.noise=0.2", "data.constant=false", "data.symbols=2"],
        ["data.noise=0.1", "data.constant=false", "data.symbols=2"],
    ]
    jobs = compose_jobs([[*COMMON, *QUICK, *own] for own in options])
    for place, job in enumerate(jobs):
        train(job.config, folder / str(place))
    return rows_of(collect([folder]).runs, MEASURED)


def values_of(row):
    [run] = row.runs
    return run.record["test"]


def test_the_rarest_class_costs_the_information_that_is_predicted_for_it(rows):
    """The input says nothing, so one probability is predicted, and its entropy is recorded."""
    test = values_of(picked(rows, {"data.constant": True}))
    p = brentq(lambda share: entropy([share, 1 - share]) - test["entropy"], 1e-6, 0.5)
    assert test["rare_information"] == pytest.approx(-math.log2(p), rel=1e-4)
    assert test["information_of_share"] == -math.log2(0.2)


def test_measures_that_do_not_apply_are_missing(rows):
    test = values_of(picked(rows, {"data.constant": False, "data.noise": 0.2}))
    assert not {"rare_information", "information_of_share"} & test.keys()
    assert test["loss_per_symbol"] == test["ref/cross_entropy"] / 2


def test_a_baseline_is_drawn_at_each_place_of_the_axis(rows):
    chart = Chart(
        ("ref/cross_entropy",),
        along="data.noise",
        baselines=("true_distribution",),
        where={"data.constant": False},
    )
    [axes] = draw_chart(chart, rows).axes
    [line] = [line for line in axes.lines if line.get_label() == "true distribution"]
    assert line.get_xdata() == pytest.approx([0.1, 0.2])
    expected = [2 * entropy([noise, 1 - noise]) for noise in (0.1, 0.2)]
    np.testing.assert_allclose(line.get_ydata(), expected)


def test_the_true_distribution_of_a_constant_input_saves_nothing(rows):
    [run] = picked(rows, {"data.constant": True}).runs
    assert run.record["baselines"]["true_distribution"]["bits"] == 0
