"""Synthetic point clouds on the surfaces of solids."""

import math
from collections.abc import Callable
from typing import Literal, Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.rng import Purpose, generator

Rotation = Literal["none", "upright", "any"]
ROTATIONS = ("none", "upright", "any")
# candidates per point, among which uneven sampling chooses
CANDIDATES = 4


class PointCloud(InMemoryData):
    """Points on spheres, boxes, tori, cylinders and cones of random proportions.

    Before noise is added, every solid lies within the unit ball. Its kind is its class; the classes
    are balanced.

    Args:
        n: number of clouds over all splits.
        points: number of points per cloud.
        noise: standard deviation of the normal noise on each coordinate.
        rotation: ``"any"``, ``"upright"`` (about the third axis) or ``"none"``.
        uneven: unevenness of the sampling: the density is proportional to
            ``exp(uneven * height)`` along a random direction per cloud; 0 is uniform.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = PointCloud(n=50, points=64)
        >>> data.setup()
        >>> data.train.inputs.shape, data.class_names
        (torch.Size([30, 64, 3]), ['sphere', 'box', 'torus', 'cylinder', 'cone'])
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        n: int = 1000,
        points: int = 128,
        noise: float = 0.01,
        rotation: Rotation = "upright",
        uneven: float = 0.5,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("n", n, 5 * len(SOLIDS))
        require_sampling(points, noise, rotation, uneven)
        self.n = n
        self.points = points
        self.noise = noise
        self.rotation = rotation
        self.uneven = uneven

    def load(self) -> Raw:
        """Generate clouds ``(n, points, 3)`` and the kinds of their solids."""
        rng = generator(self.data_seed, Purpose.SOLIDS)
        kinds = torch.arange(self.n) % len(SOLIDS)
        surfaces = torch.empty(self.n, CANDIDATES * self.points, 3)
        for kind, solid in enumerate(SOLIDS.values()):
            surfaces[kinds == kind] = solid(int((kinds == kind).sum()), surfaces.shape[1], rng)
        clouds = sample_clouds(
            surfaces,
            points=self.points,
            noise=self.noise,
            rotation=self.rotation,
            uneven=self.uneven,
            seed=self.data_seed,
        )
        return Raw(clouds, kinds, class_names=list(SOLIDS))


def require_sampling(points: int, noise: float, rotation: str, uneven: float) -> None:
    """Raise ``ValueError`` if an option of :func:`sample_clouds` is out of range."""
    checks.require_whole("points", points, 1)
    checks.require_number("noise", noise, 0)
    checks.require_choice("rotation", rotation, ROTATIONS)
    checks.require_number("uneven", uneven, 0)


def sample_clouds(
    surfaces: Tensor, *, points: int, noise: float, rotation: Rotation, uneven: float, seed: int
) -> Tensor:
    """Sample a cloud from the candidates on each surface, rotate it and add noise.

    Args:
        surfaces: ``(n, M, 3)``, M uniformly distributed candidates per surface.
        points: number of points per cloud, at most M.
        noise: standard deviation of the noise.
        rotation: see :class:`PointCloud`.
        uneven: see :class:`PointCloud`.
        seed: seed of separate random generators for rotations, sampling and noise.

    Returns:
        ``(n, points, 3)``.
    """
    turned = surfaces @ rotations(len(surfaces), rotation, generator(seed, Purpose.ROTATIONS))
    rng = generator(seed, Purpose.SAMPLING)
    direction = F.normalize(torch.randn(len(surfaces), 3, 1, generator=rng), dim=1)
    # the top k of log-weights plus Gumbel noise are a weighted sample without replacement
    chance = uneven * (turned @ direction).squeeze(2)
    gumbel = -torch.empty_like(chance).exponential_(generator=rng).log()
    chosen = (chance + gumbel).topk(points, dim=1).indices
    clouds = turned.gather(1, chosen.unsqueeze(2).expand(-1, -1, 3))
    return clouds + noise * torch.randn(
        clouds.shape, generator=generator(seed, Purpose.POINT_NOISE)
    )


def rotations(n: int, kind: Rotation, rng: torch.Generator) -> Tensor:
    """Draw uniform random rotation matrices ``(n, 3, 3)`` of a kind."""
    if kind == "none":
        return torch.eye(3).expand(n, 3, 3)
    if kind == "upright":
        angle = torch.rand(n, generator=rng) * 2 * math.pi
        zero, one = torch.zeros(n), torch.ones(n)
        rows = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero, zero, zero, one]
        return torch.stack(rows, dim=1).reshape(n, 3, 3)
    # normalized Gaussian quaternions are uniform rotations
    w, x, y, z = F.normalize(torch.randn(n, 4, generator=rng), dim=1).unbind(1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, dim=1).reshape(n, 3, 3)


# --- solids: n surfaces of m points, uniform by area, within the unit ball ----------------------


def spheres(n: int, m: int, rng: torch.Generator) -> Tensor:
    """Sample spheres of radius 0.5 to 1."""
    directions = F.normalize(torch.randn(n, m, 3, generator=rng), dim=2)
    return directions * _between(0.5, 1, n, rng)[..., None]


def boxes(n: int, m: int, rng: torch.Generator) -> Tensor:
    """Sample boxes with side ratios up to 3 and corners 0.7 to 1 from the centre."""
    half = torch.rand(n, 3, generator=rng) * 2 + 1
    half = half / half.norm(dim=1, keepdim=True) * _between(0.7, 1, n, rng)
    areas = half.prod(dim=1, keepdim=True) / half  # of the faces across each axis, up to a factor
    axis = torch.multinomial(areas, m, replacement=True, generator=rng)
    inside = torch.rand(n, m, 3, generator=rng) * 2 - 1
    side = inside.sign().gather(2, axis.unsqueeze(2))
    points: Tensor = inside.scatter(2, axis.unsqueeze(2), side) * half.unsqueeze(1)
    return points


def tori(n: int, m: int, rng: torch.Generator) -> Tensor:
    """Sample horizontal tori of tube radius 0.15 to 0.35 and ring radius 1 minus that."""
    tube = _between(0.15, 0.35, n, rng)
    ring = 1 - tube
    along = torch.rand(n, m, generator=rng) * 2 * math.pi
    around = torch.rand(n, m, generator=rng) * 2 * math.pi
    # the outside has more area: an angle is kept with probability (1 + tube/ring cos) / 2 and
    # otherwise mirrored, which gives the density 1 + tube/ring cos
    kept = torch.rand(n, m, generator=rng) < (1 + tube / ring * around.cos()) / 2
    around = torch.where(kept, around, math.pi - around)
    radius = ring + tube * around.cos()
    return torch.stack([radius * along.cos(), radius * along.sin(), tube * around.sin()], dim=2)


def cylinders(n: int, m: int, rng: torch.Generator) -> Tensor:
    """Sample upright closed cylinders, half to twice as wide as high."""
    radius, half = _proportions(n, rng)
    on_side = torch.rand(n, m, generator=rng) < 2 * half / (2 * half + radius)
    height = torch.rand(n, m, generator=rng) * 2 - 1
    height = torch.where(on_side, height, height.sign()) * half
    across = torch.where(on_side, 1, torch.rand(n, m, generator=rng).sqrt()) * radius
    return _around(across, height, rng)


def cones(n: int, m: int, rng: torch.Generator) -> Tensor:
    """Sample upright closed cones, half to twice as wide as high."""
    radius, half = _proportions(n, rng)
    slant = (radius.square() + 4 * half.square()).sqrt()
    on_side = torch.rand(n, m, generator=rng) < slant / (slant + radius)
    share = torch.rand(
        n, m, generator=rng
    ).sqrt()  # relative distance from the tip, or from the centre
    height = torch.where(on_side, half - 2 * half * share, -half)
    return _around(share * radius, height, rng)


SOLIDS: dict[str, Callable[[int, int, torch.Generator], Tensor]] = {
    "sphere": spheres,
    "box": boxes,
    "torus": tori,
    "cylinder": cylinders,
    "cone": cones,
}


def _between(low: float, high: float, n: int, rng: torch.Generator) -> Tensor:
    """Draw a uniform number per surface, ``(n, 1)``."""
    return torch.rand(n, 1, generator=rng) * (high - low) + low


def _proportions(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw radius and half height, with the rim 0.7 to 1 from the centre."""
    slope = _between(math.atan(0.5), math.atan(2), n, rng)
    size = _between(0.7, 1, n, rng)
    return size * slope.cos(), size * slope.sin()


def _around(radius: Tensor, height: Tensor, rng: torch.Generator) -> Tensor:
    """Place points at uniform random angles about the third axis."""
    angle = torch.rand(radius.shape, generator=rng) * 2 * math.pi
    return torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=2)
