"""Images read from files, as numbers from 0 to 1, whatever depth and colours the files have.

Pillow opens files in many modes. Its conversions between them clip 16 and 32 bits to white, keep
what lies hidden under transparent pixels, and ignore how a camera was held. Each of these has its
rule here, and each use of a rule is counted, since it changes what a network sees.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from losslab.data.files import Changes, visible_folders
from losslab.data.splits import NAMES

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
SCALE_16_BITS = 65535
UNREADABLE = (
    *(OSError, ValueError, TypeError, LookupError, RuntimeError, SyntaxError, EOFError),
    *(struct.error, Image.DecompressionBombError),
)
"""What Pillow and its decoders raise for damaged files."""


def read_images(
    files: Sequence[Path], side: int, *, grayscale: bool, changes: Changes
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Read images and resize them to a square, bicubically.

    Values are divided by 255 or, for 16 bits, by 65535. The scale of 32 bits is not known: values
    that do not lie from 0 to 1 are scaled from the range of all images to 0 to 1.

    Args:
        files: the images.
        side: side of the square in pixels.
        grayscale: whether to use one channel instead of three.
        changes: counts what was converted.

    Returns:
        The images, ``(n, 1 or 3, side, side)``, and the width and height of each upright image.

    Raises:
        ValueError: if an image cannot be read, or its scale cannot be known.
    """
    pixels = torch.empty(len(files), 1 if grayscale else 3, side, side)
    sizes, of_32_bits = [], []
    for place, file in enumerate(files):
        image = read_image(file, side, grayscale=grayscale, changes=changes)
        pixels[place] = image.pixels
        if image.has_32_bits:
            of_32_bits.append(place)
        sizes.append(image.size)
    _scale_32_bits(pixels, files, of_32_bits, changes)
    return pixels, sizes


class ReadImage(NamedTuple):
    """An image that was read and resized.

    Attributes:
        pixels: ``(1 or 3, side, side)``.
        size: width and height of the upright image before it was resized.
        has_32_bits: whether the scale of its values is not known.
    """

    pixels: Tensor
    size: tuple[int, int]
    has_32_bits: bool = False


def read_image(file: Path, side: int, *, grayscale: bool, changes: Changes) -> ReadImage:
    """Read one image; see :func:`read_images`."""
    with opened(file) as image:
        return converted(image, file, side, grayscale=grayscale, changes=changes)


def converted(
    image: Image.Image, whose: str | Path, side: int, *, grayscale: bool, changes: Changes
) -> ReadImage:
    """Convert an image that Pillow has opened; see :func:`read_images`."""
    whole = upright(image, whose, changes)
    if whole.size != (side, side):
        changes.add(f"images resized to {side} x {side} pixels", whose)
    if not _is_deep(whole):
        pixels = _bytes(whole, side, grayscale, whose, changes).float().div_(255)
        return ReadImage(pixels, whole.size)
    numbers = _numbers(whole, side).expand(1 if grayscale else 3, side, side)
    if _has_16_bits(image):
        changes.add("16-bit images scaled from 0-65535 to 0-1", whose)
        return ReadImage(numbers / SCALE_16_BITS, whole.size)
    return ReadImage(numbers, whole.size, has_32_bits=True)


def read_streamed_image(file: Path, side: int, *, grayscale: bool, changes: Changes) -> ReadImage:
    """Read one image when it is needed, without knowing the others.

    Raises:
        ValueError: if it cannot be read, or its scale follows from the others.
    """
    image = read_image(file, side, grayscale=grayscale, changes=changes)
    if image.has_32_bits:
        low, high = (float(end) for end in image.pixels.aminmax())
        if low < 0 or high > 1:
            raise ValueError(
                f"{file} has values of 32 bits from {low:g} to {high:g}, whose scale follows from "
                f"all images: set data.in_memory=true"
            )
        changes.add("32-bit images read as values from 0 to 1", file)
    return image


