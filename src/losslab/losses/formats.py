"""Formats of predictions and targets, and which of them the losses of a sum have in common.

Nothing is imported here: a command that names a loss that does not fit is refused without torch.
"""

from collections.abc import Iterator, Mapping
from enum import Enum


class TargetFormat(Enum):
    """Format of the prediction and target that a loss accepts; error messages show the value."""

    VALUES = "values"  # (N, *) with (N, *), real numbers in the same unit
    CLASS_INDICES = "class indices"  # logits (N, C, *) with int64 indices (N, *)
    CLASS_PROBABILITIES = "class probabilities"  # logits (N, C, *) with one-hot or soft (N, C, *)
    CLASS_MASKS = "class masks"  # logits (N, C, H, W) with int64 indices (N, H, W)
    BINARY_TARGETS = "binary targets"  # logits (N, *) with 0/1 or soft targets of the same shape
    SEQUENCES = "sequences with lengths"  # logits (N, T, C) with a SequenceTarget
    IMAGES = "images"  # (N, C, H, W) with (N, C, H, W), in the unit of the pixels
    BOXES = "boxes"  # corners x1, y1, x2, y2, (N, *, 4) with (N, *, 4)
    CLASSIFIED_BOXES = "boxes with classes"  # logits and corners (N, P, C + 4) with (N, P, 5)
    POINT_SETS = "point sets"  # (N, P, D) with (N, Q, D)
    LABELLED_EMBEDDINGS = "embeddings with labels"  # (N, D) with int64 labels (N,)
    PAIRED_EMBEDDINGS = "pairs of embeddings with labels"  # (N, 2, D) with int64 labels (N,)
    RELEVANCE = "scores with relevance"  # (Q, D) with grades (Q, D) or a RelevanceTarget
    ADVANTAGES = "log-probabilities with advantages"  # (B,) with a PolicyTarget
    ACTION_VALUES = "Q-values with actions and returns"  # (B, A) with a TransitionTarget
    DISCRIMINATOR = "discriminator logits"  # real (N,) with generated (N,)


INDICES = (TargetFormat.CLASS_INDICES, TargetFormat.CLASS_MASKS)


def common_formats(
    accepts: Mapping[str, tuple[TargetFormat, ...] | None],
) -> tuple[TargetFormat, ...] | None:
    """Return the target formats that all losses of a sum accept, as far as they declare them.

    Args:
        accepts: formats that each loss accepts, by its name; ``None`` if it declares none.

    Returns:
        The formats; ``None`` if no loss declares any.

    Raises:
        ValueError: if the losses have none in common.

    Example:
        >>> common_formats({"a": (TargetFormat.CLASS_INDICES,), "b": None})[0].value
        'class indices'
    """
    declared = {name: formats for name, formats in accepts.items() if formats is not None}
    if not declared:
        return None
    possible = [{*formats, *_further(formats)} for formats in declared.values()]
    common = tuple(each for each in TargetFormat if all(each in formats for formats in possible))
    if not common:
        named = (
            f"{name} accepts {' or '.join(each.value for each in formats)}"
            for name, formats in declared.items()
        )
        raise ValueError(f"the losses of a sum take different targets: {', '.join(named)}")
    return common


def _further(formats: tuple[TargetFormat, ...]) -> Iterator[TargetFormat]:
    """Yield the formats that are, or are converted to, one that is accepted."""
    if TargetFormat.CLASS_INDICES in formats:
        yield TargetFormat.CLASS_MASKS
    if TargetFormat.CLASS_PROBABILITIES in formats:
        yield from INDICES
    if TargetFormat.VALUES in formats:
        yield TargetFormat.BOXES
        yield TargetFormat.IMAGES
