"""Metrics of binary decisions, and the choice of their threshold."""

import torch
from torch import Tensor

ROUNDING = 1e-9
"""Difference of two scores within which they are equally good."""


def binary_f1(guess: Tensor, truth: Tensor) -> Tensor:
    r"""Compute the F1 score, :math:`2 TP / (2 TP + FP + FN)`.

    It is NaN if there are neither true nor predicted positives.

    Args:
        guess: predictions, boolean (N,).
        truth: boolean (N,).

    Example:
        >>> binary_f1(torch.tensor([True, True, False]), torch.tensor([True, False, False])).item()
        0.6666666666666666
    """
    return 2 * (guess & truth).sum().double() / (guess.sum() + truth.sum())


def best_f1_threshold(score: Tensor, truth: Tensor) -> float:
    """Find the threshold on the scores with the best F1, midway between two scores.

    Samples whose score is at least the threshold are predicted positive. Of equally good
    thresholds the highest is taken.

    Args:
        score: (N,).
        truth: boolean (N,).

    Example:
        >>> best_f1_threshold(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([False, False, True]))
        2.0
    """
    order = score.double().argsort(descending=True)
    sorted_score, sorted_truth = score.double()[order], truth[order]
    taken = torch.arange(1, len(score) + 1, device=score.device)
    f1 = 2 * sorted_truth.cumsum(0) / (taken + truth.sum()).clamp(min=1)
    # equal scores are on the same side of a threshold: only the last of them can be cut after
    lowest = sorted_score[-1:]
    below = torch.cat([sorted_score[1:], lowest - 2 - lowest.abs()])
    best = first_best(f1.where(below < sorted_score, -1.0))
    middle = (sorted_score[best] + below[best]) / 2
    return float(middle if middle > below[best] else sorted_score[best])


def first_best(values: Tensor) -> int:
    """Return the index of the first value that is the largest up to rounding; NaN is the smallest.

    Example:
        >>> first_best(torch.tensor([0.0, 0.3, 0.1 + 0.2], dtype=torch.float64))
        1
    """
    values = values.nan_to_num(nan=-torch.inf)
    return int((values >= values.max() - ROUNDING).nonzero()[0])
