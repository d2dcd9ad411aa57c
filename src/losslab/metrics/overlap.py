"""Metrics of masks: overlap per image, and average precision of all pixels."""

from typing import Literal

import torch
from torch import Tensor

from losslab.metrics import classes

Absent = Literal["skip", "one"]
"""Value for a class that neither the image nor the prediction has, see :func:`per_image`."""


def per_image(guess: Tensor, truth: Tensor, absent: Absent = "skip") -> dict[str, Tensor]:
    r"""Compute IoU, Dice, precision and recall of each mask.

    With TP, FP, FN counted in each mask: :math:`\mathrm{IoU} = TP / (TP + FP + FN)`,
    :math:`\mathrm{Dice} = 2 TP / (2 TP + FP + FN)`, precision :math:`TP / (TP + FP)`, recall
    :math:`TP / (TP + FN)`. There are two conventions for 0 / 0:

    - ``"skip"``: the value is NaN, which means leave out, except that an empty prediction of a mask
      that is not empty has precision 0. A class that is always missed has 0 everywhere.
    - ``"one"``: the value is 1: an empty mask that is predicted empty is right, an empty prediction
      has no false positive, and an empty mask has no false negative. A class that few images have
      is near 1 in the mean, even if it is always missed.

    Args:
        guess: predicted masks, boolean (N, C, H, W).
        truth: true masks, boolean (N, C, H, W).
        absent: convention for 0 / 0.

    Returns:
        One value per image and class, each (N, C), by name; :func:`mean_of_classes` averages them.

    Example:
        >>> import torch
        >>> empty = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
        >>> [per_image(empty, empty, absent)["dice"].item() for absent in ("skip", "one")]
        [nan, 1.0]
        >>> [per_image(empty, ~empty, absent)["precision"].item() for absent in ("skip", "one")]
        [0.0, 1.0]
        >>> per_image(~empty, empty)["dice"].item()
        0.0
    """
    both = (guess & truth).sum(dim=(-2, -1)).double()
    extra = (guess & ~truth).sum(dim=(-2, -1)).double()
    missed = (~guess & truth).sum(dim=(-2, -1)).double()
    values = {
        "iou": both / (both + extra + missed),
        "dice": 2 * both / (2 * both + extra + missed),
        "precision": both / (both + extra),
        "recall": both / (both + missed),
    }
    if absent == "one":
        return {name: value.nan_to_num(nan=1.0) for name, value in values.items()}
    values["precision"] = values["precision"].where((both + extra > 0) | (missed == 0), 0)
    return values


def mean_of_classes(values: Tensor) -> Tensor:
    """Average values (N, C) over images, then over classes, without those that are NaN.

    Each class has the same weight, however few images have it.

    Example:
        >>> import torch
        >>> mean_of_classes(torch.tensor([[1.0, torch.nan], [1.0, torch.nan], [1.0, 0.0]])).item()
        0.5
    """
    return values.nanmean(dim=0).nanmean()


def small_objects(truth: Tensor) -> Tensor:
    """Return which masks are among the smallest quarter of their class that are not empty.

    The images are chosen by their true masks alone, so that they are the same for all predictions.
    Those that are as large as the largest of the quarter belong to it.

    Args:
        truth: true masks, boolean (N, C, H, W).

    Returns:
        Boolean (N, C).

    Example:
        >>> import torch
        >>> truth = torch.arange(6).view(6, 1, 1, 1) > torch.arange(5)  # 0 to 5 pixels
        >>> small_objects(truth)[:, 0].tolist()
        [False, True, True, False, False, False]
    """
    size = truth.sum(dim=(-2, -1)).double()
    size = size.where(size > 0, torch.nan)
    return size <= size.nanquantile(0.25, dim=0, interpolation="lower")


def average_precision(score: Tensor, truth: Tensor, counted: Tensor | None = None) -> Tensor:
    """Compute the average precision of all pixels, averaged over the classes that occur.

    Args:
        score: real numbers, (N, C, H, W).
        truth: true masks, boolean (N, C, H, W).
        counted: pixels that count, boolean (N, H, W); all by default.

    Returns:
        The mean of :func:`losslab.metrics.classes.average_precision`, NaN if no class occurs.

    Example:
        >>> import torch
        >>> truth = torch.tensor([True, False, True, False]).view(1, 1, 2, 2)
        >>> average_precision(torch.tensor([300.0, 200, 100, -100]).view(1, 1, 2, 2), truth).item()
        0.8333333...
    """
    pixels = [values.movedim(1, -1) for values in (score, truth)]  # (N, H, W, C)
    if counted is None:
        rows = [values.flatten(0, -2) for values in pixels]
    else:
        rows = [values[counted] for values in pixels]
    return classes.average_precision(rows[0], rows[1]).nanmean()


def squashed(score: Tensor) -> Tensor:
    """Map real scores to (0, 1) in the same order; unlike a sigmoid, this keeps large ones apart.

    Example:
        >>> import torch
        >>> ordered = squashed(torch.tensor([-500.0, 0.0, 500.0, 500.01]))
        >>> bool((ordered.diff() > 0).all())
        True
    """
    score = score.double()
    return 0.5 + 0.5 * score / (1 + score.abs())
