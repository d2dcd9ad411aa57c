"""Against published examples, scipy, exact small cases, and simulation."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from losslab.analysis import statistics

# Darwin's maize, crossed minus self-fertilised, in eighths of an inch. Fisher, "The Design of
# Experiments", 1935: t = 2.148 (section 17), and of the 2**15 signs 863 reach the sum (section 21)
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_fisher_counted_the_signs_of_darwins_maize() -> None:
    assert statistics.sign_flip_p(MAIZE) == 2 * 863 / 2**15


def test_students_interval_of_darwins_maize() -> None:
    low, high, method = statistics.mean_interval(MAIZE)
    half = 2.145 * np.mean(MAIZE) / 2.148  # Fisher's 5 % point of t for 14 degrees of freedom
    assert_allclose([low, high], [np.mean(MAIZE) - half, np.mean(MAIZE) + half], atol=0.05)
    assert method == "Student's t"


@pytest.mark.parametrize("n", [2, 5, 9, 12])
@pytest.mark.parametrize("rounded", [False, True], ids=["all different", "with ties and zeros"])
def test_the_p_value_is_that_of_scipys_permutation_test(n: int, rounded: bool) -> None:
    values = np.random.default_rng(n).normal(0.5, 1, n)
    values = values.round() if rounded else values
    reference = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=math.inf, axis=0
    )
    assert_allclose(statistics.sign_flip_p(values), reference.pvalue, rtol=1e-12)


def test_equal_sums_count_although_they_are_rounded_differently() -> None:
    values = [0.1, 0.2, 0.3]  # 0.1 + 0.2 - 0.3 is 5e-17 and not 0
    signs = itertools.product([1, -1], repeat=3)
    exact = np.mean([abs(a + 2 * b + 3 * c) >= 0 for a, b, c in signs])
    assert statistics.sign_flip_p([0.1, 0.2, -0.3]) == exact == 1.0
    assert statistics.sign_flip_p(values) == 2 / 8


def test_sums_that_differ_by_more_than_rounding_are_not_equal() -> None:
    # of the sizes of the eight sums, two are 3.000001, four are 1.000001 and two are 0.999999
    assert statistics.sign_flip_p([1.000001, 1.0, -1.0]) == 6 / 8


def test_beyond_twenty_a_sample_of_signs_stands_for_all() -> None:
    values = np.random.default_rng(3).normal(0.35, 1, 21)
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    exact = (np.abs(sums) >= abs(values.sum()) * (1 - 1e-12)).mean()
    sampled = statistics.sign_flip_p(values)
    assert sampled == statistics.sign_flip_p(values)  # the same signs each time
    hits = sampled * (1 + statistics.DRAWS)
    assert_allclose(hits, round(hits), rtol=1e-12)  # a share of the sample, not of 2**21
    assert_allclose(sampled, exact, atol=4 * math.sqrt(exact / statistics.DRAWS))
    assert statistics.sign_flip_p(np.ones(40)) == 1 / (1 + statistics.DRAWS)


def test_no_difference_at_all() -> None:
    assert statistics.sign_flip_p([0.0] * 8) == 1.0
    assert statistics.mean_interval([0.0] * 8)[:2] == (0.0, 0.0)
    assert statistics.mean_interval([0.5] * 30)[:2] == (0.5, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_signed_ranks_give_wilcoxons_exact_test(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.4, 1, 11)
    p = statistics.sign_flip_p(statistics.signed_ranks(values))
    assert_allclose(p, stats.wilcoxon(values, method="exact").pvalue, rtol=1e-12)


@pytest.mark.parametrize(
    ("differences", "ranks"),
    [
        ([3.0, -1.0, 2.0], [3, -1, 2]),
        ([math.inf, 5.0, math.inf, -math.inf], [3, 1, 3, -3]),
        ([0.0, 2.0, -2.0, 0.0], [0, 1.5, -1.5, 0]),
        ([], []),
        ([0.0], [0]),
    ],
    ids=["plain", "diverged share the top", "ties and zeros", "none", "zero"],
)
def test_ranks(differences: list[float], ranks: list[float]) -> None:
    assert statistics.signed_ranks(differences).tolist() == ranks


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.04, 0.01], [0.04, 0.02]),
        ([0.7, 0.6, 1.0], [1, 1, 1]),
        ([], []),
    ],
    ids=["R", "order kept", "at most 1", "none"],
)
def test_holm(p: list[float], adjusted: list[float]) -> None:
    assert_allclose(statistics.holm(p), adjusted, rtol=1e-12)


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_bca_is_that_of_scipy_at_the_expanded_level(draw: str) -> None:
    values = getattr(np.random.default_rng(1), draw)(size=30)
    expanded = 2 * stats.norm.cdf(stats.t.ppf(0.975, 29) * math.sqrt(30 / 29)) - 1
    reference = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=expanded,
        n_resamples=40_000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    interval = statistics.bca_interval(values, resamples=40_000)
    error = values.std() / math.sqrt(30)
    assert_allclose(interval[:2], [reference.low, reference.high], atol=0.1 * error)
    assert interval == statistics.bca_interval(values, resamples=40_000)


def test_bca_counts_ties_half() -> None:
    values = [0.0] * 12 + [1.0] * 12  # a sixth of the resampled means equal the mean
    low, high, _ = statistics.bca_interval(values)
    assert_allclose(low + high, 1.0, atol=0.2 / 24)


def test_improvement_is_the_share_of_seeds() -> None:
    assert statistics.probability_of_improvement([1.0, 2.0, -1.0, 0.0]) == 2.5 / 4


# --- simulated: what the numbers promise ----------------------------------------------------------


def draws(shape: str, size: tuple[int, ...]) -> np.ndarray:
    stream = np.random.default_rng(7)
    return {
        "normal": lambda: stream.normal(size=size),
        "heavy tails": lambda: stream.standard_t(2, size=size),
        "steps of accuracy": lambda: stream.integers(-3, 4, size=size) / 360,
        "diverging": lambda: np.where(
            stream.random(size) < 0.2,
            stream.choice([-math.inf, math.inf], size),
            stream.normal(size=size),
        ),
    }[shape]()


def at_most(share: float, level: float, times: int) -> bool:
    """Whether a simulated share is compatible with a level, at four standard errors."""
    return share <= level + 4 * math.sqrt(level * (1 - level) / times)


@pytest.mark.parametrize("shape", ["normal", "heavy tails", "steps of accuracy", "diverging"])
@pytest.mark.parametrize("n", [6, 9])
def test_equal_losses_are_called_different_in_at_most_five_per_cent(shape: str, n: int) -> None:
    values = draws(shape, (2000, n))
    tested = map(statistics.signed_ranks, values) if shape == "diverging" else values
    wrong = np.mean([statistics.sign_flip_p(row) <= 0.05 for row in tested])
    assert at_most(wrong, 0.05, 2000)
    assert shape == "steps of accuracy" or wrong > 0.02  # it is no test that never rejects


def test_with_holm_so_are_families_of_equal_losses() -> None:
    """Four equal losses, six comparisons that share runs, eight seeds."""
    stream = np.random.default_rng(5)
    wrong = 0
    for _ in range(1000):
        runs = stream.normal(size=(1, 8)) + 0.5 * stream.normal(size=(4, 8))
        p = [statistics.sign_flip_p(a - b) for a, b in itertools.combinations(runs, 2)]
        wrong += bool((statistics.holm(p) <= 0.05).any())
    assert at_most(wrong / 1000, 0.05, 1000)


@pytest.mark.parametrize(
    ("shape", "n", "least"),
    [("normal", 3, 0.95), ("normal", 8, 0.95), ("normal", 20, 0.95), ("exponential", 25, 0.93)],
)
def test_the_interval_covers_the_mean_in_nineteen_of_twenty(
    shape: str, n: int, least: float
) -> None:
    values = getattr(np.random.default_rng(n), shape)(size=(600, n))
    mean = {"normal": 0, "exponential": 1}[shape]
    intervals = [statistics.mean_interval(row) for row in values]
    assert {method for *_, method in intervals} == {"BCa" if n >= 20 else "Student's t"}
    missed = np.mean([not low <= mean <= high for low, high, _ in intervals])
    assert at_most(missed, 1 - least, 600)


def test_sizes_that_are_equal_up_to_rounding_have_one_rank() -> None:
    assert statistics.signed_ranks([0.1 + 0.2, -0.3, 0.5]).tolist() == [1.5, -1.5, 3.0]


def test_sampled_signs_are_those_of_seed_0_unless_told() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1, 25)
    assert statistics.sign_flip_p(differences, draws=1000) == statistics.sign_flip_p(
        differences, draws=1000, seed=0
    )
    of_0, of_1 = (
        statistics.sign_flip_interval(differences, draws=1000, seed=seed) for seed in (0, 1)
    )
    assert statistics.sign_flip_interval(differences, draws=1000) == of_0 != of_1


@pytest.mark.parametrize(("draws", "ends"), [(18, math.inf), (19, 5.0), (38, 5.0), (39, 4.0)])
def test_the_ends_of_few_sampled_means(draws, ends) -> None:
    """The fewest that can be rejected at 5 % is one of 20, observed one included."""
    means = np.array([0.0, 3.0, -5.0, 4.0, -4.0, 5.0])
    interval = statistics.interval_of_sampled_means(means, draws, 0.05)
    assert (interval.low, interval.high) == (-ends, ends)
