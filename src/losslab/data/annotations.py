"""Boxes as files of annotations have them, and as targets of images of one size."""

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data.files import Changes

KeepBoxes = Literal["all", "largest"]
"""Which boxes of an image are kept."""
Box = tuple[float, float, float, float]
"""Corners x1, y1, x2, y2 in pixels."""
Flags = NDArray[np.bool_]
LEAST_SIDE = 1e-3
"""Smallest side of a box, in pixels of the resized image, that float32 can hold."""


class Annotated(NamedTuple):
    """An image and its boxes.

    Attributes:
        split: ``"train"``, ``"val"`` or ``"test"``.
        image: file of the image.
        source: file of the annotations, for messages.
        size: width and height of the image as annotated, ``None`` if they are not given.
        boxes: corners x1, y1, x2, y2 in pixels; the pixel in column x is from x to x + 1.
        classes: class of each box, a key of the names.
    """

    split: str
    image: Path
    source: Path
    size: tuple[int, int] | None
    boxes: Sequence[Box]
    classes: Sequence[Hashable]


class BoxTargets(NamedTuple):
    """Targets of the images that are kept.

    Attributes:
        boxes: class, x1, y1, x2, y2 in pixels of the resized images, ``(n, M, 5)``; padded with
            rows of class -1.
        class_names: names of the classes that have boxes.
        kept: indices of the images, ``(n,)``.
    """

    boxes: Tensor
    class_names: list[str]
    kept: Tensor


def box_targets(
    images: Sequence[Annotated],
    names: Mapping[Hashable, str],
    sizes: Sequence[tuple[int, int]],
    side: int,
    keep: KeepBoxes,
    changes: Changes,
) -> BoxTargets:
    """Clip boxes to their images, leave out those without an area, and resize them.

    Args:
        images: images with their boxes.
        names: names of the classes, in the order of their numbers; classes without boxes get none.
        sizes: width and height of each upright image.
        side: side to which the images are resized.
        keep: ``"all"``, or ``"largest"``: the box with the largest area of each image; images
            without boxes are then left out.
        changes: counts what is clipped and left out.

    Raises:
        ValueError: if an image has another size than annotated, boxes seem to be in another format,
            or no box is left.
    """
    for image, size in zip(images, sizes, strict=True):
        _require_size(image, size)
    owner = np.repeat(np.arange(len(images)), [len(image.boxes) for image in images])
    corners = np.array([box for image in images for box in image.boxes]).reshape(-1, 4)
    ends = np.array(sizes, dtype=np.float64)[owner][:, [0, 1, 0, 1]]

    def count(what: str, found: Flags) -> None:
        if found.any():
            changes.add(what, images[owner[found.argmax()]].image, int(found.sum()))

    inside = corners.clip(0, ends)
    if len(owner):
        _require_format(corners, inside, images[owner[0]].source)
    resized = inside * side / ends
    chosen: Flags = (resized[:, 2:] - resized[:, :2]).min(axis=1) >= LEAST_SIDE
    count("boxes without an area inside their image left out", ~chosen)
    count("boxes clipped to their image", chosen & (inside != corners).any(axis=1))
    kept = np.arange(len(images))
    if keep == "largest":
        largest = _largest(inside, owner, chosen)
        count("boxes beside the largest of their image left out", chosen & ~largest)
        chosen, kept = largest, np.unique(owner[largest])
        for place in np.setdiff1d(np.arange(len(images)), kept).tolist():
            changes.add("images without boxes left out", images[place].image)
    if not chosen.any():
        raise ValueError(f"annotations must hold boxes, got none in {images[0].source}")
    classes, class_names = _numbered(images, names, chosen, changes)
    rows = np.column_stack([classes, resized[chosen]])
    boxes = _padded(rows, np.searchsorted(kept, owner[chosen]), len(kept))
    return BoxTargets(boxes, class_names, torch.from_numpy(kept))


def require_box(box: object, whose: str) -> None:
    """Raise ``ValueError`` unless a box in a file is four finite numbers."""
    if not isinstance(box, Sequence) or len(box) != 4 or not all(map(_is_finite, box)):
        raise ValueError(f"{whose} must be 4 finite numbers, got {box!r}")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require_size(image: Annotated, size: tuple[int, int]) -> None:
    """Refuse boxes that were drawn on another image than the one that was read."""
    if image.size in (None, size):
        return
    width, height = size
    turned = ", rotated as its EXIF orientation says" if image.size == (height, width) else ""
    raise ValueError(
        f"{image.source} must give the size of {image.image}, {width} x {height} pixels{turned}, "
        f"got {image.size[0]} x {image.size[1]}: annotate the image as it is now"
    )


def _require_format(
    corners: NDArray[np.float64], inside: NDArray[np.float64], source: Path
) -> None:
    """Refuse boxes that are fractions of the image, or mostly reach beyond it."""
    if corners.max() <= 1:
        raise ValueError(
            f"{source} must give boxes in pixels, got coordinates from {corners.min():g} to "
            f"{corners.max():g}: multiply them by the sizes of the images"
        )
    beyond = (np.abs(corners - inside) > 1).any(axis=1).mean()
    if beyond > 0.5:
        raise ValueError(
            f"{source} must give boxes inside the images, but {beyond:.0%} reach beyond them: are "
            f"their numbers in the order of the format?"
        )


def _largest(corners: NDArray[np.float64], owner: NDArray[np.int64], chosen: Flags) -> Flags:
    """Return whether a box is the first one with the largest area of its image."""
    areas = np.where(chosen, (corners[:, 2:] - corners[:, :2]).prod(axis=1), -1)
    order = np.lexsort((-areas, owner))  # stable
    largest = np.zeros(len(owner), dtype=bool)
    largest[order[np.unique(owner[order], return_index=True)[1]]] = True
    return largest & chosen


def _numbered(
    images: Sequence[Annotated], names: Mapping[Hashable, str], chosen: Flags, changes: Changes
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the numbers of the chosen boxes' classes, and the names of these."""
    places = {each: place for place, each in enumerate(names)}
    classes = np.array([places[each] for image in images for each in image.classes])[chosen]
    used, numbers = np.unique(classes, return_inverse=True)
    known = list(names.values())
    for place in np.setdiff1d(np.arange(len(known)), used).tolist():
        changes.add("classes without boxes left out", known[place])
    return numbers, [known[place] for place in used]


def _padded(rows: NDArray[np.float64], owner: NDArray[np.int64], images: int) -> Tensor:
    """Return rows ``(K, 5)`` by image, ``(images, M, 5)``; owners are in sorted order."""
    numbers = np.bincount(owner, minlength=images)
    starts = np.cumsum(numbers) - numbers
    padded = np.zeros((images, numbers.max(), 5), dtype=np.float32)
    padded[..., 0] = -1
    padded[owner, np.arange(len(owner)) - starts[owner]] = rows
    return torch.from_numpy(padded)
