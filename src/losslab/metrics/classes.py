"""Classification metrics that can be mapped over many runs by ``torch.func.vmap``.

They equal those of torchmetrics, but process all classes at once and do not branch on values.
"""

import torch
from torch import Tensor

ROUNDING = 1e-6
"""Distance below the edge of a bin, in widths of a bin, within which a confidence is on it."""


def membership(indices: Tensor, classes: int) -> Tensor:
    """Convert class indices (N,) to a boolean tensor (N, C).

    Example:
        >>> membership(torch.tensor([2, 0]), 3).int()
        tensor([[0, 0, 1],
                [1, 0, 0]], dtype=torch.int32)
    """
    return indices.unsqueeze(1) == torch.arange(classes, device=indices.device)


def f1_macro(guess: Tensor, truth: Tensor) -> Tensor:
    r"""Compute the mean F1 score over the classes that occur or are predicted.

    .. math:: F_1 = 2 TP / (2 TP + FP + FN)

    Args:
        guess: predicted classes, boolean (N, C).
        truth: true classes, boolean (N, C).

    Example:
        >>> truth = torch.tensor([[True, False], [False, True]])
        >>> f1_macro(torch.tensor([[True, False], [True, False]]), truth).item()
        0.3333333333333333
    """
    right = (guess & truth).sum(dim=0)
    either = guess.sum(dim=0) + truth.sum(dim=0)
    # a class that neither occurs nor is predicted has no score
    score = 2 * right.double() / either.clamp(min=1)
    return score.sum() / (either > 0).sum().clamp(min=1)


def recall(guess: Tensor, truth: Tensor) -> Tensor:
    """Compute the recall of each class, (C,); it is NaN for a class without samples.

    Args:
        guess: predicted classes, boolean (N, C).
        truth: true classes, boolean (N, C).
    """
    return (guess & truth).sum(dim=0).double() / truth.sum(dim=0)


def margins(score: Tensor) -> Tensor:
    """Compute by how much each score exceeds the largest of the other classes, float64 (N, C).

    The order of samples by it does not depend on the scale of the scores, unlike the order by the
    softmax of scores that are not logits.

    Example:
        >>> margins(torch.tensor([[3.0, 1.0, 2.0]]))
        tensor([[ 1., -2., -1.]], dtype=torch.float64)
    """
    score = score.double()
    first, second = score.topk(2, dim=1).values.split(1, dim=1)
    return score - torch.where(score == first, second, first)


def auroc_macro(score: Tensor, truth: Tensor) -> Tensor:
    r"""Compute the area under the ROC curve, one-vs-rest, averaged over the classes.

    The area is the probability that a sample of the class scores higher than another sample
    (the Mann-Whitney statistic; ties count half):

    .. math:: \mathrm{AUC} = \frac{\sum_{i \in +} r_i - n_+ (n_+ + 1) / 2}{n_+ n_-}

    where ties have their mean rank r. Random scores give 0.5.

    Args:
        score: higher for more likely classes, (N, C).
        truth: true classes, boolean (N, C).

    Returns:
        The mean over the classes with positive and negative samples, NaN if there are none.

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


def average_precision(score: Tensor, truth: Tensor) -> Tensor:
    r"""Compute the average precision of each class, one-vs-rest.

    .. math:: \mathrm{AP} = \sum_k (R_k - R_{k-1}) P_k

    with precision P and recall R at each threshold k, so equal scores are cut together. It depends
    only on the order of the scores, which may be any real numbers.

    Args:
        score: higher for more likely classes, (N, C).
        truth: true classes, boolean (N, C).

    Returns:
        One value per class, (C,), NaN for a class without samples.

    Example:
        >>> score = torch.tensor([[300.0], [200.0], [100.0], [-100.0]])
        >>> truth = torch.tensor([[True], [False], [True], [False]])
        >>> average_precision(score, truth)
        tensor([0.8333], dtype=torch.float64)
    """
    score, truth = score.T.contiguous(), truth.T
    ordered, index = score.sort(dim=1)
    positive = truth.gather(1, index).double()
    below = torch.searchsorted(ordered, ordered)  # the others are at or above the threshold
    count = positive.sum(dim=1, keepdim=True)
    found = count - (positive.cumsum(dim=1) - positive).gather(1, below)
    precision = found / (score.shape[1] - below)
    return (precision * positive).sum(dim=1) / count.squeeze(1)


def calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> Tensor:
    r"""Compute the expected calibration error.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N} |\mathrm{acc}_b - \mathrm{conf}_b|

    The bins have equal width and include their lower edge; the last one includes 1.

    Args:
        confidence: predicted probabilities (N,).
        right: whether each prediction is right, (N,).
        bins: number of bins between 0 and 1.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Example:
        >>> calibration_error(torch.full((4,), 0.75), torch.tensor([1, 1, 1, 0])).item()
        0.0
    """
    confidence = confidence.double()
    # a collapsed network's confidences of 1 / C may be on an edge: rounding must not part them
    index = (confidence * bins + ROUNDING).long().clamp(max=bins - 1)
    gap = (right.double() - confidence).unsqueeze(1)
    return (gap * membership(index, bins)).sum(dim=0).abs().sum() / len(confidence)
