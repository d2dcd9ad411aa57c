"""Group-sequential tests, against enumeration, known boundaries and by simulation."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from load_script import load_script
from losslab.analysis.generalization import corrected_t
from losslab.analysis.sequential import (
    LEVELS,
    sequential_equivalence_p,
    sequential_p,
    sequential_sign_flip_p,
    sign_flip_paths,
    spending,
)
from losslab.analysis.sequential_t import information, sequential_t_p, shared_variance, t_paths
from losslab.analysis.statistics import LEVEL, sign_flip_p

ROUNDS = 300
MOST = LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / ROUNDS)
COUNTS = [8, 12, 16, 24, 32]
SPENT = [spending(count / 32) for count in COUNTS]


@pytest.fixture(scope="module")
def simulation():
    return load_script("simulate_looks")


def rounded_up(p):
    return min(level for level in [1.0, *LEVELS] if level >= p)


@pytest.mark.parametrize("seed", range(5))
def test_one_look_at_the_whole_level_is_the_sign_flip_test(seed):
    values = np.random.default_rng(seed).normal(0.6, 1, 12)
    [p] = sequential_sign_flip_p(values, [12], [1.0])
    assert p == rounded_up(sign_flip_p(values))


def test_the_paths_are_all_sign_assignments():
    observed, null = sign_flip_paths([1.0, 2.0, 4.0], [2, 3], draws=8)
    assert_allclose(observed, [3 / 7, 1.0])
    expected = [
        ((a + 2 * b) / 7, (a + 2 * b + 4 * c) / 7)
        for a, b, c in itertools.product([1, -1], repeat=3)
    ]
    assert_allclose(sorted(map(tuple, null)), sorted(expected), atol=1e-8)


def test_signs_beyond_the_sixteenth_form_a_group():
    """A test over a group of sign flips is exact; products of two assignments are assignments."""
    _, null = sign_flip_paths(2.0 ** -np.arange(12), [12], draws=2**6)
    signs = {tuple(row) for row in _signs_of(null[:, 0], 12)}
    assert len(signs) == 2**6
    assert {tuple(np.multiply(a, b)) for a in signs for b in signs} == signs


def _signs_of(sums, places):
    """Read the signs from sums of different powers of 2."""
    numbers = np.round(sums * (2**places - 1)).astype(int) + 2**places - 1
    return 1 - 2 * (1 - (numbers[:, None] // 2 >> np.arange(places)[::-1] & 1))


def test_the_boundaries_spend_no_more_than_the_level_and_as_much_as_they_can():
    """Paths of two looks, counted by hand: at level 0.05 one of 40 may cross at the first look."""
    null = np.stack([np.arange(40.0), np.arange(40.0)[::-1]], axis=1)
    levels = [LEVEL]
    assert sequential_p(np.array([38.5, 0.0]), null, [0.5, 1.0], levels).tolist() == [LEVEL] * 2
    assert sequential_p(np.array([38.0, 38.5]), null, [0.5, 1.0], levels).tolist() == [1, LEVEL]
    assert sequential_p(np.array([38.0, 38.0]), null, [0.5, 1.0], levels).tolist() == [1, 1]


def test_ties_at_the_boundary_do_not_cross():
    null = np.array([[1.0]] * 3 + [[0.0]] * 57)
    assert sequential_p(np.array([1.0]), null, [1.0], [LEVEL]) == LEVEL
    assert sequential_p(np.array([1.0]), null, [0.9], [LEVEL]) == 1


def test_boundaries_of_normal_looks_are_pococks():
    """Five equal looks at equal nominal levels: z = 2.413 (Pocock 1977, table 1)."""
    steps = np.random.default_rng(0).normal(size=(200_000, 5)).cumsum(axis=1)
    null = np.abs(steps / np.sqrt(np.arange(1, 6)))
    spent = [(null[:, : look + 1] > 2.413).any(axis=1).mean() / LEVEL for look in range(5)]
    assert_allclose(spent[-1], 1, atol=0.03)
    for look in range(5):
        observed = np.zeros(5)
        observed[look] = 2.45
        assert sequential_p(observed, null, spent, [LEVEL])[-1] == LEVEL
        observed[look] = 2.38
        assert sequential_p(observed, null, spent, [LEVEL])[-1] == 1


def test_what_a_level_rejects_a_higher_level_rejects():
    rng = np.random.default_rng(1)
    for _ in range(20):
        observed, null = sign_flip_paths(rng.normal(0.5, 1, 16), [6, 9, 16], draws=2**12)
        found = [
            sequential_p(np.abs(observed), np.abs(null), [0.6, 0.7, 1.0], LEVELS[: size + 1])[-1]
            for size in range(len(LEVELS))
        ]
        assert (np.diff(found) <= 0).all()


def test_a_look_that_cannot_reject_costs_nothing():
    """Four seeds cannot reach 0.05, though they can reach 0.5."""
    values = np.linspace(1, 2, 12)
    assert sequential_sign_flip_p(values, [4, 12], [1.0, 1.0])[-1] == rounded_up(2 / 2**12)


def test_eight_seeds_can_decide_among_three_pairs():
    """The smallest p of 8 sign flips is 2 / 2**8; linear spending leaves 0.05 / 3 / 4."""
    differences = np.linspace(1, 2, 8)
    [p] = sequential_sign_flip_p(differences, [8], [spending(8 / 32)])
    assert 3 * p <= LEVEL
    [linear] = sequential_sign_flip_p(differences, [8], [8 / 32])
    assert 3 * linear > LEVEL


def test_an_earlier_look_keeps_its_p_value():
    values = np.random.default_rng(2).normal(0.4, 1, 32)
    after = sequential_sign_flip_p(values, COUNTS, SPENT)
    for looks in range(1, 6):
        cut = values[: COUNTS[looks - 1]]
        now = sequential_sign_flip_p(cut, COUNTS[:looks], SPENT[:looks])
        assert now[-1] == after[looks - 1]


def test_opposite_differences_have_the_same_p_value():
    values = np.random.default_rng(3).normal(0.4, 1, 16)
    ours = sequential_sign_flip_p(values, [8, 16], [0.7, 1.0])
    assert (ours == sequential_sign_flip_p(-values, [8, 16], [0.7, 1.0])).all()


def test_a_difference_that_turns_is_not_claimed():
    """Significant at 8 seeds, but the mean of all 16 has the other sign."""
    values = [1.0] * 8 + [-3.0] * 8
    assert sequential_sign_flip_p(values, [8], [1.0]) <= LEVEL
    assert sequential_sign_flip_p(values, [8, 16], [1.0, 1.0])[-1] > LEVEL


def test_differences_of_zero_show_nothing():
    assert (sequential_sign_flip_p(np.zeros(12), [8, 12], [0.7, 1.0]) == 1).all()


def test_equal_losses_are_equivalent_and_others_are_not():
    values = np.random.default_rng(4).normal(0, 1, 32)
    values -= values.mean()
    assert sequential_equivalence_p(values, 1.0, COUNTS, SPENT)[-1] <= 0.001
    assert sequential_equivalence_p(values + 1.1, 1.0, COUNTS, SPENT)[-1] == 1


# --- t-tests --------------------------------------------------------------------------------------


def test_redrawn_splits_hold_most_of_their_information_early():
    assert_allclose(information(8, 1 / 3) / information(32, 1 / 3), 0.795, atol=0.001)
    assert information(8, 0.0) == 8


@pytest.mark.parametrize("share", [0.0, 1 / 3])
def test_simulated_statistics_have_their_distribution(share):
    paths = t_paths((8, 12, 32), share)
    for look, count in enumerate((8, 12, 32)):
        assert stats.kstest(paths[:20_000, look], "t", args=(count - 1,)).pvalue > 0.01
    # of numerators z: sqrt of the ratio of informations; estimated variances lower it a little
    expected = math.sqrt(information(8, share) / information(32, share))
    assert expected - 0.1 < np.corrcoef(paths.T)[0, 2] < expected


def test_one_look_at_the_whole_level_is_the_t_test():
    test = corrected_t(np.random.default_rng(0).normal(1.2, 1, 8), 1 / 3)
    assert_allclose(shared_variance(test, 8), 1 / 3)
    [p] = sequential_t_p([test], [8], [1.0])
    assert 0.9 * test.p < p < 1.2 * test.p
    [p] = sequential_t_p([test], [8], [1.0], within=2.5)
    assert 0.9 * test.equivalence_p(2.5) < p < 1.2 * test.equivalence_p(2.5)


def test_a_look_with_one_seed_shows_nothing():
    values = [1.0, 1.1, 1.2, 0.9, 1.0, 1.0]
    tests = [corrected_t(values[:count], 0.0) for count in (1, 6)]
    p = sequential_t_p(tests, [1, 6], [0.5, 1.0])
    assert p[0] == 1
    assert p[1] < 0.001


# --- simulations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["normal", "heavy", "discrete"])
@pytest.mark.parametrize("losses", [2, 3])
def test_equal_losses_are_called_different_in_at_most_five_per_cent(simulation, noise, losses):
    case = simulation.Sweep(getattr(simulation, noise), (0.0,) * losses, simulation.SIX_LOOKS)
    assert simulation.simulate(case, ROUNDS).false <= MOST


def test_looking_without_correction_is_why(simulation):
    """The same looks, each at the whole level."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROUNDS, 24))
    false = [any(sign_flip_p(row[:n]) <= LEVEL for n in (8, 12, 16)) for row in values]
    assert np.mean(false) > MOST


