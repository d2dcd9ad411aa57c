"""Synthetic images of shapes with their bounding boxes."""

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.shapes import DISTRACTORS, FOREGROUND, Drawn, draw_shapes, textures
from losslab.rng import Purpose, generator

REACH = 1.5
"""Distance of an object's centre from the border of the image, in radii."""
TRIES = 20
"""Places that are tried for an object that must not overlap others."""


class ShapesBoxes(InMemoryData):
    """Grey images of objects and clutter on a textured background with noise, and their boxes.

    Objects are stretched and rotated shapes; rings and bars, of the same sizes and brightness, are
    the clutter behind them. A box encloses the pixels of an object. Objects, clutter, texture and
    noise have separate random generators: changing one leaves the others unchanged, and more
    objects are added to the same first ones.

    Args:
        n: number of images over all splits.
        image_size: side of an image in pixels.
        classes: number of kinds of objects: discs, squares, triangles and crosses, in this order.
        objects: maximum number of objects per image; with the default of 1 each image has one, else
            all numbers from 1 are equally likely.
        sizes: smallest and largest size of an object, as a fraction of the image's side; the size
            is the diameter of a disc of the same area.
        stretch: maximum ratio of the length of an object to its width.
        overlap: maximum IoU of the boxes of two objects; an object that finds no place within it is
            left out.
        empty_images: fraction of images without objects.
        clutter: mean fraction of the image that rings and bars cover behind the objects, at most
            0.5.
        contrast: mean brightness of shapes above the background; each shape has 0.5 to 1.5 times
            that.
        noise: standard deviation of the pixel noise.
        texture: standard deviation of the background, which varies over a few pixels.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = ShapesBoxes(n=50, objects=3)
        >>> data.setup()
        >>> data.input_shape, tuple(data.train.targets.shape), data.class_names
        ((1, 32, 32), (30, 3, 5), ['disc'])
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        n: int = 1000,
        image_size: int = 32,
        classes: int = 1,
        objects: int = 1,
        sizes: Sequence[float] = (0.2, 0.5),
        stretch: float = 2.0,
        overlap: float = 0.1,
        empty_images: float = 0.0,
        clutter: float = 0.05,
        contrast: float = 1.0,
        noise: float = 0.1,
        texture: float = 0.2,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("n", n, 5)
        checks.require_whole("image_size", image_size, 16)
        checks.require_choice("classes", classes, tuple(range(1, len(FOREGROUND) + 1)))
        checks.require_whole("objects", objects, 1)
        _require_sizes(sizes, image_size)
        checks.require_number("stretch", stretch, 1, 4)
        checks.require_number("overlap", overlap, 0, 1)
        checks.require_number("empty_images", empty_images, 0, 0.9)
        checks.require_number("clutter", clutter, 0, 0.5)
        checks.require_number("contrast", contrast, 0)
        checks.require_number("noise", noise, 0)
        checks.require_number("texture", texture, 0)
        self.n = n
        self.image_size = image_size
        self.classes = classes
        self.objects = objects
        self.size_range = sizes[0], sizes[1]
        self.stretch = stretch
        self.overlap = overlap
        self.empty_images = empty_images
        self.clutter = clutter
        self.contrast = contrast
        self.noise = noise
        self.texture = texture

    def load(self) -> Raw:
        """Generate images ``(n, 1, image_size, image_size)`` and their boxes."""
        size = (self.n, self.image_size, self.image_size)
        brightness = torch.zeros(size)
        self._draw_clutter(brightness)
        boxes = self._draw_objects(brightness)
        texture = textures(size, generator(self.data_seed, Purpose.SHAPES_TEXTURE))
        noise = torch.randn(size, generator=generator(self.data_seed, Purpose.SHAPES_NOISE))
        images = (brightness + self.texture * texture + self.noise * noise).unsqueeze(1)
        names = list(FOREGROUND)[: self.classes]
        return Raw(images, boxes, target_kind="boxes", class_names=names)

    def _draw_clutter(self, images: Tensor) -> None:
        """Draw rings and bars until they cover 0.5 to 1.5 times their share of each image."""
        rng = generator(self.data_seed, Purpose.BOXES_CLUTTER)
        pixels = self.clutter * self.image_size**2 * (0.5 + torch.rand(self.n, generator=rng))
        covered = torch.zeros_like(images, dtype=torch.bool)
        unfinished = pixels > 0
        while unfinished.any():
            drawn = draw_shapes(self.image_size, DISTRACTORS, self._areas(rng), rng)
            missing = pixels - covered.sum(dim=(1, 2))
            added = (drawn.inside & ~covered).sum(dim=(1, 2))
            # the last shape is kept with the probability that makes the mean right
            unfinished &= missing > added * torch.rand(self.n, generator=rng)
            kept = drawn._replace(inside=drawn.inside & unfinished.view(-1, 1, 1))
            kept.paint(images, self.contrast)
            covered |= kept.inside

    def _draw_objects(self, images: Tensor) -> Tensor:
        """Draw objects, and return their classes and boxes, ``(n, objects, 5)``."""
        rng = generator(self.data_seed, Purpose.BOXES_NUMBERS)
        full = torch.rand(self.n, generator=rng) >= self.empty_images
        numbers = (torch.rand(self.n, generator=rng) * self.objects).long() + 1
        found = torch.empty(self.n, 0, 5)
        for index in range(self.objects):
            rng = generator(self.data_seed, Purpose.BOXES_OBJECTS, index)
            drawn, boxes = self._placed(full & (index < numbers), found, rng)
            drawn.paint(images, self.contrast)
            found = torch.cat([found, boxes.unsqueeze(1)], dim=1)
        return found

    def _placed(self, wanted: Tensor, others: Tensor, rng: torch.Generator) -> tuple[Drawn, Tensor]:
        """Draw an object where its box overlaps the others by no more than is allowed.

        Args:
            wanted: whether an image is to have the object, ``(n,)``.
            others: classes and boxes of the objects before it, ``(n, m, 5)``.
            rng: random generator.

        Returns:
            The objects, and their classes and boxes, ``(n, 5)``.
        """
        shapes = dict(list(FOREGROUND.items())[: self.classes])
        options = {"stretch": self.stretch, "reach": REACH}
        best = draw_shapes(self.image_size, shapes, 0 * self._areas(rng), rng, **options)
        boxes = torch.tensor([-1.0, 0, 0, 0, 0]).repeat(self.n, 1)
        for _ in range(TRIES):
            waiting = wanted & (boxes[:, 0] < 0)
            if not waiting.any():
                break
            drawn = draw_shapes(self.image_size, shapes, self._areas(rng) * waiting, rng, **options)
            corners = enclosing_boxes(drawn.inside)
            apart = (_overlaps(corners.unsqueeze(1), others[..., 1:]) <= self.overlap).all(dim=1)
            taken = waiting & apart
            rows = torch.cat([drawn.kind.unsqueeze(1), corners], dim=1)
            boxes = torch.where(taken.unsqueeze(1), rows, boxes)
            best = Drawn(
                *(
                    torch.where(taken.view(-1, *[1] * (new.ndim - 1)), new, old)
                    for new, old in zip(drawn, best, strict=True)
                )
            )
        return best, boxes

    def _areas(self, rng: torch.Generator) -> Tensor:
        """Draw the area of one shape per image, in pixels, ``(n,)``."""
        low, high = self.size_range
        size = low + (high - low) * torch.rand(self.n, generator=rng)
        return math.pi / 4 * (size * self.image_size).square()


def enclosing_boxes(inside: Tensor) -> Tensor:
    """Return the corners of the boxes that enclose the pixels of masks.

    Args:
        inside: boolean masks, ``(n, H, W)``.

    Returns:
        x1, y1, x2, y2, ``(n, 4)``: a pixel at column x reaches from x to x + 1; 0 for empty masks.

    Example:
        >>> mask = torch.zeros(1, 4, 6, dtype=torch.bool)
        >>> mask[0, 1, 2:5] = True
        >>> enclosing_boxes(mask)
        tensor([[2., 1., 5., 2.]])
    """
    ends = []
    for occupied in (inside.any(dim=1), inside.any(dim=2)):
        places = torch.arange(occupied.shape[1])
        first = places.where(occupied, occupied.shape[1]).amin(dim=1)
        last = (places + 1).where(occupied, 0).amax(dim=1)
        ends.append((first.where(last > 0, 0), last))
    (left, right), (top, bottom) = ends
    return torch.stack([left, top, right, bottom], dim=1).float()


def _overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the IoU of boxes ``(*, 4)``; 0 for an empty box."""
    common = torch.minimum(boxes[..., 2:], others[..., 2:])
    common = (common - torch.maximum(boxes[..., :2], others[..., :2])).clamp(min=0).prod(dim=-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(dim=-1) for each in (boxes, others)]
    return common / (areas[0] + areas[1] - common).clamp(min=1)


def _require_sizes(sizes: object, image_size: int) -> None:
    """Raise ``ValueError`` unless the sizes are two increasing fractions of an image."""
    least = 4 / image_size
    if not isinstance(sizes, Sequence) or len(sizes) != 2:
        raise ValueError(f"sizes must be the smallest and the largest one, got {sizes!r}")
    for size in sizes:
        checks.require_number("sizes", size, least, 0.6)
    if sizes[0] > sizes[1]:
        raise ValueError(f"sizes must not decrease, got {list(sizes)}")
