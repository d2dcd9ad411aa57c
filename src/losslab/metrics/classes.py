"""How well classes are told apart: functions of whole splits, without a branch on a value.

They give what torchmetrics gives, in a few operations on all classes at once, and can be mapped
over many runs by ``torch.func.vmap``.
"""

import torch
from torch import Tensor


def membership(indices: Tensor, classes: int) -> Tensor:
    """Class indices (N,) as a boolean (N, C).

    Example:
        >>> membership(torch.tensor([2, 0]), 3).int()
        tensor([[0, 0, 1],
                [1, 0, 0]], dtype=torch.int32)
    """
    return indices.unsqueeze(1) == torch.arange(classes, device=indices.device)


def f1_macro(guess: Tensor, truth: Tensor) -> Tensor:
    r"""The mean of :math:`2 TP / (2 TP + FP + FN)` over the classes that occur or are guessed.

    Args:
        guess: boolean (N, C).
        truth: the same.

    Example:
        >>> truth = torch.tensor([[True, False], [False, True]])
        >>> f1_macro(torch.tensor([[True, False], [True, False]]), truth).item()
        0.3333333333333333
    """
    right = (guess & truth).sum(dim=0)
    either = guess.sum(dim=0) + truth.sum(dim=0)
    # a class that neither occurs nor is guessed has no score
    score = 2 * right.double() / either.clamp(min=1)
    return score.sum() / (either > 0).sum().clamp(min=1)


def recall(guess: Tensor, truth: Tensor) -> Tensor:
    """The share of each class that is found, (C,); 0 for a class without samples.

    Args:
        guess: boolean (N, C).
        truth: the same.
    """
    return (guess & truth).sum(dim=0).double() / truth.sum(dim=0).clamp(min=1)


def auroc_macro(score: Tensor, truth: Tensor) -> Tensor:
    r"""The area under the ROC curve, each class against the rest, averaged over the classes.

    The area is the chance that a sample of the class scores higher than one that is not of it
    (Mann and Whitney's statistic; equal scores count half):

    .. math:: \mathrm{AUC} = \frac{\sum_{i \in +} r_i - n_+ (n_+ + 1) / 2}{n_+ n_-}

    with the mean ranks r of equal scores. It is 0.5 where scores tell nothing.

    Args:
        score: higher for what is more likely, (N, C).
        truth: boolean, the same.

    Returns:
        The mean over the classes that have samples of both kinds, NaN where none has.

    Source:
        Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve", 1982.

    Example:
        >>> score = torch.tensor([[0.1], [0.4], [0.35], [0.8]])
        >>> auroc_macro(score, torch.tensor([[False], [False], [True], [True]])).item()
        0.75
    """
    score, truth = score.T.contiguous(), truth.T
    ordered, index = score.sort(dim=1)
    positive = truth.gather(1, index).double()
    below = torch.searchsorted(ordered, ordered)
    not_above = torch.searchsorted(ordered, ordered, right=True)
    rank = (below + not_above + 1).double() / 2
    count = positive.sum(dim=1)
    pairs = count * (score.shape[1] - count)
    area = ((rank * positive).sum(dim=1) - count * (count + 1) / 2) / pairs.clamp(min=1)
    return (area * (pairs > 0)).sum() / (pairs > 0).sum()


def calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> Tensor:
    r"""Expected calibration error, :math:`\sum_b \frac{n_b}{N} |\mathrm{acc}_b - \mathrm{conf}_b|`.

    Bins are of equal width, closed below; a confidence of 1 has a bin of its own.

    Args:
        confidence: probabilities (N,).
        right: whether what they belong to happened, (N,).
        bins: their number between 0 and 1.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Example:
        >>> calibration_error(torch.full((4,), 0.75), torch.tensor([1, 1, 1, 0])).item()
        0.0
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype, device=confidence.device)
    place = torch.bucketize(confidence, edges, right=True) - 1
    gap = (right.double() - confidence.double()).unsqueeze(1)
    return (gap * membership(place, bins + 1)).sum(dim=0).abs().sum() / len(confidence)