@pytest.mark.parametrize("losses", [2, 3])
def test_the_same_for_redrawn_splits(simulation, losses):
    case = simulation.Sweep(
        simulation.redrawn, (0.0,) * losses, simulation.SIX_LOOKS, share=simulation.SHARE
    )
    assert simulation.simulate(case, ROUNDS).false <= MOST


@pytest.mark.parametrize(("noise", "share"), [("normal", None), ("redrawn", 1 / 3)])
def test_equivalence_releases_no_level_at_the_margin(simulation, noise, share):
    noise = getattr(simulation, noise)
    case = simulation.Sweep(noise, (0.0, 1.0), within=1.0, share=share)
    assert simulation.simulate(case, ROUNDS).false <= MOST


@pytest.mark.parametrize("looks", [(8, 16), (5, 16)])
def test_a_sweep_extended_by_hand_pays_for_the_look(simulation, looks):
    case = simulation.Sweep(simulation.normal, (0.0, 0.0), looks, planned=False)
    assert simulation.simulate(case, ROUNDS).false <= MOST


def test_a_large_difference_is_found_with_few_runs(simulation):
    case = simulation.Sweep(simulation.normal, (3.0, 0.0, 0.0))
    found = simulation.simulate(case, 50)
    assert found.found > 0.98
    assert found.first > 0.7
    assert found.runs < 25  # the two equal losses take 32 each
