"""Scores of test samples as a file."""

import numpy as np
import pytest

from losslab.runs.scores import FORMAT, Scores, read_scores, write_scores

RNG = np.random.default_rng(0)
SAMPLE = RNG.permutation(100)[:7]
VALUES = {"accuracy": RNG.integers(0, 2, 7).astype(float), "map_at_r": RNG.random(7)}
VALUES["map_at_r"][2] = np.nan


def test_what_is_written_is_read_again(tmp_path):
    target = RNG.integers(0, 3, (7, 2))
    write_scores(tmp_path, Scores(SAMPLE, VALUES, RNG.random((7, 2, 4)), target))
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npz"]
    scores = read_scores(tmp_path)
    assert scores.sample.dtype == np.int64
    np.testing.assert_array_equal(scores.sample, SAMPLE)
    assert list(scores.values) == list(VALUES)
    for name, values in scores.values.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, VALUES[name].astype(np.float32))
    assert scores.prediction.dtype == np.float32
    assert scores.prediction.shape == (7, 2, 4)
    np.testing.assert_array_equal(scores.target, target)


def test_predictions_and_scores_may_be_missing(tmp_path):
    write_scores(tmp_path, Scores(SAMPLE, {}))
    scores = read_scores(tmp_path)
    assert (scores.values, scores.prediction, scores.target) == ({}, None, None)


def test_seeds_of_episodes_keep_all_their_bits(tmp_path):
    seeds = np.array([2**62 + 1, 3])
    write_scores(tmp_path, Scores(seeds, {"return_mean": np.array([1.0, 2.0])}))
    assert read_scores(tmp_path).sample.tolist() == seeds.tolist()


def test_a_run_without_scores(tmp_path):
    assert read_scores(tmp_path) is None


def test_each_array_has_one_entry_per_sample():
    with pytest.raises(ValueError, match="score/mae must have one entry per sample, got 3 for 7"):
        Scores(SAMPLE, {"mae": np.zeros(3)})
    with pytest.raises(ValueError, match="prediction must have one entry per sample, got 8 for 7"):
        Scores(SAMPLE, {}, np.zeros((8, 2)), np.zeros(7))


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "cut short"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "scores.npz"
    write_scores(tmp_path, Scores(SAMPLE, VALUES))
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(ValueError, match=r"scores.npz does not contain scores"):
        read_scores(tmp_path)


def test_another_format_is_refused(tmp_path):
    np.savez(tmp_path / "scores.npz", format=FORMAT + 1, sample=SAMPLE)
    with pytest.raises(ValueError, match=r"has format 2, but this losslab reads at most 1"):
        read_scores(tmp_path)
