"""Samples of a data set before they are split, and checks of their numbers."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

KindName = Literal[
    "classes", "values", "multilabel", "masks", "boxes", "sequences", "relevance", "pairs"
]
"""Name of a kind of target, see :mod:`losslab.data.kinds`."""

Sampling = Literal["fresh", "redrawn", "fixed_test"]
"""What differs between seeds: each draws new samples (``fresh``), each divides the same samples
into splits anew (``redrawn``), or all are tested on the same samples (``fixed_test``)."""


IGNORED = -100
"""Value of the pixels of a mask, or of one of several labels, that losses, metrics and class counts
leave out."""

StandardizeTargets = bool | Literal["data"]
"""Whether values are standardized, see :class:`Raw`."""


@dataclass(frozen=True)
class Raw:
    """Samples of a data set before splitting.

    Args:
        inputs: real numbers, ``(n, *)``, or :class:`~losslab.data.streaming.StreamedInputs`.
        targets: class indices ``(n,)``, values ``(n, K)``, 0/1 labels ``(n, K)``, or masks
            ``(n, H, W)`` of class indices, where 0 is the background. Labels and pixels that are
            :data:`IGNORED` are left out of losses, metrics and class counts. For masks that are
            streamed, see :class:`~losslab.data.kinds.StreamedMasks`; for boxes
            :class:`~losslab.data.kinds.Boxes`.
        target_kind: kind of the targets; by default integers are classes and floats are values.
        class_names: names of the classes or labels.
        fixed: 0, 1 or 2 ``(n,)``, to assign samples to training, validation or test; a split
            without samples is drawn from the training samples.
        groups: integers ``(n,)``; samples of one group stay in the same split.
        weights: sample weights ``(n,)``.
        standardize: whether to standardize the inputs with the training split's means and standard
            deviations: per column, per channel of ``(n, C, H, W)``, or else overall. A mask
            ``(F,)`` selects columns.
        standardize_targets: whether networks and losses get standardized values, too, while metrics
            stay in the unit of the target; ``"data"`` replaces the values, for metrics and
            corruptions as well, as version 0.1 did.
        held_out: classes to exclude from training; their samples are divided among the splits that
            are drawn.
        outputs: number of network outputs, if it does not follow from the targets; the targets are
            then kept unchanged.
        redrawn: whether ``fixed`` was drawn from the seed and does not come from files.
        impute: whether NaN in the inputs ``(n, F)`` stand for missing numbers, which are replaced
            by the medians of the training split.
        notes: what reading changed or left out, one line each: values that were converted or
            scaled, files or columns that were not read.
        whole_classes: whether all samples of a class stay in the same split, so that validation
            and test have classes that training lacks.
    """

    inputs: Any
    targets: Tensor
    target_kind: KindName | None = None
    class_names: list[str] | None = None
    fixed: Tensor | None = None
    groups: Tensor | None = None
    weights: Tensor | None = None
    standardize: bool | Tensor = False
    standardize_targets: StandardizeTargets = False
    held_out: tuple[int, ...] = ()
    outputs: int | None = None
    redrawn: bool = False
    impute: bool = False
    notes: tuple[str, ...] = ()
    whole_classes: bool = False


def require_finite(name: str, values: Tensor, *, gaps: bool = False) -> None:
    """Raise ``ValueError`` if a value is NaN or infinite, naming the first such sample.

    Args:
        name: what they are, for the message.
        values: ``(n, *)``.
        gaps: whether NaN is allowed.
    """
    if len(values) == 0:
        raise ValueError(f"{name} must hold samples, got shape {tuple(values.shape)}")
    wrong = torch.isinf(values) if gaps else ~torch.isfinite(values)
    broken = wrong.flatten(1 if values.ndim > 1 else 0)
    if bool(broken.any()):
        first = int(broken.reshape(len(values), -1).any(1).nonzero()[0])
        raise ValueError(
            f"{name} must be finite numbers, got {int(broken.sum())} that are not finite, "
            f"the first in sample {first}"
        )


def checked_weights(weights: Tensor) -> Tensor:
    """Check sample weights and convert them to float32.

    Raises:
        ValueError: if a weight is negative or not finite, or none is positive.
    """
    require_finite("weight", weights)
    if bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise ValueError(
            f"weight must be >= 0, and > 0 for some sample, got {float(weights.min()):g} "
            f"to {float(weights.max()):g}"
        )
    return weights.float()
