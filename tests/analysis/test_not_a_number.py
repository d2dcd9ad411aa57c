"""A NaN in an argument is refused by every function of numbers: it must not become a p-value."""

import inspect
import math

import numpy as np
import pytest

from losslab.analysis import (
    collapses,
    combination,
    generalization,
    location,
    power,
    ranks,
    sequential,
    sequential_t,
    statistics,
)
from losslab.analysis.generalization import MeanTest, corrected_t
from losslab.metrics.labels import metric

VALUES = [0.1, 0.2, -0.1, 0.3, 0.25, 0.15, 0.4, 0.05]
MANY = VALUES * 3
TEST = corrected_t(VALUES, test_share=0.3)
PATHS = sequential.sign_flip_paths(VALUES, [4, 8])

CALLS = {
    statistics.require_known: {"name": "values", "values": VALUES},
    statistics.require_finite: {"name": "values", "values": VALUES},
    statistics.mean_interval: {"values": VALUES},
    statistics.t_interval: {"values": VALUES},
    statistics.bca_interval: {"values": MANY},
    statistics.sign_flip_p: {"differences": VALUES},
    statistics.sign_flip_interval: {"differences": MANY},
    statistics.equivalence_p: {"differences": VALUES, "within": 1.0},
    statistics.signed_ranks: {"differences": VALUES},
    statistics.holm: {"p_values": VALUES},
    statistics.probability_of_improvement: {"differences": VALUES},
    location.location: {"values": VALUES, "center": "median"},
    location.location_interval: {"values": VALUES, "center": "iqm"},
    location.trimmed_flip_p: {"differences": VALUES, "center": 0.1},
    location.trimmed_flip_equivalence_p: {"differences": VALUES, "within": 1.0},
    location.trimmed_flip_interval: {"differences": VALUES},
    location.sign_test_p: {"differences": VALUES, "center": 0.1},
    location.sign_test_equivalence_p: {"differences": VALUES, "within": 1.0},
    location.sign_test_interval: {"values": VALUES},
    generalization.corrected_t: {"differences": VALUES, "test_share": 0.3},
    generalization.crossed_t: {"differences": np.outer(VALUES, VALUES)},
    MeanTest.equivalence_p: {"self": TEST, "within": 1.0},
    power.needed_seeds: {"comparisons": 3, "level": 0.05},
    power.minimum_detectable_effect: {"deviation": 1.0, "pairs": 10, "level": 0.05, "power": 0.8},
    power.noncentrality: {"freedom": 9.0, "level": 0.05, "power": 0.8},
    power.deviation_bound: {"freedom": 9.0, "confidence": 0.8},
    sequential.spending: {"information": 0.5},
    sequential.sequential_p: {"observed": PATHS[0], "null": PATHS[1], "spent": [0.7, 1.0]},
    sequential.sign_flip_paths: {"differences": VALUES, "counts": [4, 8]},
    sequential.sequential_sign_flip_p: {
        "differences": VALUES, "counts": [4, 8], "spent": [0.7, 1.0],
    },
    sequential.two_sided_p: {"observed": PATHS[0], "null": PATHS[1], "spent": [0.7, 1.0]},
    sequential.sequential_equivalence_p: {
        "differences": VALUES, "within": 1.0, "counts": [4, 8], "spent": [0.7, 1.0],
    },
    sequential_t.information: {"n": 8, "share": 0.3},
    sequential_t.t_paths: {"counts": (4, 8), "share": 0.3, "draws": 64},
    sequential_t.sequential_t_p: {
        "tests": [TEST, TEST], "counts": [4, 8], "spent": [0.7, 1.0], "within": 1.0, "draws": 64,
    },
    combination.stratified_sign_flips: {"parts": VALUES, "weights": [1 / 8] * 8},
    ranks.friedman_p: {"ranks": np.array([[1.0, 2.0], [1.0, 2.0]]), "draws": 64},
    ranks.wilcoxon_p: {"differences": VALUES},
    ranks.ranked: {"advantages": np.subtract.outer(VALUES, VALUES)},
    collapses.collapsed: {"values": dict(enumerate(VALUES)), "metric": metric("accuracy")},
}  # fmt: skip
"""Functions with arguments that they take; each number of them is replaced by NaN in turn."""

OTHERS = {
    # of numbers that other functions here made
    statistics.interval_of_all_subsets, statistics.interval_of_sampled_means,
    location.interquartile_means,
    sequential.boundaries, sequential.smallest_level,
    sequential_t.shared_variance, combination.mean_of_tests, combination.mean_on_same_data,
    # of no measured numbers
    power.smallest_count, ranks.cliques,
}  # fmt: skip


def with_nan(value):
    if isinstance(value, dict):
        return value | {next(iter(value)): math.nan}
    if isinstance(value, float):
        return math.nan
    array = np.array(value, dtype=float)
    array.flat[array.size // 2] = math.nan
    return array


def has_numbers(value):
    if isinstance(value, np.ndarray):
        return True
    entries = list(value.values()) if isinstance(value, dict) else value
    return isinstance(value, float) or (isinstance(entries, list) and type(entries[0]) is float)


PLACES = [
    pytest.param(function, name, id=f"{function.__name__}-{name}")
    for function, given in CALLS.items()
    for name, value in given.items()
    if has_numbers(value)
]


def test_every_function_of_numbers_is_listed():
    modules = (statistics, location, generalization, power, sequential, sequential_t)
    found = {
        value
        for module in (*modules, combination, ranks, collapses)
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
        if name[0] != "_" and not inspect.isclass(value)
    }
    assert found == (CALLS.keys() | OTHERS) - {MeanTest.equivalence_p}


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
def test_numbers_are_taken(function):
    assert function(**CALLS[function]) is not None


@pytest.mark.parametrize(("function", "name"), PLACES)
def test_a_number_that_is_none_is_refused(function, name):
    given = CALLS[function]
    with pytest.raises(ValueError, match=r"must (be finite|not be NaN), got"):
        function(**given | {name: with_nan(given[name])})
