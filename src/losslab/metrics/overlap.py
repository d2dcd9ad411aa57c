"""Metrics of masks: overlap per image, and average precision of all pixels."""

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision


def per_image(guess: Tensor, truth: Tensor) -> dict[str, Tensor]:
    r"""Compute IoU, Dice, precision and recall of each mask.

    With TP, FP, FN counted in each mask: :math:`\mathrm{IoU} = TP / (TP + FP + FN)`,
    :math:`\mathrm{Dice} = 2 TP / (2 TP + FP + FN)`, precision :math:`TP / (TP + FP)`, recall
    :math:`TP / (TP + FN)`. A ratio 0 / 0 is 1: an empty mask that is predicted empty is right, an
    empty prediction has no false positive, and an empty mask has no false negative.

    Args:
        guess: predicted masks, boolean (N, C, H, W).
        truth: true masks, boolean (N, C, H, W).

    Returns:
        One value per image and class, each (N, C), by name.

    Example:
        >>> empty = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
        >>> per_image(empty, empty)["dice"].item()
        1.0
        >>> per_image(~empty, empty)["dice"].item()
        0.0
    """
    both = (guess & truth).sum(dim=(-2, -1)).double()
    extra = (guess & ~truth).sum(dim=(-2, -1)).double()
    missed = (~guess & truth).sum(dim=(-2, -1)).double()
    return {
        "iou": _ratio(both, both + extra + missed),
        "dice": _ratio(2 * both, 2 * both + extra + missed),
        "precision": _ratio(both, both + extra),
        "recall": _ratio(both, both + missed),
    }


def average_precision(score: Tensor, truth: Tensor, counted: Tensor | None = None) -> Tensor:
    r"""Compute the average precision of all pixels, averaged over the classes that occur.

    .. math:: \mathrm{AP} = \sum_k (R_k - R_{k-1}) P_k

    with precision P and recall R at each threshold k. It depends only on the order of the scores.

    Args:
        score: real numbers, (N, C, H, W).
        truth: true masks, boolean (N, C, H, W).
        counted: pixels that count, boolean (N, H, W); all by default.

    Returns:
        The mean over classes, NaN if no class occurs.

    Example:
        >>> truth = torch.tensor([True, False, True, False]).view(1, 1, 2, 2)
        >>> average_precision(torch.tensor([300.0, 200, 100, -100]).view(1, 1, 2, 2), truth).item()
        0.8333333...
    """
    if counted is not None:  # (N, C, H, W) to (1, C, pixels)
        score, truth = (values.movedim(1, 0)[:, counted][None] for values in (score, truth))
    values = [
        binary_average_precision(squashed(score[:, c]), truth[:, c].long(), validate_args=False)
        for c in range(score.shape[1])
        if bool(truth[:, c].any())
    ]
    return torch.stack(values).mean() if values else score.new_tensor(torch.nan)


def squashed(score: Tensor) -> Tensor:
    """Map real scores to (0, 1) in the same order; unlike a sigmoid, this keeps large ones apart.

    Example:
        >>> ordered = squashed(torch.tensor([-500.0, 0.0, 500.0, 500.01]))
        >>> bool((ordered.diff() > 0).all())
        True
    """
    score = score.double()
    return 0.5 + 0.5 * score / (1 + score.abs())


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    empty = below == 0
    return (above + empty) / (below + empty)
