"""Synthetic images of shapes with masks, of configurable rarity and noise."""

from typing import Unpack

import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.shapes import DISTRACTORS, FOREGROUND, draw_shapes, textures
from losslab.rng import Purpose, generator

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
            drawn = draw_shapes(self.image_size, DISTRACTORS, areas * present, rng)
            drawn.paint(brightness, self.contrast)
        rng = generator(self.data_seed, Purpose.SHAPES_FOREGROUND)
        full = torch.rand(self.n, generator=rng) >= self.empty_images
        for area in self._areas(rng).unbind(dim=1):
            drawn = draw_shapes(self.image_size, shapes, area * full, rng)
            drawn.paint(brightness, self.contrast)
            masks = torch.where(drawn.inside, 1 + drawn.kind.view(-1, 1, 1), masks)
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
