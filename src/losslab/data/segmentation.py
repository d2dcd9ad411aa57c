"""Synthetic images of shapes with masks, of configurable rarity and noise."""

import math
from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.rng import Purpose, generator

# Each shape is a function of coordinates relative to the radius of a disc of the same area.
Shape = Callable[[Tensor, Tensor], Tensor]
FOREGROUND: dict[str, Shape] = {
    "disc": lambda x, y: x**2 + y**2 < 1,
    "square": lambda x, y: torch.maximum(x.abs(), y.abs()) < math.sqrt(math.pi) / 2,
    "triangle": lambda x, y: (
        torch.maximum(-y, (math.sqrt(3) * x.abs() + y) / 2)
        < math.sqrt(math.pi / (3 * math.sqrt(3)))
    ),
    "cross": lambda x, y: (
        (torch.minimum(x.abs(), y.abs()) < math.sqrt(math.pi / 20))
        & (torch.maximum(x.abs(), y.abs()) < 3 * math.sqrt(math.pi / 20))
    ),
}
DISTRACTORS: dict[str, Shape] = {
    "ring": lambda x, y: (x**2 + y**2 < 4 / 3) & (x**2 + y**2 > 1 / 3),
    "bar": lambda x, y: (x.abs() < math.sqrt(math.pi)) & (y.abs() < math.sqrt(math.pi) / 4),
}
REACH = 2.0
"""Maximum extent of a shape from its centre, in radii."""
SMALLEST = 12.0
"""Area of the smallest shape in pixels."""