def split_folders(path: Path, changes: Changes) -> dict[str, Path]:
    """Return the folder of each split; without a folder ``train``, ``path`` is the train folder."""
    if not (path / "train").is_dir():
        return {"train": path}
    for folder in visible_folders(path):
        if folder.name not in NAMES:
            changes.add(f"folders beside {', '.join(NAMES)} left out", folder)
    return {name: path / name for name in NAMES if (path / name).is_dir()}


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """Open an image and raise errors that name the file.

    Raises:
        ValueError: if it cannot be read, also later, when its pixels are decoded.
    """
    try:
        with Image.open(file) as image:
            yield image
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file} must be a readable image, got: {reason}") from error


def upright(image: Image.Image, file: str | Path, changes: Changes) -> Image.Image:
    """Return the first frame as it is to be looked at."""
    if getattr(image, "n_frames", 1) > 1:
        changes.add("animated or multi-page files of which the first frame is read", file)
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) and not _is_deep(image):
        changes.add("channels of 16 bits reduced to 8", file)
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    changes.add("images rotated as their EXIF orientation says", file)
    return ImageOps.exif_transpose(image)


def _is_deep(image: Image.Image) -> bool:
    """Return whether an image has one channel of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether a deep image has 16 bits, which some formats and versions open as 32."""
    return ";16" in image.mode or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _numbers(image: Image.Image, side: int) -> Tensor:
    """Resize a deep image as it is, without bicubic interpolation's overshoot: (side, side)."""
    if image.has_transparency_data:
        raise ValueError("more than 8 bits with transparency, which is not supported")
    values = np.asarray(image, dtype=np.float32)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"{values[row, column]} in row {row + 1}, column {column + 1}")
    scaled = Image.fromarray(values).resize((side, side))
    return torch.from_numpy(np.array(scaled)).clamp(float(values.min()), float(values.max()))


def _bytes(
    image: Image.Image, side: int, grayscale: bool, file: str | Path, changes: Changes
) -> Tensor:
    """Convert and resize an image to bytes ``(1 or 3, side, side)``."""
    mode = "L" if grayscale else "RGB"
    if image.has_transparency_data:
        image = _on_white(image, file, changes)
    if image.mode == "P":
        changes.add("palettes converted to colours", file)
    elif image.mode not in ("1", "L", "RGB"):
        changes.add(f"images converted from {image.mode} to {mode}", file)
    elif grayscale and image.mode == "RGB":
        changes.add("images converted from RGB to L", file)
    if image.mode != mode:
        image = image.convert(mode)
    if image.size != (side, side):
        image = image.resize((side, side))
    pixels = torch.from_numpy(np.array(image)).reshape(side, side, -1)
    return pixels.permute(2, 0, 1).contiguous()  # as bytes, which is faster than as floats


def _on_white(image: Image.Image, file: str | Path, changes: Changes) -> Image.Image:
    """Lay an image on white, as a viewer shows it; the colours of clear pixels mean nothing."""
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() != (255, 255):
        changes.add("transparent images laid on white", file)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _scale_32_bits(
    pixels: Tensor, files: Sequence[Path], places: list[int], changes: Changes
) -> None:
    """Scale the images of 32 bits, in place, from the range of all of them."""
    if not places:
        return
    low, high = (float(end) for end in pixels[places].aminmax())
    if low >= 0 and high <= 1:
        changes.add("32-bit images read as values from 0 to 1", files[places[0]])
        return
    if len(places) < len(files):
        raise ValueError(
            f"{files[places[0]]} must have 8 or 16 bits, or values from 0 to 1, beside images of "
            f"8 or 16 bits, got 32 bits from {low:g} to {high:g}, whose scale is unknown"
        )
    for place in places:
        changes.add(f"32-bit images scaled from {low:g}-{high:g} to 0-1", files[place])
    pixels[places] = (pixels[places] - low) / ((high - low) or 1)
