"""Simulate how often a comparison claims a difference: python scripts/simulate_claims.py.

Two logistic regressions weight the positive class by w and by 1/w, on data that look the same with
labels and features reversed, or two nearest-centroid classifiers favour different classes, on data
that look the same with these exchanged: on new samples their accuracies are equal, so each claim of
a difference is false. With weights w and 1 they differ, and a claim is right. Docs: the table of
docs/comparison.md.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

TRAIN, TEST = 0.6, 0.2
LEVEL = 0.05


@dataclass(frozen=True)
class Null:
    """Comparison of two classifiers on one finite sample.

    Attributes:
        samples: number of samples that the seeds share.
        seeds: number of seeds.
        fixed_test: whether all seeds are tested on the same samples.
        weights: weight of the positive class in either classifier.
        features: number of features, of which one tells the classes apart.
        subsets: whether the classifiers see different features that are equally good, instead of
            different weights: which of them is better then depends on the training samples.
        signal: how well the feature of either classifier tells the classes apart.
        metric: ``accuracy``, or ``auroc`` or ``f1_macro``, which are not means over samples.
    """

    samples: int
    seeds: int
    fixed_test: bool = False
    weights: tuple[float, float] = (3.0, 1 / 3)
    features: int = 8
    subsets: bool = False
    signal: tuple[float, float] = (0.5, 0.5)
    metric: str = "accuracy"

    def differences(self, rng: np.random.Generator) -> np.ndarray:
        """Return the difference in the metric per seed and sample, NaN if it was not tested."""
        train, test = self._splits(rng)
        ours, theirs = self._by_sample(rng, train, test)
        found = np.full((self.seeds, self.samples), np.nan)
        np.put_along_axis(found, test, ours - theirs, axis=1)
        return found

    def _by_sample(
        self, rng: np.random.Generator, train: np.ndarray, test: np.ndarray
    ) -> list[np.ndarray]:
        """Return the metric of either classifier by test sample, at each seed."""
        width = self.features * (2 if self.subsets else 1)
        labels = rng.integers(0, 2, self.samples)
        inputs = rng.normal(size=(self.samples, width))
        signal = self.signal if self.subsets else self.signal[:1]
        inputs[:, :: self.features] += signal * (2 * labels[:, None] - 1)
        inputs = np.concatenate([inputs, np.ones((self.samples, 1))], axis=1)
        values = BY_SAMPLE[self.metric]
        return [
            values(_logistic(inputs[:, columns], labels, train, test, weight), labels[test] > 0)
            for columns, weight in zip(self._columns(width), self.weights, strict=True)
        ]

    def _columns(self, width: int) -> list[np.ndarray]:
        every = np.arange(width + 1)
        if not self.subsets:
            return [every, every]
        return [every[: self.features], every[self.features : -1]]

    def _splits(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        held = round(TEST * self.samples)
        order = np.stack([rng.permutation(self.samples) for _ in range(self.seeds)])
        if self.fixed_test:
            rest = [held + rng.permutation(self.samples - held) for _ in range(self.seeds)]
            order = np.concatenate([np.tile(np.arange(held), (self.seeds, 1)), rest], axis=1)
        return order[:, -round(TRAIN * self.samples) :], order[:, :held]


@dataclass(frozen=True)
class Centroids(Null):
    """Nearest-centroid classifiers of four classes, each of which favours another class."""

    classes: int = 4

    def _by_sample(
        self, rng: np.random.Generator, train: np.ndarray, test: np.ndarray
    ) -> list[np.ndarray]:
        labels = rng.integers(0, self.classes, self.samples)
        members = np.eye(self.classes)[labels]
        inputs = rng.normal(size=members.shape) + 1.5 * members
        sums = np.einsum("bnk,bnd->bkd", members[train], inputs[train])
        centroids = sums / members[train].sum(axis=1)[..., None]
        scores = np.einsum("bnd,bkd->bnk", inputs[test], centroids)
        scores -= (centroids**2).sum(axis=2)[:, None] / 2
        return [
            (
                np.argmax(scores + np.log(weight) * np.eye(self.classes)[k], axis=2) == labels[test]
            ).astype(float)
            for k, weight in enumerate(self.weights)
        ]


def _logistic(
    inputs: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray, weight: float
) -> np.ndarray:
    """Fit one ridge logistic regression per seed by Newton's method; return the test scores."""
    x, y = inputs[train], labels[train]
    weights = np.where(y > 0, weight, 1.0)
    beta = np.zeros((len(x), x.shape[2]))
    for _ in range(6):
        probability = special.expit(np.einsum("bnd,bd->bn", x, beta))
        gradient = np.einsum("bnd,bn->bd", x, weights * (probability - y)) + beta
        curvature = weights * probability * (1 - probability)
        hessian = np.einsum("bnd,bn,bne->bde", x, curvature, x, optimize=True)
        beta -= np.linalg.solve(hessian + np.eye(x.shape[2]), gradient[..., None])[..., 0]
    return np.asarray(np.einsum("bnd,bd->bn", inputs[test], beta))


