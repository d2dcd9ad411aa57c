"""Shapes on textured backgrounds, as pixels of synthetic images."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

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


class Drawn(NamedTuple):
    """One shape in each of n images."""

    inside: Tensor
    """Its pixels, boolean ``(n, size, size)``."""
    brightness: Tensor
    """From 0.5 to 1.5, ``(n,)``."""
    kind: Tensor
    """Index of the shape, int64 ``(n,)``."""

    def paint(self, images: Tensor, contrast: float) -> None:
        """Set the pixels of the shapes in the images ``(n, size, size)``, in place."""
        bright = (contrast * self.brightness).view(-1, 1, 1)
        images.copy_(torch.where(self.inside, bright, images))


def draw_shapes(
    size: int,
    shapes: Mapping[str, Shape],
    area: Tensor,
    rng: torch.Generator,
    *,
    stretch: float = 1.0,
    reach: float = REACH,
) -> Drawn:
    """Draw a shape of random kind, place, angle and brightness for each of n images.

    Args:
        size: side of an image in pixels.
        shapes: kinds of shapes.
        area: area of each shape in pixels, ``(n,)``; 0 for none.
        rng: random generator.
        stretch: maximum ratio of the length of a shape to its width.
        reach: distance of the centre from the border of the image, in radii; what is beyond the
            border is cut off.
    """
    n, radius = len(area), (area / math.pi).sqrt()
    spread = (size / 2 - reach * radius).clamp(min=0)
    centre = size / 2 + spread * (2 * torch.rand(2, n, generator=rng) - 1)
    angle = 2 * math.pi * torch.rand(n, generator=rng)
    brightness = 0.5 + torch.rand(n, generator=rng)
    kind = torch.randint(len(shapes), (n,), generator=rng)
    x, y = coordinates(size, centre, angle, radius)
    if stretch > 1:
        ratio = stretch ** (2 * torch.rand(n, generator=rng) - 1)
        longer = ratio.sqrt().view(-1, 1, 1)
        x, y = x / longer, y * longer
    inside = torch.zeros(n, size, size, dtype=torch.bool)
    for index, shape in enumerate(shapes.values()):
        inside |= shape(x, y) & ((kind == index) & (area > 0)).view(-1, 1, 1)
    return Drawn(inside, brightness, kind)


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
