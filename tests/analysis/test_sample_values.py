"""Values per test sample, and conclusions about new test samples that follow from them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from losslab.analysis.comparison import compare
from losslab.analysis.generalization import crossed_t
from losslab.analysis.load import Collection
from losslab.analysis.sample_values import differences_by_sample, sample_values
from losslab.runs.scores import Scores, write_scores

SAMPLES = np.array([7, 3, 5, 1])


def test_values_per_sample_have_the_metric_as_their_mean():
    squares = np.array([1.0, 4.0, 0.0, 7.0])
    edits, lengths = np.array([0.0, 2.0, 1.0, 0.0]), np.array([5.0, 4.0, 1.0, 2.0])
    scores = Scores(SAMPLES, {"squared_error": squares, "cer_edits": edits, "cer_length": lengths})
    assert_allclose(sample_values(scores, "rmse").mean(), np.sqrt(squares.mean()))
    assert_allclose(sample_values(scores, "cer").mean(), edits.sum() / lengths.sum())
    assert_allclose(sample_values(scores, "cer_edits"), edits)
    assert sample_values(scores, "auroc") is None


@pytest.mark.parametrize("name", ["rmse", "cer"])
def test_they_are_the_derivative_with_respect_to_a_samples_weight(name):
    stream = np.random.default_rng(0)
    values = {
        "squared_error": stream.random(50),
        "cer_edits": stream.random(50),
        "cer_length": 1 + stream.random(50),
    }

    def weighted(weights):
        mean = {key: weights @ array / weights.sum() for key, array in values.items()}
        return {
            "rmse": np.sqrt(mean["squared_error"]),
            "cer": mean["cer_edits"] / mean["cer_length"],
        }[name]

    step = 1e-6
    slopes = [
        (weighted(np.ones(50) + step * unit) - weighted(np.ones(50))) / step * 50
        for unit in np.eye(50)
    ]
    found = sample_values(Scores(np.arange(50), values), name)
    assert_allclose(found - found.mean(), slopes, atol=1e-4)


@pytest.fixture
def tested(made_up, tmp_path):
    """Runs of two losses on one test split, with scores; the samples are stored in any order."""

    def make(errors, sampling="fixed_test", **given):
        runs = []
        for loss, table in errors.items():
            for seed, row in enumerate(table):
                run = made_up(loss, seed, float(np.mean(row)), sampling=sampling, **given)
                run = replace(run, folder=tmp_path / loss / str(seed))
                run.folder.mkdir(parents=True)
                order = np.random.default_rng(seed).permutation(len(row))
                scores = {"mae": np.asarray(row)[order].astype(np.float32)}
                write_scores(run.folder, Scores(np.arange(len(row))[order], scores))
                runs.append(run)
        return Collection(tuple(runs))

    return make


def errors(seeds, samples, shift=0.0):
    stream = np.random.default_rng(seeds)
    shared = stream.normal(3, 1, samples) + 0.1 * stream.normal(size=(seeds, 1))
    return {
        "mse": shared + 0.5 * stream.normal(size=(seeds, samples)),
        "mae": shared - shift + 0.5 * stream.normal(size=(seeds, samples)),
    }


def test_seeds_are_crossed_with_test_samples(tested):
    given = errors(6, 40, shift=1.0)
    [table] = compare(tested(given)).tables
    [pair] = table.pairs
    expected = crossed_t(given["mae"] - given["mse"])
    assert (pair.test.method, pair.test.holds_for) == ("crossed t", "new test samples")
    assert_allclose([pair.p, *pair.interval[:2]], [expected.p, *expected.interval()], rtol=1e-4)
    assert pair.of_these_samples.method == "sign flips"
    assert pair.better == "mae"


def test_without_scores_of_the_metric_conclusions_hold_for_these_samples(tested):
    runs = tested(errors(6, 40))
    [table] = compare(runs, primary_metrics=["rmse"]).tables
    assert [pair.test.holds_for for pair in table.pairs] == ["these samples"]
    [table] = compare(runs, scope="data").tables
    assert [pair.test.method for pair in table.pairs] == ["sign flips"]


def test_scores_of_another_run_are_not_used(tested):
    """A row of a baseline has the metrics of the baseline, and the folder of a trained run."""
    ours, theirs = (tested({name: table}).runs for name, table in errors(2, 9).items())
    assert differences_by_sample(ours, theirs, "mae").shape == (2, 9)
    ours[0].record["test"]["mae"] += 0.1
    assert differences_by_sample(ours, theirs, "mae") is None


def test_different_test_samples_are_not_crossed(tested):
    ours = tested({"mse": errors(2, 9)["mse"]}).runs
    theirs = tested({"mae": errors(2, 8)["mae"]}).runs
    assert differences_by_sample(ours, theirs, "mae") is None


def test_a_metric_of_several_classes_is_their_mean():
    first, second = np.array([1.0, 0.5, 0.0, 0.5]), np.array([np.nan, 0.2, np.nan, 0.6])
    absent = np.full(4, np.nan)
    scores = Scores(SAMPLES, {"dice/1": first, "dice/2": second, "dice/3": absent})
    found = sample_values(scores, "dice")
    assert not np.isnan(found).any()
    assert_allclose(found.mean(), (np.mean(first) + 0.4) / 2)
    assert_allclose(found[0], (first[0] + 0.4) / 2)  # it adds nothing to the second class


def test_samples_that_have_a_value_in_some_runs_only(tested):
    """As the Dice of an image without foreground, if some networks predict none and others do."""
    given = errors(3, 9)
    given["mse"][1, 4] = np.nan
    ours, theirs = (tested({name: table}).runs for name, table in given.items())
    for run, row in zip(ours, given["mse"], strict=True):
        run.record["test"]["mae"] = float(np.nanmean(row))
    found = differences_by_sample(ours, theirs, "mae")
    assert found.shape == (3, 9)
    expected = np.nanmean(given["mse"], axis=1) - given["mae"].mean(axis=1)
    assert_allclose(found.mean(axis=1), expected, atol=1e-6)
