"""Linear networks for two classes, measured against scikit-learn's solution of the same problem.

Both classes have a logit, so a network has two weight vectors, of which one score follows: of BCE,
whose outputs are separate logistic regressions, the logit of the second class, and else the
difference of both. With an L2 penalty of strength lambda, the mean hinge loss of n samples then has
the minimum of a support vector machine with C = 2 / (lambda n): the penalty on two opposite vectors
w/2 and -w/2 is lambda |w|^2 / 4. Neither penalises the biases.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from omegaconf import OmegaConf

from losslab.analysis.load import Run
from losslab.config.trust import Source, require_harmless
from losslab.gallery.final_weights import final_weights
from losslab.metrics.labels import Metric

HARD = 1e3
"""C of a support vector machine that lets no sample inside its margin if the largest one is wider
than (2 C)^-1/2, 0.02; more takes seconds where classes overlap."""
AT_MARGIN = 0.05
"""Tolerance of the scores of support vectors, which are at most 1 in the right direction."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Score ``inputs @ weight + bias``, which is positive for the second class."""

    weight: np.ndarray
    bias: float

    def distance(self, other: "Fit") -> float:
        """Compute the distance of the coefficients, relative to the size of the other's."""
        ours, theirs = ([*fit.weight, fit.bias] for fit in (self, other))
        return float(np.linalg.norm(np.subtract(ours, theirs)) / np.linalg.norm(theirs))


