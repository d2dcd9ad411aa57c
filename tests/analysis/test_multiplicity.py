"""Better, equivalent or undecided: what a whole comparison promises, by simulation."""

import math

import numpy as np
import pytest

from losslab.analysis.comparison import compare

ROUNDS, SEEDS, MARGIN = 300, 12, 1.0
MOST = 0.05 + 2 * math.sqrt(0.05 * 0.95 / ROUNDS)
SHARE = 1 / 3  # of test to training samples
RECORDS = {
    "fresh": {"sampling": "fresh"},
    "redrawn": {"sampling": "redrawn", "sizes": {"train": 600, "val": 200, "test": 200}},
}


def simulated(stream: np.random.Generator, means: list[float], sampling: str) -> dict[str, list]:
    """Errors of losses at the same seeds; redrawn splits share samples, which favour some loss."""
    shared = math.sqrt(SHARE) if sampling == "redrawn" else 0.0
    deviation = 0.3
    return {
        f"loss{place}": list(
            5 + mean + deviation * (shared * stream.normal() + stream.normal(size=SEEDS))
        )
        for place, mean in enumerate(means)
    }


def false_claims(table, means) -> bool:
    """Whether a pair of equal losses is called different, or one a margin apart equivalent."""
    true = {f"loss{place}": mean for place, mean in enumerate(means)}
    return any(
        (pair.better is not None and true[pair.a] == true[pair.b])
        or (pair.equivalent and abs(true[pair.a] - true[pair.b]) >= MARGIN)
        for pair in table.pairs
    )


@pytest.mark.parametrize("sampling", ["fresh", "redrawn"])
@pytest.mark.parametrize(
    "means",
    [
        [0.0, MARGIN],
        [0.0, 0.0, MARGIN],
        pytest.param([0.0, 0.0, 0.0], marks=pytest.mark.slow),
        pytest.param([0.0, 0.0, 0.0, 0.0, MARGIN], marks=pytest.mark.slow),
    ],
    ids=["a margin apart", "two equal", "three equal", "four equal"],
)
def test_false_claims_stay_below_the_level(collected, sampling, means):
    stream = np.random.default_rng(len(means))
    wrong = decided = 0
    for _ in range(ROUNDS):
        runs = collected(simulated(stream, means, sampling), **RECORDS[sampling])
        [table] = compare(runs, within={"mae": MARGIN}).tables
        wrong += false_claims(table, means)
        decided += any(pair.verdict != "undecided" for pair in table.pairs)
    assert wrong / ROUNDS <= MOST
    assert decided or means == [0.0, MARGIN]  # it is no test that never decides


def test_equivalence_releases_no_level(collected):
    """One pair is clearly equivalent: the others are corrected as before."""
    same = {"mse": [1.0, 1.1, 1.2] * 4, "mae": [1.01, 1.09, 1.21] * 4}
    noise = np.random.default_rng(0).normal(1.0, 0.8, 12)
    [table] = compare(collected(same | {"huber": list(noise)}), within={"mae": 0.5}).tables
    verdicts = {frozenset((pair.a, pair.b)): pair for pair in table.pairs}
    assert verdicts[frozenset(("mse", "mae"))].verdict == "equivalent"
    for pair in table.pairs:
        assert pair.adjusted_p == min(1.0, 3 * pair.p)
        assert pair.correction.divisor == 3


def test_no_pair_is_equivalent_while_pairs_are_lost(collected):
    values = [1.0, 1.1, 1.2, 1.0, 1.1, 1.2, 1.15, 1.05]
    [table] = compare(
        collected({"mse": values, "mae": [*values[:7], "diverged"]}), within={"mae": 0.5}
    ).tables
    [pair] = table.pairs
    assert (pair.n, pair.verdict) == (7, "undecided")


def test_the_step_down_decides_which_pairs_are_underpowered(collected):
    """Six seeds are too few for the first of three pairs, and enough once two are decided."""
    maes = {
        "mse": [9.0 + seed / 100 for seed in range(8)],
        "mae": [1.0 + seed / 90 for seed in range(8)],
        "huber": [*(1.2 + seed / 80 for seed in range(6)), None, None],
    }
    [table] = compare(collected(maes)).tables
    pairs = {frozenset((pair.a, pair.b)): pair for pair in table.pairs}
    late = pairs[frozenset(("mae", "huber"))]
    assert (late.n, late.p) == (6, 2 / 2**6)
    assert late.underpowered == (late.correction.divisor > 1)


def test_margins_are_those_of_the_runs_or_of_the_caller(collected):
    values = {"mse": [1.0, 2.0], "mae": [1.0, 2.0]}
    runs = collected(values, settings={"within": {"mae": 0.5}})
    assert {pair.within for table in compare(runs).tables for pair in table.pairs} == {0.5}
    [table] = compare(runs, within={"mae": 0.1}).tables
    assert [pair.within for pair in table.pairs] == [0.1]
    runs.runs[0].config["within"] = {"mae": 0.2}
    with pytest.raises(ValueError, match="different margins for mae"):
        compare(runs)


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_a_margin_must_be_positive(collected, margin):
    with pytest.raises(ValueError, match="mae must be > 0, the largest difference"):
        compare(collected({"mse": [1.0], "mae": [1.0]}), within={"mae": margin})


@pytest.mark.parametrize(("failed", "comparisons"), [(5, 1), (6, 2)])
def test_failures_that_could_be_significant_are_a_comparison(collected, failed, comparisons):
    """Five seeds give at best p = 2 / 2**5 = 0.0625, six p = 0.031."""
    runs = collected({"mse": [1.0] * 12, "mae": [*[2.0] * (12 - failed), *["diverged"] * failed]})
    assert compare(runs).comparisons == comparisons
