"""Files of masks, whose values are classes or indices of a palette."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from losslab.data.files import Changes
from losslab.data.images import opened, upright

Colours = dict[int, tuple[tuple[int, ...], Path]]
"""Colour of each index of a palette, and a mask that uses it."""


def read_masks(
    files: Sequence[Path], sizes: Sequence[tuple[int, int]], side: int, changes: Changes
) -> NDArray[np.int64]:
    """Read the values of masks, ``(n, side, side)``; a palette counts by its indices.

    Raises:
        ValueError: if a mask cannot be read, has several channels or frames, other values than
            whole numbers, or another size than its image, or if two palettes differ.
    """
    masks = np.empty((len(files), side, side), dtype=np.int64)
    known: Colours = {}
    for place, (file, size) in enumerate(zip(files, sizes, strict=True)):
        masks[place], colours = read_mask(file, size, side, changes)
        require_same_colours(colours.items(), file, known)
    return masks


def read_mask(
    file: Path, size: tuple[int, int], side: int, changes: Changes
) -> tuple[NDArray[np.int64], dict[int, bytes]]:
    """Read the values of one mask, and their colours in a palette; see :func:`read_masks`."""
    with opened(file) as image:
        mask, frames = upright(image, file, changes), getattr(image, "n_frames", 1)
        values = np.asarray(mask.resize((side, side), Image.Resampling.NEAREST))
    _require_mask(mask, file, size, frames)
    if not np.array_equal(values, np.round(values)):  # also refuses NaN
        raise ValueError(f"{file} must hold whole numbers, one per class, got fractions or NaN")
    if mask.size != (side, side):
        changes.add(f"masks resized to {side} x {side} pixels, by nearest neighbours", file)
    values = values.astype(np.int64)
    palette = bytes(mask.getpalette("RGB") or []) if mask.mode == "P" else b""
    used = np.unique(values).tolist() if palette else []
    return values, {value: palette[3 * value : 3 * value + 3] for value in used}


def _require_mask(mask: Image.Image, file: Path, size: tuple[int, int], frames: int) -> None:
    bands = len(mask.getbands())
    for what, count in (("channel", bands), ("frame", frames)):
        if count > 1:
            raise ValueError(f"{file} must have one {what}, got {count}")
    if mask.size != size:
        turned = ", rotated as its EXIF orientation says" if mask.size == size[::-1] else ""
        raise ValueError(
            f"{file} must have the size of its image, {size[0]} x {size[1]} pixels{turned}, "
            f"got {mask.size[0]} x {mask.size[1]}"
        )


def require_same_colours(
    colours: Iterable[tuple[int, Iterable[int]]], file: Path, known: Colours
) -> None:
    """Refuse a palette in which an index has another colour than in an earlier mask.

    Args:
        colours: the indices that a mask uses, with their colours.
        file: the mask.
        known: colours of earlier masks, to which these are added.
    """
    for value, levels in colours:
        colour = tuple(levels)
        before, other = known.setdefault(value, (colour, file))
        if before != colour:
            raise ValueError(
                f"{file} must have the palette of {other}, but index {value} has the colour "
                f"{colour} there and {before} in the other: save masks with one "
                f"value per class"
            )
