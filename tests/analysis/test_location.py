"""Locations that single collapsed runs do not move, against scipy and by simulation."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from losslab.analysis.location import (
    location,
    location_interval,
    sign_test_equivalence_p,
    sign_test_interval,
    sign_test_p,
    trimmed_flip_equivalence_p,
    trimmed_flip_interval,
    trimmed_flip_p,
)
from losslab.analysis.sequential import sequential_equivalence_p
from losslab.analysis.statistics import sign_flip_p

ROUNDS = 2000
MOST = 0.05 + 2 * math.sqrt(0.05 * 0.95 / ROUNDS)


def collapsing(n: int) -> np.ndarray:
    """Differences of two losses that are equal, but for collapses of the first at some seeds."""
    stream = np.random.default_rng(4)
    return stream.normal(size=(ROUNDS, n)) - 60.0 * (stream.random((ROUNDS, n)) < 0.1)


def test_the_sign_test_is_the_binomial_test() -> None:
    values = [0.2, 0.4, -0.1, 0.7, 0.9, 0.3, 0.1]
    assert_allclose(sign_test_p(values), stats.binomtest(6, 7).pvalue)
    assert sign_test_p([0.0, 0.0, 0.0]) == 1.0  # ties count for the side with fewer values


@pytest.mark.parametrize("n", [6, 9, 20])
def test_interval_and_sign_test_never_disagree(n: int) -> None:
    values = np.random.default_rng(n).integers(-3, 6, n).astype(float)
    low, high, _ = sign_test_interval(values)
    for center in np.arange(-4, 7, 0.5):
        assert (low <= center <= high) == (sign_test_p(values, center) > 0.05)


@pytest.mark.parametrize("n", [6, 9])
def test_flips_of_the_interquartile_mean_are_scipys_permutation_test(n: int) -> None:
    values = np.random.default_rng(n).normal(0.6, 1, n)
    reference = stats.permutation_test(
        (values,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        permutation_type="samples",
        n_resamples=math.inf,
        vectorized=True,
    )
    assert_allclose(trimmed_flip_p(values), reference.pvalue)


def test_its_interval_and_test_never_disagree() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 9)
    low, high, _ = trimmed_flip_interval(values)
    step = 2e-3 * np.ptp(values)
    for end, sign in ((low, -1), (high, 1)):
        assert trimmed_flip_p(values, end + sign * step) <= 0.05
        assert trimmed_flip_p(values, end - sign * step) > 0.05


@pytest.mark.parametrize("n", [8, 12])
def test_differences_that_are_equal_up_to_rounding(n) -> None:
    """Bisection between two neighbouring floating-point numbers would not end."""
    values = np.tile([0.3, 0.1 + 0.2], n // 2)
    low, high, _ = trimmed_flip_interval(values)
    assert (low > 0) == (high < math.inf) == (trimmed_flip_p(values) <= 0.05)


def test_locations_of_few_values() -> None:
    assert math.isnan(location([], "median"))
    assert location([2.0], "iqm") == location([2.0], "median") == 2.0
    assert math.isnan(location_interval([2.0], "median").low)


@pytest.mark.parametrize("n", [8, 15])
@pytest.mark.parametrize("shape", ["normal", "t3", "steps"])
def test_equal_losses_are_called_different_in_at_most_five_per_cent(n: int, shape: str) -> None:
    stream = np.random.default_rng(n)
    values = {
        "normal": stream.normal(size=(ROUNDS, n)),
        "t3": stream.standard_t(3, size=(ROUNDS, n)),
        "steps": stream.integers(-3, 4, size=(ROUNDS, n)) / 360,
    }[shape]
    assert np.mean([sign_test_p(row) <= 0.05 for row in values]) <= MOST
    flips = values[:: 1 if n <= 8 else 10]
    most = 0.05 + 2 * math.sqrt(0.05 * 0.95 / len(flips))
    assert np.mean([trimmed_flip_p(row) <= 0.05 for row in flips]) <= most


def test_collapses_with_equal_means_break_sign_flips_and_not_the_sign_test() -> None:
    """One loss collapses at a tenth of the seeds and is better at the others, with equal means:
    the median of the differences is not 0, and it is what the sign test is about."""
    values = collapsing(8) + 6.0
    assert np.mean([sign_flip_p(row) <= 0.05 for row in values]) > 0.3
    centred = [sign_test_p(row, center=float(np.median(values))) <= 0.05 for row in values]
    assert np.mean(centred) <= MOST


def test_single_collapses_do_not_move_a_typical_seed() -> None:
    """One collapse of eight: the mean moves by 7, typical seeds hardly."""
    values = np.array([0.1, -0.2, 0.3, 0.0, 0.2, -0.1, 0.1, -60.0])
    assert location(values, "mean") < -7
    assert abs(location(values, "median")) < 0.1 > abs(location(values, "iqm"))


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_a_difference_of_the_margin_is_seldom_called_equivalent(shift: float) -> None:
    values = np.random.default_rng(8).normal(shift, 0.3, size=(ROUNDS, 12))
    called = np.mean([sign_test_equivalence_p(row, 0.5) <= 0.05 for row in values])
    assert 0.005 < called <= MOST
    called = np.mean([trimmed_flip_equivalence_p(row, 0.5) <= 0.05 for row in values[:300]])
    assert 0.005 < called <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_differences_on_the_margin_up_to_rounding_are_not_inside_it():
    """0.95 - 0.9 is less than 0.05 by a rounding error, and counts as 0.05."""
    assert 0.95 - 0.9 < 0.05
    differences = [0.95 - 0.9] * 20
    assert sign_test_equivalence_p(differences, within=0.05) == 1
    looks = sequential_equivalence_p(differences, 0.05, [10, 20], [0.7, 1.0], median=True)
    assert (looks == 1).all()
