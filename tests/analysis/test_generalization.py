"""Claims about new samples when seeds share data, against textbook values and by simulation."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from load_script import load_script
from losslab.analysis.generalization import corrected_t, crossed_t
from losslab.analysis.scope import Design, difference_test
from losslab.analysis.sequential_t import sequential_t_p

ROUNDS = 500
MOST = 0.05 + 2 * math.sqrt(0.05 * 0.95 / ROUNDS)


@pytest.fixture(scope="module")
def simulation():
    return load_script("simulate_claims")


def test_without_shared_samples_the_corrected_test_is_students():
    values = np.random.default_rng(0).normal(0.5, 1, 9)
    ours, reference = corrected_t(values, test_share=0.0), stats.ttest_1samp(values, 0)
    assert_allclose(ours.p, reference.pvalue, rtol=1e-12)
    assert_allclose(ours.interval(), reference.confidence_interval(), rtol=1e-12)
    assert ours.floor == 0


def test_the_corrected_variance_on_paper():
    test = corrected_t([1.0, 3.0], test_share=0.5)  # s^2 = 2, times 1/2 + 1/2
    assert_allclose([test.mean, test.error, test.floor], [2, math.sqrt(2), 1])


def test_crossed_effects_are_those_of_an_analysis_of_variance():
    """Two-way layout without replication; mean squares computed by hand."""
    table = np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 2.0]])
    of_seeds, of_samples, of_both = 0.0, 2.0, 6.0  # rows 3, 3; columns 2, 3, 4
    test = crossed_t(table)
    assert test.mean == 3
    assert_allclose(test.error, math.sqrt(max(of_seeds + of_samples - of_both, of_samples) / 6))


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_equal_scores_show_no_difference(spread):
    scores = spread * np.array([[1.0, -1.0], [1.0, -1.0]])
    assert crossed_t(scores).p == 1.0
    assert corrected_t([0.0, 0.0], 0.3).p == 1.0


def test_equal_differences_count_as_signs_and_not_as_certainty():
    """Two seeds of an accuracy often differ by the same number of samples."""
    two, six = corrected_t([0.3, 0.1 + 0.2], 1 / 3), corrected_t([0.3] * 6, 1 / 3)
    assert (two.p, two.equivalence_p(1.0), two.interval()) == (0.5, 0.25, (-math.inf, math.inf))
    assert (six.p, six.equivalence_p(1.0)) == (2**-5, 2**-6)
    assert_allclose(six.interval(), 0.3)
    assert sequential_t_p([two], [2], [1.0])[0] >= 0.5


def test_one_seed_shows_nothing():
    assert corrected_t([0.3], 0.3).p == crossed_t(np.array([[0.3, 0.2]])).p == 1.0


@pytest.mark.parametrize(
    ("samples", "seeds", "fixed", "right", "wrong"),
    [
        (600, 8, False, "corrected t", None),
        pytest.param(600, 40, False, "corrected t", "sign flips", marks=pytest.mark.slow),
        (600, 10, True, "crossed t", "corrected t"),
        pytest.param(600, 40, True, "crossed t", "sign flips", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("classifiers", ["Null", "Centroids"])
def test_equal_classifiers_are_called_different_in_at_most_five_per_cent(
    simulation, classifiers, samples, seeds, fixed, right, wrong
):
    weights = {"Null": (3.0, 1 / 3), "Centroids": (2.0, 2.0)}[classifiers]
    case = getattr(simulation, classifiers)(samples, seeds, fixed, weights)
    shares = simulation.claims(case, simulation.tests_of(case), ROUNDS)
    assert shares[right] <= MOST
    if wrong is not None:  # the reason for the other test
        assert shares[wrong] > 4 * MOST


def test_simulated_values_have_the_metric_as_their_mean_and_delongs_variance(simulation):
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(3, 50)), rng.random((3, 50)) < 0.4
    auroc, f1 = (simulation.BY_SAMPLE[name](scores, truth) for name in ("auroc", "f1_macro"))
    for seed in range(3):
        ours, true = scores[seed], truth[seed]
        assert_allclose(auroc[seed].mean(), roc_auc_score(true, ours))
        assert_allclose(f1[seed].mean(), f1_score(true, ours > 0, average="macro"))
        above = ours[true][:, None] > ours[~true]
        delong = above.mean(axis=1).var() / true.sum() + above.mean(axis=0).var() / (~true).sum()
        assert_allclose(auroc[seed].var() / 50, delong)


@pytest.mark.parametrize("metric", ["auroc", "f1_macro"])
def test_metrics_that_are_not_means_if_classifiers_see_other_features(simulation, metric):
    case = simulation.Null(600, 10, True, (1.0, 1.0), features=2, subsets=True, metric=metric)
    shares = simulation.claims(case, simulation.tests_of(case), ROUNDS)
    assert shares["crossed t"] <= MOST < shares["sign flips"]


@pytest.mark.slow
def test_the_more_powerful_rival_is_wrong_if_training_samples_decide(simulation):
    case = simulation.Null(150, 40, weights=(1.0, 1.0), subsets=True)
    shares = simulation.claims(case, simulation.tests_of(case), ROUNDS)
    assert shares["corrected t"] <= MOST < shares["sample effects"]


def test_a_true_difference_is_found(simulation):
    case = simulation.Null(1797, 10, weights=(3.0, 1.0))
    shares = simulation.claims(case, simulation.tests_of(case), 50)
    assert shares["corrected t"] > 0.8


def test_the_smallest_difference_ever_is_that_of_infinitely_many_seeds():
    test = difference_test([1.0, 2.0, 3.0, 2.0], Design("redrawn", 100, 1 / 3), "samples")
    expected = math.sqrt(2 / 3 / 3) * (stats.norm.isf(0.025) + stats.norm.isf(0.2))
    assert_allclose(test.smallest_ever(0.05), expected, rtol=1e-3)


def test_differences_that_are_equal_up_to_rounding_have_no_error():
    test = corrected_t([0.1 + 0.2, 0.3, 0.3, 0.3], test_share=1 / 3)
    assert test.error == test.floor == 0.0