class ShapesSegmentation(InMemoryData):
    """Grey images of a few shapes on a textured background with noise, and their masks.

    Foreground shapes and distractors have the same sizes and brightness and differ only in their
    shape. Each image has one to three foreground shapes, whose total area is ``foreground`` times a
    random factor from 0.5 to 1.5. Shapes, texture and noise have separate random generators:
    changing one leaves the others unchanged.

    Args:
        n: number of images over all splits.
        image_size: side of an image in pixels.
        classes: number of pixel classes including the background; 2 is one mask of discs, more are
            discs, squares, triangles and crosses, in this order.
        foreground: mean fraction of foreground pixels, at most 0.2; at least 8 pixels per image.
        empty_images: fraction of images without foreground; the others have correspondingly more.
        distractors: maximum number of rings and bars per image; the mean is half of it.
        contrast: mean brightness of shapes above the background; each shape has 0.5 to 1.5 times
            that.
        noise: standard deviation of the pixel noise.
        texture: standard deviation of the background, which varies over a few pixels.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = ShapesSegmentation(n=50, foreground=0.02)
        >>> data.setup()
        >>> data.input_shape, data.outputs, data.class_names
        ((1, 40, 40), 1, ['background', 'disc'])
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        n: int = 400,
        image_size: int = 40,
        classes: int = 2,
        foreground: float = 0.05,
        empty_images: float = 0.0,
        distractors: int = 4,
        contrast: float = 1.0,
        noise: float = 0.2,
        texture: float = 0.2,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("n", n, 5)
        checks.require_whole("image_size", image_size, 16)
        checks.require_choice("classes", classes, tuple(range(2, len(FOREGROUND) + 2)))
        checks.require_number("foreground", foreground, 8 / image_size**2, 0.2)
        checks.require_number("empty_images", empty_images, 0, 0.9)
        checks.require_whole("distractors", distractors, 0)
        checks.require_number("contrast", contrast, 0)
        checks.require_number("noise", noise, 0)
        checks.require_number("texture", texture, 0)
        self.n = n
        self.image_size = image_size
        self.classes = classes
        self.foreground = foreground
        self.empty_images = empty_images
        self.distractors = distractors
        self.contrast = contrast
        self.noise = noise
        self.texture = texture

    def load(self) -> Raw:
        """Generate images ``(n, 1, image_size, image_size)`` and their masks."""
        shapes = dict(list(FOREGROUND.items())[: self.classes - 1])
        size = (self.n, self.image_size, self.image_size)
        brightness, masks = torch.zeros(size), torch.zeros(size, dtype=torch.int64)
        rng = generator(self.data_seed, Purpose.SHAPES_DISTRACTORS)
        areas = self._areas(rng).amax(dim=1)
        for index in range(self.distractors):
            present = torch.rand(self.n, generator=rng) < 1 - (index + 0.5) / self.distractors
            self._draw(brightness, DISTRACTORS, areas * present, rng)
        rng = generator(self.data_seed, Purpose.SHAPES_FOREGROUND)
        full = torch.rand(self.n, generator=rng) >= self.empty_images
        for area in self._areas(rng).unbind(dim=1):
            inside, kind = self._draw(brightness, shapes, area * full, rng)
            masks = torch.where(inside, 1 + kind.view(-1, 1, 1), masks)
        texture = textures(size, generator(self.data_seed, Purpose.SHAPES_TEXTURE))
        noise = torch.randn(size, generator=generator(self.data_seed, Purpose.SHAPES_NOISE))
        images = (brightness + self.texture * texture + self.noise * noise).unsqueeze(1)
        return Raw(images, masks, target_kind="masks", class_names=["background", *shapes])

    def _areas(self, rng: torch.Generator) -> Tensor:
        """Draw the areas of up to three shapes per image, ``(n, 3)``; 0 for missing shapes."""
        mean = self.foreground * self.image_size**2 / (1 - self.empty_images)
        area = mean * (0.5 + torch.rand(self.n, generator=rng))
        drawn = torch.randint(1, 4, (self.n,), generator=rng)
        count = torch.minimum(drawn, (area / SMALLEST).long().clamp(min=1))
        return (area / count).unsqueeze(1) * (torch.arange(3) < count.unsqueeze(1))

    def _draw(
        self, brightness: Tensor, shapes: dict[str, Shape], area: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw one shape into each image; return its pixels ``(n, H, W)`` and its kind."""
        radius = (area / math.pi).sqrt()
        spread = (self.image_size / 2 - REACH * radius).clamp(min=0)
        centre = self.image_size / 2 + spread * (2 * torch.rand(2, self.n, generator=rng) - 1)
        angle = 2 * math.pi * torch.rand(self.n, generator=rng)
        bright = self.contrast * (0.5 + torch.rand(self.n, generator=rng))
        kind = torch.randint(len(shapes), (self.n,), generator=rng)
        x, y = coordinates(self.image_size, centre, angle, radius)
        inside = torch.zeros_like(brightness, dtype=torch.bool)
        for index, shape in enumerate(shapes.values()):
            inside |= shape(x, y) & ((kind == index) & (area > 0)).view(-1, 1, 1)
        brightness.copy_(torch.where(inside, bright.view(-1, 1, 1), brightness))
        return inside, kind


def coordinates(size: int, centre: Tensor, angle: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Compute rotated pixel coordinates in units of the radius, two of ``(n, size, size)``."""
    grid = torch.arange(size) + 0.5
    x = grid.view(1, 1, -1) - centre[0].view(-1, 1, 1)
    y = grid.view(1, -1, 1) - centre[1].view(-1, 1, 1)
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    scale = radius.clamp(min=1e-6).view(-1, 1, 1)
    return (cos * x + sin * y) / scale, (cos * y - sin * x) / scale


def textures(size: tuple[int, int, int], rng: torch.Generator) -> Tensor:
    """Generate smooth random fields ``(n, H, W)`` with mean 0 and standard deviation 1."""
    n, height, width = size
    coarse = torch.randn(n, 1, height // 6 + 2, width // 6 + 2, generator=rng)
    smooth = torch.nn.functional.interpolate(
        coarse, size=(height, width), mode="bicubic", align_corners=False
    ).squeeze(1)
    return (smooth - smooth.mean()) / smooth.std()
