"""A ring of Gaussians in the plane, to count the modes that a generator covers."""

import math
from typing import Unpack

import torch

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.rng import Purpose, generator


class Ring(InMemoryData):
    """Points from Gaussians on a circle; the class of a point is its mode.

    Args:
        n: number of points over all splits.
        modes: number of Gaussians, evenly spaced on a circle of radius 2.
        spread: standard deviation of the Gaussians.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = Ring(n=1000)
        >>> data.setup()
        >>> data.input_shape, data.outputs
        ((2,), 8)
    """

    fresh_per_seed = True

    def __init__(
        self, *, n: int = 10000, modes: int = 8, spread: float = 0.05, **options: Unpack[Options]
    ) -> None:
        super().__init__(**options)
        checks.require_whole("n", n, 100)
        checks.require_whole("modes", modes, 2)
        checks.require_number("spread", spread, 0)
        self.n, self.modes, self.spread = n, modes, spread

    def load(self) -> Raw:
        """Generate the points."""
        stream = generator(self.data_seed, Purpose.RING)
        mode = torch.randint(self.modes, (self.n,), generator=stream)
        angle = mode * (2 * math.pi / self.modes)
        centres = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
        points = centres + self.spread * torch.randn(self.n, 2, generator=stream)
        return Raw(points, mode, class_names=[str(index) for index in range(self.modes)])
