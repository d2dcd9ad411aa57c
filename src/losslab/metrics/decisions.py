"""Metrics of binary decisions, and the choice of their threshold."""

import torch
from torch import Tensor


def binary_f1(guess: Tensor, truth: Tensor) -> Tensor:
    r"""Compute the F1 score, :math:`2 TP / (2 TP + FP + FN)`.

    It is 1 if there are neither true nor predicted positives.

    Args:
        guess: predictions, boolean (N,).
        truth: boolean (N,).

    Example:
        >>> binary_f1(torch.tensor([True, True, False]), torch.tensor([True, False, False])).item()
        0.6666666666666666
    """
    hits, total = (guess & truth).sum().double(), guess.sum() + truth.sum()
    return torch.where(total > 0, 2 * hits / total.clamp(min=1), 1.0)


def best_f1_threshold(score: Tensor, truth: Tensor) -> float:
    """Find the threshold on the scores with the best F1, midway between two scores.

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
    below = torch.cat([sorted_score[1:], sorted_score[-1:] - 2])
    f1 = f1.where(below < sorted_score, -1.0)
    best = int(f1.argmax())
    return float((sorted_score[best] + below[best]) / 2)
