"""How well two masks overlap, as means over images."""

from torch import Tensor


def per_image(guess: Tensor, truth: Tensor) -> dict[str, Tensor]:
    r"""IoU, Dice, precision and recall of boolean masks, averaged over images and classes.

    With TP, FP, FN counted in each image: :math:`\mathrm{IoU} = TP / (TP + FP + FN)`,
    :math:`\mathrm{Dice} = 2 TP / (2 TP + FP + FN)`, precision :math:`TP / (TP + FP)`, recall
    :math:`TP / (TP + FN)`. A ratio with nothing to count is 1: an empty mask that is predicted
    empty is right. (Precision of an empty prediction is 1 as well: none of its pixels is wrong.)

    Args:
        guess: (N, C, H, W).
        truth: the same.

    Example:
        >>> import torch
        >>> empty = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
        >>> per_image(empty, empty)["dice"].item()
        1.0
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


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    empty = below == 0
    return ((above + empty) / (below + empty)).mean()
