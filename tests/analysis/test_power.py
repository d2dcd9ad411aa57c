"""Minimum detectable effects and numbers of seeds, against tables and by simulation."""

import itertools
import math

import numpy as np
import pytest

from losslab.analysis import power, statistics
from losslab.analysis.statistics import LEVEL


def test_needed_seeds_are_those_of_the_smallest_p_value() -> None:
    for comparisons in range(1, 60):
        needed = power.needed_seeds(comparisons)
        assert 2.0 ** (1 - needed) * comparisons <= LEVEL
        assert 2.0 ** (2 - needed) * comparisons > LEVEL


# G*Power 3.1 and Cohen, "Statistical Power Analysis", 1988: pairs for a two-sided paired t-test
# at 5 % with a power of 80 %
@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34)])
def test_the_number_of_seeds_that_finds_a_difference(effect: float, pairs: int) -> None:
    def finds(n: int) -> bool:
        return power.minimum_detectable_effect(1.0, n) <= effect

    assert power.smallest_count(finds, power.needed_seeds(1)) == pairs
    assert power.smallest_count(lambda n: False, 2) is None


def test_a_spread_is_above_its_bound_in_one_of_five() -> None:
    deviations = np.random.default_rng(3).normal(size=(20_000, 6)).std(axis=1, ddof=1)
    below = np.mean(deviations * power.deviation_bound(5) < 1.0)
    assert abs(below - 0.2) < 4 * math.sqrt(0.16 / 20_000)


def test_too_few_pairs_detect_nothing() -> None:
    assert power.minimum_detectable_effect(0.1, 7, LEVEL / 6) == math.inf
    assert power.minimum_detectable_effect(0.1, 8, LEVEL / 6) < 0.2


def test_more_pairs_detect_less() -> None:
    found = [power.minimum_detectable_effect(1.0, pairs) for pairs in range(6, 1200)]
    assert all(later < earlier for earlier, later in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("n", "comparisons"), [(6, 1), (7, 1), (9, 1), (8, 6), (10, 6), (12, 6), (12, 15)]
)
def test_the_detectable_difference_is_found_four_times_in_five(n: int, comparisons: int) -> None:
    level = 0.05 / comparisons
    shift = power.minimum_detectable_effect(1.0, n, level)
    values = np.random.default_rng(n).normal(shift, 1, size=(1000, n))
    found = np.mean([statistics.sign_flip_p(row) <= level for row in values])
    assert abs(found - 0.8) < 0.05 + 3 * math.sqrt(0.16 / 1000)
