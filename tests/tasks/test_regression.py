"""Regression of a table of prices: networks learn, and metrics are in the unit of the price."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from losslab.components import ready_data
from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.data.table import Table
from losslab.lockstep.grouping import Job
from losslab.lockstep.sweep import train_jobs
from losslab.runs.record import read_record
from losslab.runs.scores import read_scores
from losslab.tasks import RegressionTask
from losslab.tasks.regression import r2
from losslab.training import evaluate, train

SD = 4e7


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    area, rooms = rng.normal(size=(2, 600))
    price = 2e8 + SD * (0.8 * area + 0.4 * np.tanh(2 * rooms) + 0.1 * rng.normal(size=600))
    path = tmp_path / "prices.csv"
    pd.DataFrame({"area": area, "rooms": rooms, "price": price}).to_csv(path, index=False)
    return path


def jobs(path: Path, folder: Path, *overrides: str) -> list[Job]:
    given = ["data=table", f"data.path={path}", "data.target=price", "task=regression"]
    given += ["trainer=cpu", "callbacks=quiet", "logger=none", *overrides]
    return [Job(one.config, folder / one.subdir) for one in compose_jobs(jobs_of(given))]


def data_of(path: Path, **options: bool) -> Table:
    data = Table(str(path), "price", **options)
    data.setup()
    return data


@pytest.mark.slow
def test_losses_learn_prices_by_default(prices: Path, tmp_path: Path) -> None:
    own = jobs(prices, tmp_path, "loss=mse,mae,huber", "trainer.max_epochs=40", "seed=0,1")
    assert not train_jobs(own, workers=1)
    for job in own:
        test = read_record(job.folder)["test"]
        assert test["r2"] > 0.9, job.folder
        assert SD / 100 < test["mae"] < test["mae_rmse"] < test["rmse"] < SD / 3
        assert test["ref/mse"] < 0.1  # reference losses are on the scale that networks predict


def test_metrics_scores_and_predictions_are_in_the_unit_of_the_target(
    prices: Path, tmp_path: Path
) -> None:
    options = ("loss=huber", "seed=0,1", "trainer.max_epochs=2", "task.metrics=[r2]")
    together = jobs(prices, tmp_path / "together", *options)
    assert not train_jobs(together, workers=1)
    [alone, _] = jobs(prices, tmp_path / "alone", *options)
    record = train(alone.config, alone.folder)
    for folder in (alone.folder, together[0].folder):
        test, scores = read_record(folder)["test"], read_scores(folder)
        assert scores is not None
        assert scores.prediction is not None
        prices_of_samples = pd.read_csv(prices)["price"].to_numpy()[scores.sample]
        np.testing.assert_allclose(scores.target[:, 0], prices_of_samples, rtol=1e-6)
        pair = prices_of_samples, scores.prediction[:, 0]
        assert test["mae"] == pytest.approx(mean_absolute_error(*pair), rel=1e-4)
        assert test["rmse"] == pytest.approx(root_mean_squared_error(*pair), rel=1e-4)
        assert test["r2"] == pytest.approx(r2_score(*pair), rel=1e-4)
        assert scores.values["mae"].mean() == pytest.approx(test["mae"], rel=1e-4)
        assert test["ref/mse"] == pytest.approx((test["rmse"] / spread(prices)) ** 2, rel=1e-4)
    assert evaluate(alone.folder, ("val", "test"))["test"] == pytest.approx(record["test"])


def spread(path: Path) -> float:
    """Return the standard deviation of the training split of seed 0."""
    scaling = data_of(path).target_scaling
    assert scaling is not None
    raw = data_of(path, standardize_targets=False)
    np.testing.assert_allclose(scaling.scale.item(), raw.train.targets.std(correction=0), rtol=1e-6)
    return scaling.scale.item()


def test_figures_are_in_the_unit_of_the_target(prices: Path) -> None:
    data = data_of(prices)
    figure = RegressionTask(data).figures(
        data.test.inputs, data.test.targets, data.test.targets, torch.nn.Linear(1, 1)
    )["fit"]
    [points, *_] = figure.axes[0].lines
    raw = data_of(prices, standardize_targets=False).test.targets
    np.testing.assert_allclose(points.get_xdata(), raw[:, 0], rtol=1e-6)
    np.testing.assert_allclose(points.get_ydata(), raw[:, 0], rtol=1e-6)


def test_targets_can_stay_as_they_are(prices: Path) -> None:
    data = data_of(prices, standardize_targets=False)
    assert data.target_scaling is None
    assert data.train.targets.mean() == pytest.approx(2e8, rel=0.1)
    values = torch.tensor([[1.0], [2.0]])
    assert RegressionTask(data).in_target_unit(values) is values


@pytest.mark.parametrize("kind", ["table", "arrays"])
def test_whole_numbers_are_values_for_a_regression(kind: str, tmp_path: Path) -> None:
    ages, height = 20 + np.arange(60) % 30, np.random.default_rng(0).normal(size=60)
    if kind == "table":
        path = tmp_path / "x.csv"
        pd.DataFrame({"height": height, "age": ages}).to_csv(path, index=False)
        given = ["data=table", "data.target=age"]
    else:
        path = tmp_path / "x.npz"
        np.savez(path, inputs=height, targets=ages)
        given = ["data=arrays"]
    given += [f"data.path={path}", "task=regression", "trainer=cpu", "trainer.max_epochs=1"]
    [job] = compose_jobs(jobs_of([*given, "loss=mae", "callbacks=quiet", "logger=none"]))
    train(job.config, tmp_path / "run")
    record = read_record(tmp_path / "run")
    assert record["status"] == "done"
    assert record["test"]["mae"] > 0
    assert [note.split(":")[0] for note in record["data_notes"]] == [
        "integer targets read as values"
    ]


def test_without_the_task_whole_numbers_are_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", inputs=np.arange(60.0), targets=np.arange(60) % 3)
    given = ["data=arrays", f"data.path={tmp_path / 'x.npz'}", "loss=cross_entropy"]
    [job] = compose_jobs(jobs_of(given))
    data = ready_data(job.config)
    assert data.target_kind == "classes"
    with pytest.raises(ValueError, match=r"or data.target_kind=values if the targets are numbers"):
        RegressionTask(data)


@pytest.mark.parametrize("targets", ["classes", "textbook line"])
def test_other_targets_are_not_standardised(targets: str, tmp_path: Path) -> None:
    if targets == "classes":
        np.savez(tmp_path / "x.npz", inputs=np.arange(50.0), targets=np.arange(50) % 2)
        given = ["data=arrays", f"data.path={tmp_path / 'x.npz'}", "loss=cross_entropy"]
    else:
        given = ["data=regression", "loss=mse"]
    [job] = compose_jobs(jobs_of(given))
    assert ready_data(job.config).target_scaling is None


def test_r2_of_targets_that_are_constant_up_to_rounding():
    """Their mean may differ from them by a rounding error, which is no variance to explain."""
    target = torch.full((10, 1), 0.1, dtype=torch.float64)
    target[::2] = torch.nextafter(target[::2], target[::2] + 1)
    assert r2(target.clone(), target) == 1
    assert r2(target + 0.01, target) == 0