def _right(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return ((scores > 0) == truth).astype(float)


def _auroc(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return AUROC plus its derivative with respect to each sample's weight, as DeLong et al."""
    return np.stack([_auroc_of_seed(*seed) for seed in zip(scores, truth, strict=True)])


def _auroc_of_seed(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    above = scores[truth][:, None] > scores[~truth]
    area = above.mean()
    values = np.empty(len(scores))
    for kind, shares in ((truth, above.mean(axis=1)), (~truth, above.mean(axis=0))):
        values[kind] = area + len(scores) / kind.sum() * (shares - area)
    return values


def _f1_macro(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean F1 of both classes plus its derivative with respect to each weight."""
    positive, both = scores > 0, []
    for guess, true in ((positive, truth), (~positive, ~truth)):
        hits, either = 2.0 * (guess & true), guess + true.astype(float)
        score = hits.sum(axis=1, keepdims=True) / either.sum(axis=1, keepdims=True)
        both.append(score + (hits - score * either) / either.mean(axis=1, keepdims=True))
    return np.mean(both, axis=0)


BY_SAMPLE = {"accuracy": _right, "auroc": _auroc, "f1_macro": _f1_macro}
"""Values per sample of each metric, at each seed (n, m)."""


def claims(
    case: Null, p_values: dict[str, Callable[[np.ndarray], float]], rounds: int, seed: int = 0
) -> dict[str, float]:
    """Return the share of simulated comparisons in which each test claims a difference."""
    rng = np.random.default_rng(seed)
    found = [case.differences(rng) for _ in range(rounds)]
    return {name: float(np.mean([p(d) <= LEVEL for d in found])) for name, p in p_values.items()}


def tests_of(case: Null) -> dict[str, Callable[[np.ndarray], float]]:
    """Return the tests that are compared, by name: p-value of the differences."""
    from losslab.analysis import statistics  # noqa: PLC0415 (--help needs no scipy)
    from losslab.analysis.generalization import corrected_t, crossed_t  # noqa: PLC0415

    tests: dict[str, Callable[[np.ndarray], float]] = {
        "sign flips": lambda d: statistics.sign_flip_p(np.nanmean(d, axis=1)),
        "corrected t": lambda d: corrected_t(np.nanmean(d, axis=1), TEST / TRAIN).p,
    }
    if case.fixed_test:
        tests["crossed t"] = lambda d: crossed_t(_tested(d)).p
    else:
        tests["sample effects"] = sample_effects_p
    return tests


def _tested(differences: np.ndarray) -> np.ndarray:
    """Return the differences at the samples that all seeds are tested on."""
    return np.asarray(differences[:, ~np.isnan(differences).any(axis=0)])


def sample_effects_p(differences: np.ndarray) -> float:
    """Compute the p-value of a rival: seeds and samples as random effects, if splits are redrawn.

    It has more power than the corrected t-test, but ignores that the seeds share training samples:
    its false claims exceed the level if these decide which classifier is better.
    """
    n, total = differences.shape
    rows = np.nanmean(differences, axis=1)
    tested = ~np.isnan(differences)
    centered = np.where(tested, differences - rows.mean(), 0.0)
    counts, sums = tested.sum(axis=0), centered.sum(axis=0)
    pairs = (counts * (counts - 1)).sum()
    of_samples = max(float((sums**2 - (centered**2).sum(axis=0)).sum()) / max(pairs, 1), 0.0)
    parts = np.array([rows.var(ddof=1) / n, of_samples / total])
    if not parts.sum():
        return 1.0
    freedom = parts.sum() ** 2 / (parts**2 / [n - 1, total - 1]).sum()
    return float(2 * special.stdtr(freedom, -abs(rows.mean()) / np.sqrt(parts.sum())))


def cases() -> Iterator[tuple[str, Null]]:
    """Yield the simulated cases with what they show."""
    for samples in (600, 1797):
        for seeds in (8, 10, 20, 40):
            yield "equal, redrawn", Null(samples, seeds)
        for seeds in (10, 40):
            yield "equal, fixed test", Null(samples, seeds, fixed_test=True)
    yield from other_metrics()
    for seeds in (10, 40):
        yield "four classes, redrawn", Centroids(600, seeds, weights=(2.0, 2.0))
        yield "four classes, fixed test", Centroids(600, seeds, True, weights=(2.0, 2.0))
    for seeds in (10, 40):
        yield "equal, other features", Null(150, seeds, weights=(1.0, 1.0), subsets=True)
        yield "different, redrawn", Null(600, seeds, weights=(3.0, 1.0))
        yield "different, fixed test", Null(1797, seeds, fixed_test=True, weights=(3.0, 1.0))


def other_metrics() -> Iterator[tuple[str, Null]]:
    """Yield cases of metrics that are not means over samples, on a fixed test split."""
    plain = Null(600, 10, True, weights=(1.0, 1.0), features=2, subsets=True)
    for metric in ("auroc", "f1_macro"):
        for seeds in (10, 40):
            other = replace(plain, seeds=seeds, metric=metric)
            yield f"{metric}: equal", Null(600, seeds, True, metric=metric)
            yield f"{metric}: equal, other features", other
            yield f"{metric}: different", replace(other, signal=(0.9, 0.5))


def main() -> int:
    """Print one line per case: the share of claims per test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1000, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    for what, case in cases():
        shares = claims(case, tests_of(case), rounds)
        texts = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
        print(f"{what}, N = {case.samples}, n = {case.seeds}: {texts}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