@dataclass(frozen=True, eq=False)
class Problem:
    """Training samples of two classes, and the fit of a linear network to them.

    Example:
        Of two samples, the largest margin is half their distance.

        >>> inputs, fit = np.array([[0.0], [4.0]]), Fit(np.array([3.0]), -3.0)
        >>> problem = Problem(inputs, np.array([-1, 1]), fit)
        >>> problem.margin(fit), problem.margin(problem.svm(HARD))
        (1.0, 2.0)
    """

    inputs: np.ndarray
    """(n, F)."""
    sides: np.ndarray
    """-1 for samples of the first class, +1 for those of the second, (n,)."""
    fit: Fit

    def scores(self, fit: Fit) -> np.ndarray:
        """Compute the scores of the samples, positive if they are on the right side."""
        scores: np.ndarray = self.sides * (self.inputs @ fit.weight + fit.bias)
        return scores

    def margin(self, fit: Fit) -> float:
        """Compute the smallest distance of a sample from the boundary, negative on the wrong side.

        It is in the unit of the inputs.
        """
        return float(self.scores(fit).min() / np.linalg.norm(fit.weight))

    def support_vectors(self, fit: Fit) -> np.ndarray:
        """Return which samples are at the margin or beyond it, with scores of at most 1."""
        return self.scores(fit) <= 1 + AT_MARGIN

    def log_likelihood(self, fit: Fit) -> float:
        """Compute the mean log-likelihood in nats, with the scores as log-odds."""
        return -float(np.logaddexp(0, -self.scores(fit)).mean())

    def svm(self, c: float) -> Fit:
        """Fit a support vector machine."""
        from sklearn.svm import SVC  # noqa: PLC0415 (only claims about linear networks need it)

        found = SVC(kernel="linear", C=c, tol=1e-6).fit(self.inputs, self.sides)
        return Fit(found.coef_[0], float(found.intercept_[0]))

    def logistic_regression(self) -> Fit:
        """Fit a logistic regression without a penalty, whose strength is 1 / C."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

        found = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
        found.fit(self.inputs, self.sides)
        return Fit(found.coef_[0], float(found.intercept_[0]))


@functools.lru_cache(maxsize=1)  # the measures of a run follow each other
def problem_of(run: Run) -> Problem:
    """Read the fit of a run's last epoch, and draw its training samples again.

    Raises:
        ValueError: if the network is not linear, there are not two classes, or this version draws
            other samples than the run's.
    """
    from losslab.components import ready_data  # noqa: PLC0415 (torch)

    config = OmegaConf.create({key: run.config[key] for key in ("data", "seed", "choices")})
    require_harmless([config], Source(run.folder, {}))
    data = ready_data(config)
    if data.fingerprint() != run.record["hashes"]["data"]:
        raise ValueError(f"{run.folder}: its data are drawn otherwise now; train it again")
    layers = final_weights(run)
    if [each.shape for each in layers] != [(2, math.prod(data.input_shape)), (2,)]:
        raise ValueError(f"{run.folder}: expected a linear network of two classes")
    weight, bias = (each.astype(np.float64) for each in layers)
    if run.loss == "bce":
        fit = Fit(weight[1], float(bias[1]))
    else:
        fit = Fit(weight[1] - weight[0], float(bias[1] - bias[0]))
    inputs = data.train.inputs.flatten(1).double().numpy()
    return Problem(inputs, 2 * data.train.targets.numpy() - 1, fit)


def _svm(run: Run) -> Fit | None:
    """Fit a support vector machine with the same penalty; ``None`` if there is none."""
    if run.settings.get("choices.regularizer") != "l2":
        return None
    problem = problem_of(run)
    return problem.svm(2 / (run.settings["regularizer.strength"] * len(problem.sides)))


def relative_margin(run: Run) -> float:
    """Compute the margin of the network as a share of the largest one; NaN if there is none."""
    problem = problem_of(run)
    largest = problem.margin(problem.svm(HARD))
    return problem.margin(problem.fit) / largest if largest > 0 else math.nan


def distance_from_svm(run: Run) -> float:
    """Compute the relative distance from the support vector machine with the same penalty."""
    svm = _svm(run)
    return math.nan if svm is None else problem_of(run).fit.distance(svm)


def shared_support_vectors(run: Run) -> float:
    """Compute the samples that are support vectors of both, as a share of those of either."""
    svm, problem = _svm(run), problem_of(run)
    if svm is None:
        return math.nan
    ours, theirs = problem.support_vectors(problem.fit), problem.support_vectors(svm)
    return float((ours & theirs).sum() / (ours | theirs).sum())


def support_vectors(run: Run) -> float:
    """Compute the share of the training samples whose hinge loss is not 0, or just so."""
    problem = problem_of(run)
    return float(problem.support_vectors(problem.fit).mean())


def distance_from_logistic(run: Run) -> float:
    """Compute the relative distance from the coefficients of a logistic regression."""
    problem = problem_of(run)
    return problem.fit.distance(problem.logistic_regression())


def lost_likelihood(run: Run) -> float:
    """Compute by how many nats per sample the log-likelihood is below its maximum."""
    problem = problem_of(run)
    best = problem.log_likelihood(problem.logistic_regression())
    return best - problem.log_likelihood(problem.fit)


MEASURES: dict[str, tuple[Metric, Callable[[Run], float]]] = {
    "relative_margin": (
        Metric("relative_margin", "margin relative to the largest", "higher", percent=True, high=1),
        relative_margin,
    ),
    "distance_from_svm": (
        Metric("distance_from_svm", "relative distance from the SVM", "lower", low=0),
        distance_from_svm,
    ),
    "shared_support_vectors": (
        Metric(
            "shared_support_vectors",
            "support vectors shared with the SVM",
            "higher",
            percent=True,
            low=0,
            high=1,
        ),
        shared_support_vectors,
    ),
    "support_vectors": (
        Metric("support_vectors", "support vectors", percent=True, low=0, high=1),
        support_vectors,
    ),
    "distance_from_logistic": (
        Metric(
            "distance_from_logistic", "relative distance from logistic regression", "lower", low=0
        ),
        distance_from_logistic,
    ),
    "lost_likelihood": (
        Metric("lost_likelihood", "log-likelihood below its maximum", "lower", unit="nats", low=0),
        lost_likelihood,
    ),
}
"""Measures of linear networks."""
