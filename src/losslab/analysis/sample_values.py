"""Values of a metric per test sample, from the scores that runs save."""

import math
from collections.abc import Sequence

import numpy as np

from losslab.analysis.load import Run
from losslab.runs.scores import Scores

ROOTS = {"rmse": "squared_error"}
"""Metrics that are the root of the mean of a score."""

RATIOS = {"cer": ("cer_edits", "cer_length")}
"""Metrics that are the sum of one score over the sum of another."""

AGREES = 1e-3
"""Relative tolerance within which the scores have the recorded metric as their mean: they are saved
in single precision."""


def differences_by_sample(
    ours: Sequence[Run], theirs: Sequence[Run], metric: str
) -> np.ndarray | None:
    """Compute the differences of a metric per seed and test sample, if the runs have scores.

    Args:
        ours: runs of one row, by seed.
        theirs: runs of the other row with the same seeds, in the same order.
        metric: name of the metric.

    Returns:
        Differences ``(n, m)``; ``None`` if a run has no scores that have this metric as their mean,
        or the runs were tested on different samples.
    """
    found = [_by_identity(run, metric) for run in (*ours, *theirs)]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    samples = known[0][0]
    if any(not np.array_equal(each[0], samples) for each in known):
        return None
    values = np.stack([each[1] for each in known])
    missing = np.isnan(values)
    if (missing == missing[0]).all():
        values = values[:, ~missing[0]]
    else:  # whether a sample has a value depends on its prediction, as for Dice of empty masks
        values = np.stack([_filled(row) for row in values])
    return np.asarray(values[: len(ours)] - values[len(ours) :])


def _by_identity(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the identities of a run's test samples, sorted, with their values of the metric."""
    scores = run.scores
    values = None if scores is None else sample_values(scores, metric)
    if scores is None or values is None or np.isnan(values).all():
        return None
    recorded = run.metrics("test").get(metric, math.nan)
    if not math.isclose(float(np.nanmean(values)), recorded, rel_tol=AGREES, abs_tol=1e-6):
        return None  # scores of something else, such as of the run of a baseline
    order = np.argsort(scores.sample, kind="stable")
    return scores.sample[order], values[order]


def sample_values(scores: Scores, metric: str) -> np.ndarray | None:
    r"""Return values per sample whose mean is the metric; ``None`` if the scores do not give them.

    For a root :math:`\theta = \sqrt{\bar q}` and a ratio :math:`\theta = \bar e / \bar l` these are
    the values of the linear approximation, :math:`\theta + (q_i - \bar q) / 2 \theta` and
    :math:`\theta + (e_i - \theta l_i) / \bar l`. A metric with a score per class, ``dice/1``,
    ``dice/2`` ..., is the mean over the classes; see :func:`_filled` for samples without a class.

    Example:
        >>> squares = {"squared_error": np.array([1.0, 7.0])}
        >>> sample_values(Scores(np.arange(2), squares), "rmse")
        array([1.25, 2.75])
    """
    values = scores.values
    if metric in values:
        return values[metric].astype(float)
    of_classes = [each for name, each in values.items() if name.startswith(f"{metric}/")]
    if of_classes:
        known = [_filled(each.astype(float)) for each in of_classes if not np.isnan(each).all()]
        return np.asarray(np.mean(known, axis=0)) if known else None
    if metric in ROOTS and ROOTS[metric] in values:
        squares = values[ROOTS[metric]].astype(float)
        root = math.sqrt(float(np.nanmean(squares)))
        return root + (squares - root**2) / (2 * root) if root else squares
    if metric in RATIOS and set(RATIOS[metric]) <= values.keys():
        counts, sizes = (values[name].astype(float) for name in RATIOS[metric])
        ratio = counts.sum() / sizes.sum()
        return np.asarray(ratio + (counts - ratio * sizes) / sizes.mean())
    return None


def _filled(values: np.ndarray) -> np.ndarray:
    r"""Return values whose mean is that of the values that are not NaN.

    It is the linear approximation of a mean over n of N samples, :math:`\bar v + (v_i - \bar v)
    N / n`, which is :math:`\bar v` for the others.

    Example:
        >>> _filled(np.array([1.0, np.nan, 0.0])).tolist()
        [1.25, 0.5, -0.25]
    """
    known = ~np.isnan(values)
    mean = values[known].mean()
    each = mean + (values - mean) * len(values) / known.sum()
    return np.asarray(np.where(known, each, mean))
