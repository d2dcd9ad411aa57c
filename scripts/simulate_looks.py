"""Simulate sweeps that add seeds until every pair is decided: python scripts/simulate_looks.py.

Prints how often such a sweep claims a difference (or an equivalence) that is not there, how often
it finds one that is, and how many runs it takes. Docs: the tables of docs/comparison.md.
"""

import argparse
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEVEL = 0.05
LOOKS = (8, 12, 16, 24, 32)
SIX_LOOKS = (8, 12, 16, 20, 24, 32)
SHARE = 1 / 3
DRAWS, T_DRAWS = 2**12, 2**13

Values = Callable[[np.random.Generator, int, int], np.ndarray]
Spending = Callable[[float], float]


@dataclass(frozen=True)
class Sweep:
    """Sweep over losses whose true means are known.

    Attributes:
        noise: values of each loss and seed, ``(losses, seeds)``, of mean 0.
        means: true mean of each loss.
        looks: numbers of seeds at which the pairs are tested.
        within: margin of equivalence; ``None``: only differences are tested.
        share: ``None``: sign flips; else the corrected t-test with this share of test samples.
        planned: whether the looks were planned; else each comparison was made at the full level.
    """

    noise: Values
    means: tuple[float, ...]
    looks: tuple[int, ...] = LOOKS
    within: float | None = None
    share: float | None = None
    planned: bool = True

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of losses."""
        return list(itertools.combinations(range(len(self.means)), 2))


@dataclass(frozen=True)
class Outcome:
    """What simulated sweeps did.

    Attributes:
        false: share of the sweeps with a false claim.
        found: share of the pairs with a true difference that was claimed.
        runs: mean number of runs per loss.
        first: share of the true differences that were claimed at the first look.
    """

    false: float
    found: float
    runs: float
    first: float


def simulate(case: Sweep, rounds: int, spending: Spending | None = None, seed: int = 1) -> Outcome:
    """Simulate sweeps, with the same seed the same ones."""
    from losslab.analysis import sequential  # noqa: PLC0415 (--help needs no scipy)

    rng = np.random.default_rng(seed)
    spend = spending or sequential.spending
    results = [_sweep(case, rng, spend) for _ in range(rounds)]
    false, found, runs, first = np.mean(results, axis=0)
    return Outcome(float(false), float(found), float(runs), float(first))


def _sweep(case: Sweep, rng: np.random.Generator, spend: Spending) -> tuple[float, ...]:
    from losslab.analysis.statistics import holm  # noqa: PLC0415

    values = case.noise(rng, len(case.means), case.looks[-1]) + np.array(case.means)[:, None]
    different = np.stack([_p(case, values[a] - values[b], spend, None) for a, b in case.pairs])
    truth = np.array([case.means[a] - case.means[b] for a, b in case.pairs])
    if case.within is None:
        better = np.stack([holm(column) for column in different.T], axis=1) <= LEVEL
        equal = np.zeros_like(better)
    else:
        alike = [_p(case, values[a] - values[b], spend, case.within) for a, b in case.pairs]
        better = different * len(truth) <= LEVEL
        equal = np.stack(alike) * len(truth) <= LEVEL
    gaps = np.array([(values[a] - values[b]).sum() for a, b in case.pairs])
    wrong = better[:, -1] & ((truth == 0) | (np.sign(gaps) != np.sign(truth)))
    if case.within is not None:
        wrong |= equal[:, -1] & (np.abs(truth) >= case.within)
    real = truth != 0
    found = better[real, -1].mean() if real.any() else 0.0
    first = better[real, 0].mean() if real.any() else 0.0
    return float(wrong.any()), float(found), _runs(case, better | equal), float(first)


def _p(case: Sweep, differences: np.ndarray, spend: Spending, within: float | None) -> np.ndarray:
    """Return the p-value of one pair after each look."""
    from losslab.analysis import sequential, sequential_t  # noqa: PLC0415
    from losslab.analysis.generalization import corrected_t  # noqa: PLC0415

    last = case.looks[-1]
    if case.share is None:
        spent = [spend(look / last) if case.planned else 1.0 for look in case.looks]
        if within is None:
            return sequential.sequential_sign_flip_p(differences, case.looks, spent, DRAWS)
        return sequential.sequential_equivalence_p(differences, within, case.looks, spent, DRAWS)
    whole = sequential_t.information(last, case.share)
    spent = [spend(sequential_t.information(look, case.share) / whole) for look in case.looks]
    spent = spent if case.planned else [1.0] * len(spent)
    tests = [corrected_t(differences[:look], case.share) for look in case.looks]
    return sequential_t.sequential_t_p(tests, case.looks, spent, within, T_DRAWS)


def _runs(case: Sweep, decided: np.ndarray) -> float:
    """Return the mean number of runs per loss: a loss leaves when all its pairs are decided."""
    at = [case.looks[int(row.argmax())] if row[-1] else case.looks[-1] for row in decided]
    needed = [
        max(look for look, pair in zip(at, case.pairs, strict=True) if loss in pair)
        for loss in range(len(case.means))
    ]
    return float(np.mean(needed))


# --- noise ----------------------------------------------------------------------------------------


def normal(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """Draw normal values with a standard deviation of 1."""
    return rng.normal(size=(losses, seeds))


def heavy(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """Draw from a t-distribution with 3 degrees of freedom."""
    return rng.standard_t(3, size=(losses, seeds))


def discrete(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """Draw from five values, with many ties between losses."""
    return rng.binomial(4, 0.5, size=(losses, seeds)) - 2.0


def redrawn(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """Draw normal values of seeds that redraw 60/20 splits: they share a part of the variance."""
    return rng.normal(size=(losses, seeds)) + math.sqrt(SHARE) * rng.normal(size=(losses, 1))


def classifiers(samples: int) -> Values:
    """Return the values of two equally good classifiers on redrawn splits of the same samples."""
    path = Path(__file__).with_name("simulate_claims.py")
    spec = importlib.util.spec_from_file_location("simulate_claims", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def noise(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
        differences = np.nanmean(module.Null(samples, seeds).differences(rng), axis=1)
        return np.stack([differences, np.zeros(seeds)])

    return noise


# --- tables ---------------------------------------------------------------------------------------


def equal_losses() -> Iterator[tuple[str, Sweep]]:
    """Yield the sweeps in which a claim is false."""
    for losses, looks in itertools.product((2, 3, 5), (LOOKS, SIX_LOOKS)):
        equal = (0.0,) * losses
        for noise in (normal, heavy, discrete):
            yield (
                f"{noise.__name__}, {losses} losses, {len(looks)} looks",
                Sweep(noise, equal, looks),
            )
        case = Sweep(redrawn, equal, looks, share=SHARE)
        yield f"redrawn, {losses} losses, {len(looks)} looks", case
    two = (0.0, 0.0)
    yield "classifiers on redrawn splits, N = 600", Sweep(classifiers(600), two, share=SHARE)
    for noise, share in ((normal, None), (discrete, None), (redrawn, SHARE)):
        for losses in (2, 3, 5):
            means = tuple(float(loss % 2) for loss in range(losses))
            case = Sweep(noise, means, within=1.0, share=share)
            yield f"{noise.__name__}, {losses} losses, 0 and the margin apart", case
    for looks in ((8, 16), (5, 16), (8, 12, 16, 24)):
        for losses in (2, 3):
            case = Sweep(normal, (0.0,) * losses, looks, planned=False)
            yield f"normal, {losses} losses, extended by hand at {looks}", case


def different_losses() -> Iterator[tuple[str, Sweep]]:
    """Yield the sweeps in which one of three losses differs, by this many standard deviations."""
    for effect in (0.5, 1.0, 1.5, 2.0, 3.0):
        yield f"one of 3 by {effect}", Sweep(normal, (effect, 0.0, 0.0))
    for effect in (2.0, 3.0):
        yield f"one of 3 by {effect}, redrawn", Sweep(redrawn, (effect, 0, 0), share=SHARE)
    yield "one of 3 by 3.0, equal within 1.5", Sweep(normal, (3.0, 0.0, 0.0), within=1.5)


def fixed(case: Sweep) -> Sweep:
    """Return the same sweep with all seeds at once."""
    return Sweep(case.noise, case.means, case.looks[-1:], case.within, case.share)


SPENDING: dict[str, Spending] = {
    "square root": math.sqrt,
    "Pocock": lambda part: math.log1p((math.e - 1) * part),
    "linear": lambda part: part,
    "square": lambda part: part**2,
}


def report(cases: Sequence[tuple[str, Sweep]], rounds: int) -> None:
    """Print a line per case."""
    for name, case in cases:
        print(f"{name}: false {simulate(case, rounds).false:.3f}", flush=True)


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--only", choices=["equal", "different"], help="print one table only")
    given = parser.parse_args()
    if given.only != "different":
        report(list(equal_losses()), given.rounds)
    if given.only != "equal":
        for name, case in different_losses():
            for rule, spending in SPENDING.items():
                found = simulate(case, given.rounds, spending)
                print(f"{name}, {rule}: {found}", flush=True)
            print(f"{name}, all {case.looks[-1]} at once: {simulate(fixed(case), given.rounds)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
