"""Counting subsets of two halves gives what listing all of them gives."""

import math
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose

from losslab.analysis import subsets
from losslab.analysis.statistics import sign_flip_interval, sign_flip_p
from losslab.analysis.subsets import _listed_mean, ordered_mean, subset_sums


def normal(rng, n):
    return rng.normal(0.5, 1, n)


def heavy_tailed(rng, n):
    return rng.standard_t(1.5, n)


def ties_and_zeros(rng, n):
    return rng.normal(0.5, 2, n).round() / 359


def mostly_zeros(rng, n):
    return np.where(rng.random(n) < 0.7, 0.0, ties_and_zeros(rng, n))


def signs(rng, n):
    return rng.choice([-1.0, 1.0], n)


def equal_but_for_rounding(rng, n):
    return 0.3 + rng.normal(0, 1e-17, n)


KINDS = [normal, heavy_tailed, ties_and_zeros, mostly_zeros, signs, equal_but_for_rounding]
COUNTS = [1, 2, 5, 6, 7, 11, 12, 16, 20]


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_p_value_is_that_of_all_sign_assignments(kind, n):
    values = kind(np.random.default_rng(n), n)
    sums = values.sum() - 2 * subset_sums(values[None])[0]  # each subset flipped
    reached = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    assert sign_flip_p(values) == (np.abs(sums) >= reached).mean()


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_has_the_order_statistics_of_all_subset_means(kind, n):
    values = kind(np.random.default_rng(n), n)
    low, high, _ = sign_flip_interval(values)
    sums, counts = subset_sums(np.stack([values, np.ones(n)]))[:, 1:]
    means = np.sort(sums / counts)
    beyond = math.floor(0.05 * 2 ** (n - 1)) - 1
    expected = (-math.inf, math.inf) if beyond < 0 else (means[beyond], means[-1 - beyond])
    assert_allclose([low, high], expected, rtol=0, atol=1e-14 * np.abs(values).max())


@pytest.mark.parametrize("place", [0, 1, 1000, 2**15, 2**16 - 2])
def test_subset_means_with_unequal_weights(place):
    rng = np.random.default_rng(1)
    sums, weights = rng.normal(size=16), rng.choice([0.1, 0.2, 0.5], 16)
    listed = np.divide(*subset_sums(np.stack([sums, weights]))[:, 1:])
    assert_allclose(ordered_mean(sums, weights, place), np.sort(listed)[place], rtol=1e-12)


@pytest.mark.parametrize("kind", [normal, heavy_tailed, ties_and_zeros])
def test_most_of_the_subsets_of_twenty_differences_are_not_listed(kind):
    values = kind(np.random.default_rng(0), 20)
    tracemalloc.start()
    sign_flip_interval(values)
    sign_flip_p(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20  # bytes; their means alone take 2**23


def test_the_mean_of_all_is_found_at_the_edge_of_what_is_listed():
    values = np.random.default_rng(0).normal(size=6)
    halves = [
        np.stack(subset_sums(np.stack([each, np.ones(3)]))) for each in (values[:3], values[3:])
    ]
    sums, counts = subset_sums(np.stack([values, np.ones(6)]))[:, 1:]
    means = np.sort(sums / counts)
    place = int(np.argmin(np.abs(means - values.mean())))
    for side in (-0.2, 0.2):
        found = _listed_mean(halves, values.mean() + side, 0.2 * (1 + 1e-9), place)
        assert found == pytest.approx(values.mean(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_is_found_where_few_means_are_listed(monkeypatch, kind):
    rng = np.random.default_rng(5)
    values, weights = kind(rng, 7), rng.uniform(0.5, 2, 7)
    sums, totals = subset_sums(np.stack([values, weights]))[:, 1:]
    expected = np.sort(sums / totals)
    monkeypatch.setattr(subsets, "MOST_LISTED", 4)
    found = [ordered_mean(values, weights, place) for place in range(len(expected))]
    assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
