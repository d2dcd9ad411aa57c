"""What each kind of run keeps of its test samples."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from kinds_of_run import DIGITS, EPISODES, LINE, RUNS, config_of
from losslab.components import build_components
from losslab.modules.scores import ScoreOptions
from losslab.runs.record import read_record
from losslab.runs.scores import Scores, read_scores
from losslab.tasks import ClassificationTask, RegressionTask
from losslab.training import evaluate, train

WITH_PREDICTIONS = {"masks", "one metric"}


def trained(folder: Path, *overrides: str) -> Scores | None:
    assert train(config_of(*overrides), folder)["status"] == "done"
    return read_scores(folder)


@pytest.mark.parametrize("name", RUNS)
def test_the_mean_of_a_score_is_the_recorded_metric(name, tmp_path):
    scores, test = trained(tmp_path, *RUNS[name]), read_record(tmp_path)["test"]
    shared = scores.values.keys() & test.keys()
    assert shared
    for metric in shared:
        assert np.nanmean(scores.values[metric]) == pytest.approx(test[metric], abs=1e-5), metric
    data = build_components(config_of(*RUNS[name])).data
    np.testing.assert_array_equal(scores.sample, data.test_index)
    assert (scores.prediction is not None) == (name in WITH_PREDICTIONS)


def test_predictions_give_the_metric_that_is_not_a_mean(tmp_path):
    scores = trained(tmp_path, *DIGITS, "task.metrics=[auroc]")
    components = build_components(config_of(*DIGITS))
    np.testing.assert_array_equal(scores.target, components.data.test.targets)
    pair = torch.from_numpy(scores.prediction), torch.from_numpy(scores.target)
    metrics = components.task.metrics(*pair, "softmax", {})
    recorded = read_record(tmp_path)["test"]
    for name in ("auroc", "f1_macro", "ece"):
        assert metrics[name].item() == pytest.approx(recorded[name], abs=1e-6)


def test_runs_of_one_split_share_their_samples(tmp_path):
    one = trained(tmp_path / "0", *DIGITS, "data.split_seed=3", "seed=0")
    other = trained(tmp_path / "1", *DIGITS, "data.split_seed=3", "seed=1")
    np.testing.assert_array_equal(one.sample, other.sample)
    redrawn = trained(tmp_path / "2", *DIGITS, "seed=1")
    assert set(one.sample) != set(redrawn.sample)
    assert len(set(redrawn.sample)) == len(redrawn.sample)


def test_scores_are_kept_on_request(tmp_path):
    assert trained(tmp_path / "0", *LINE, "scores=false") is None
    assert trained(tmp_path / "1", *LINE, "test=false") is None


def test_a_limited_test_keeps_what_was_evaluated(tmp_path):
    scores = trained(tmp_path / "0", *LINE, "trainer.limit_test_batches=1", "data.batch_size=8")
    assert scores.sample.shape == scores.values["mae"].shape == (8,)
    limited = ["trainer.limit_test_batches=1", "data.test_episodes=120"]
    scores = trained(tmp_path / "1", *EPISODES, *limited)
    assert list(scores.values) == ["return_mean"]
    assert len(scores.sample) == 100


def test_an_evaluation_leaves_the_scores_of_the_run(tmp_path):
    trained(tmp_path, *LINE)
    before = (tmp_path / "scores.npz").stat().st_mtime_ns
    evaluate(tmp_path, ("val", "test"), "last")
    assert (tmp_path / "scores.npz").stat().st_mtime_ns == before


def test_a_resumed_run_writes_the_scores_of_its_new_checkpoint(tmp_path):
    before = trained(tmp_path, *LINE)
    train(config_of(*LINE, "trainer.max_epochs=2"), tmp_path, resume=True)
    after = read_scores(tmp_path)
    np.testing.assert_array_equal(before.sample, after.sample)
    recorded = read_record(tmp_path)["test"]["mae"]
    assert after.values["mae"].mean() == pytest.approx(recorded, abs=1e-5)
    assert after.values["mae"].mean() != pytest.approx(before.values["mae"].mean(), abs=1e-3)


# --- predictions --------------------------------------------------------------------------------

SAMPLE, PREDICTION, TARGET = torch.arange(1000), torch.randn(1000, 3), torch.arange(1000) % 3
VALUES = {"accuracy": torch.ones(1000)}


def kept(options: ScoreOptions, task: type, values=VALUES) -> Scores:
    return options.scores(SAMPLE, values, task, (PREDICTION, TARGET))


@pytest.mark.parametrize(
    ("primary", "task", "values", "with_predictions"),
    [
        ("accuracy", ClassificationTask, VALUES, False),
        ("auroc", ClassificationTask, VALUES, True),
        ("rmse", RegressionTask, {"squared_error": torch.ones(1000)}, False),
        ("r2", RegressionTask, {"squared_error": torch.ones(1000)}, True),
        ("mine", RegressionTask, {}, True),
    ],
)
def test_predictions_are_kept_if_the_metric_does_not_follow(
    primary, task, values, with_predictions
):
    scores = kept(ScoreOptions(primary, 1), task, values)
    assert (scores.prediction is not None) == with_predictions
    assert (scores.target is not None) == with_predictions


def test_predictions_beyond_the_bound_are_left_out(caplog):
    size = (4 * 3 + 8) * 1000 / 1e6  # three float32 and an int64 per sample
    assert kept(ScoreOptions("auroc", size), ClassificationTask).prediction is not None
    with caplog.at_level(logging.INFO):
        scores = kept(ScoreOptions("auroc", 0.99 * size), ClassificationTask)
    assert (scores.prediction, scores.target) == (None, None)
    assert "take 0.02 MB, more than scores_mb=0.0198" in caplog.text


def test_double_precision_is_saved_as_single():
    pair = PREDICTION.double().requires_grad_(), TARGET
    scores = ScoreOptions("auroc", 1).scores(SAMPLE, VALUES, ClassificationTask, pair)
    assert scores.prediction.dtype == np.float32
    assert scores.target.dtype == np.int64
