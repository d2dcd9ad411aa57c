"""Synthetic regression: a line or a curve with noise."""

from collections.abc import Callable
from typing import Literal, Unpack

import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.rng import Purpose, generator

NoiseKind = Literal["normal", "skewed"]
Curve = Literal["line", "sine", "quadratic", "step"]
CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "line": lambda x: x,
    "sine": torch.sin,
    "quadratic": lambda x: x.square() / 5,
    "step": torch.sign,
}


class Regression(InMemoryData):
    r"""A line, or a curve, with noise; only training has outliers.

    .. math:: y = a \sum_j g(x_j) + b + \sigma\varepsilon, \quad x_j \sim U(-5, 5)

    Args:
        n: number of samples over all splits.
        slope: :math:`a`, the same for each feature.
        intercept: :math:`b`.
        noise: :math:`\sigma`, the standard deviation of the noise.
        noise_kind: ``"normal"``, or ``"skewed"``: exponential, shifted to mean 0; its median is
            :math:`\log 2 - 1 = -0.307`, so a fitted median differs from a fitted mean.
        features: number of features.
        curve: :math:`g`: ``"line"`` x, ``"sine"`` sin x, ``"quadratic"`` x^2/5, ``"step"`` sign x.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Attributes:
        truth: ``{"slope": a, "intercept": b}``, or ``None`` if the curve is not a line.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = Regression(noise=0.0)
        >>> data.setup()
        >>> x, y, _ = data.test
        >>> torch.allclose(y, 3.3 * x + 5.3)
        True
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        n: int = 1000,
        slope: float = 3.3,
        intercept: float = 5.3,
        noise: float = 1.0,
        noise_kind: NoiseKind = "normal",
        features: int = 1,
        curve: Curve = "line",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("n", n, 5)
        checks.require_number("slope", slope)
        checks.require_number("intercept", intercept)
        checks.require_number("noise", noise, 0)
        checks.require_choice("noise_kind", noise_kind, ("normal", "skewed"))
        checks.require_whole("features", features, 1)
        checks.require_choice("curve", curve, tuple(CURVES))
        self.n = n
        self.slope = slope
        self.intercept = intercept
        self.noise = noise
        self.noise_kind = noise_kind
        self.features = features
        self.curve = curve

    @property
    def truth(self) -> dict[str, float] | None:
        """Parameters of the line, or ``None`` if the curve is not a line."""
        if self.curve != "line":
            return None
        return {"slope": self.slope, "intercept": self.intercept}

    def load(self) -> Raw:
        """Generate inputs ``(n, features)`` and targets ``(n, 1)``."""
        rng = generator(self.data_seed, Purpose.REGRESSION_INPUTS)
        inputs = torch.rand(self.n, self.features, generator=rng) * 10 - 5
        curve = CURVES[self.curve](inputs).sum(1, keepdim=True)
        targets = self.slope * curve + self.intercept + self.noise * self._noise()
        return Raw(inputs, targets, target_kind="values")

    def _noise(self) -> Tensor:
        rng = generator(self.data_seed, Purpose.REGRESSION_NOISE)
        if self.noise_kind == "skewed":
            return torch.empty(self.n, 1).exponential_(generator=rng) - 1
        return torch.randn(self.n, 1, generator=rng)
