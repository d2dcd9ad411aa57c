"""Tests of a mean over data sets, against enumeration, Welch's test and by simulation."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from losslab.analysis.combination import mean_of_tests, mean_on_same_data, stratified_sign_flips
from losslab.analysis.generalization import corrected_t
from losslab.analysis.statistics import holm, sign_flip_interval, sign_flip_p

ROUNDS = 400
MOST = 0.05 + 2 * math.sqrt(0.05 * 0.95 / ROUNDS)
SHARE = 1 / 3


def stratified(groups):
    """P-value and interval of the mean over groups of their means."""
    weights = [1 / (len(groups) * len(group)) for group in groups for _ in group]
    values = [value for group in groups for value in group]
    return stratified_sign_flips(np.multiply(values, weights), weights)


def by_enumeration(groups, shift=0.0):
    groups = [np.asarray(group) - shift for group in groups]
    parts = np.concatenate([group / len(group) for group in groups])
    sums = [signs @ parts for signs in itertools.product((-1, 1), repeat=len(parts))]
    return np.mean(np.abs(sums) >= abs(parts.sum()) * (1 - 1e-9))


def test_on_one_data_set_it_is_the_sign_flip_test():
    values = np.random.default_rng(0).normal(0.4, 1, 12)
    p, interval = stratified([values])
    assert_allclose(p, sign_flip_p(values))
    assert_allclose(interval[:2], sign_flip_interval(values)[:2])


@pytest.mark.parametrize("seed", range(3))
def test_all_signs_are_counted_and_the_interval_is_the_inverted_test(seed):
    rng = np.random.default_rng(seed)
    groups = [rng.normal(0.5, scale, n) for scale, n in ((1, 3), (3, 5), (0.2, 4))]
    p, (low, high, _) = stratified(groups)
    assert_allclose(p, by_enumeration(groups))
    for end, outside in ((low, -1e-6), (high, 1e-6)):
        assert by_enumeration(groups, end - outside) > 0.05 >= by_enumeration(groups, end + outside)


def test_many_seeds_are_sampled():
    groups = np.random.default_rng(1).normal(0.15, 1, (4, 40))
    p, (low, high, _) = stratified(groups)
    scale = math.sqrt((groups**2).mean() / groups.size)
    assert_allclose(p, 2 * stats.norm.sf(abs(groups.mean()) / scale), rtol=0.1)
    assert (low > 0 or high < 0) == (p <= 0.05)
    assert stratified(groups) == (p, (low, high, "sign flips"))


def test_five_seeds_in_total_show_nothing():
    p, interval = stratified([[1.0, 1.0], [1.0, 1.0, 1.0]])
    assert p == 2 / 2**5
    assert interval[:2] == (-math.inf, math.inf)


def test_no_differences_show_nothing():
    assert stratified([[0.0] * 4, [0.0] * 4])[0] == 1


def test_two_data_sets_are_welchs_test():
    """The mean of two means of opposite sign is half of their difference."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.8, 1, 6), rng.normal(0, 3, 9)
    test = mean_of_tests([corrected_t(x, 0.0), corrected_t(-y, 0.0)])
    reference = stats.ttest_ind(x, y, equal_var=False)
    assert_allclose(test.p, reference.pvalue)
    assert_allclose(2 * np.array(test.interval()), reference.confidence_interval())


def test_groups_that_err_together_are_no_surer_than_one():
    one = corrected_t([1.0, 2.0, 4.0], SHARE)
    assert mean_on_same_data([one, one]) == one


# --- by simulation --------------------------------------------------------------------------------

FRESH = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n),
    "discrete": lambda rng, n: rng.integers(-1, 2, size=n).astype(float),
}


@pytest.mark.parametrize("draw", FRESH.values(), ids=FRESH)
@pytest.mark.parametrize("effects", [(0, 0, 0), (2, -1, -1)], ids=["equal", "cancelling"])
def test_false_claims_if_seeds_draw_new_data(draw, effects):
    rng = np.random.default_rng(0)
    claims = [
        stratified(
            [e + s * draw(rng, n) for e, s, n in zip(effects, (1, 5, 0.2), (4, 5, 6), strict=True)]
        )[0]
        <= 0.05
        for _ in range(ROUNDS)
    ]
    assert np.mean(claims) <= MOST


def redrawn(rng, data_sets, seeds, groups=1):
    """Differences whose seeds share samples, and groups that share them all: (sets, groups, n)."""
    scale = rng.choice([0.3, 1.0, 3.0], size=(data_sets, 1, 1))
    shared = rng.normal(size=(data_sets, 1, 1)) * math.sqrt(SHARE)
    return scale * (shared + rng.normal(size=(data_sets, groups, seeds)))


@pytest.mark.parametrize(("data_sets", "seeds", "groups"), [(2, 5, 1), (4, 10, 1), (3, 8, 2)])
def test_false_claims_if_seeds_share_samples(data_sets, seeds, groups):
    rng = np.random.default_rng(1)
    claims, as_independent = 0, 0
    for _ in range(ROUNDS):
        found = redrawn(rng, data_sets, seeds, groups)
        tests = [[corrected_t(values, SHARE) for values in data_set] for data_set in found]
        claims += mean_of_tests([mean_on_same_data(each) for each in tests]).p <= 0.05
        plain = [[corrected_t(values, 0.0) for values in data_set] for data_set in found]
        as_independent += mean_of_tests([test for each in plain for test in each]).p <= 0.05
    assert claims / ROUNDS <= MOST
    assert as_independent / ROUNDS > 2 * MOST  # the reason for the corrected variance


def test_pooling_finds_what_no_data_set_shows_alone():
    rng = np.random.default_rng(2)
    pooled, alone = 0, 0
    for _ in range(100):
        found = 0.6 + rng.normal(size=(4, 5))
        pooled += stratified(found)[0] <= 0.05
        alone += min(holm([sign_flip_p(values) for values in found])) <= 0.05
    assert pooled > 60
    assert alone == 0  # five seeds are too few


def test_sampled_sums_that_are_zero_up_to_rounding_count():
    """Tenths give the p-value of whole numbers, whose sums have no rounding errors."""
    whole = np.array([1, 2, -3] * 9 + [4])
    shares = np.full(len(whole), 1 / len(whole))
    p_values = [stratified_sign_flips(values, shares)[0] for values in (whole, whole / 10)]
    assert p_values[0] == p_values[1]
