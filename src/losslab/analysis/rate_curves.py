"""Curves of a learning-rate range test, and the learning rates that they suggest."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMOOTHING = 0.98
"""Weight of the past in the moving average of the loss, as in fastai."""
FEWEST = 5
"""Points from which a suggestion is made."""


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the moving average of a loss, corrected for its start at zero.

    Example:
        >>> [round(value, 2) for value in smoothed([2.0, 2.0, 1.0])]
        [2.0, 2.0, 1.66]
    """
    average, found = 0.0, []
    for step, value in enumerate(values, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        found.append(average / (1 - SMOOTHING**step))
    return found


@dataclass(frozen=True)
class RateCurve:
    """Training loss of one loss against the learning rate.

    Attributes:
        rates: learning rate of each step, increasing.
        losses: the batches' losses, smoothed.
        steps: steps that were planned; fewer were made if the loss rose too far.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int

    @functools.cached_property
    def _used(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates and losses without the first steps and the steep end, as in fastai."""
        used = slice(self.steps // 10, -5)
        return np.asarray(self.rates[used]), np.asarray(self.losses[used])

    @functools.cached_property
    def valley(self) -> float:
        """Rate half-way down the longest fall of the loss; NaN if it hardly falls.

        Source:
            fastai, ``fastai.callback.schedule.valley``.
        """
        rates, losses = self._used
        first, last = longest_fall(losses)
        if last - first < FEWEST:
            return math.nan
        third = (last - first) / 3
        return float(rates[first + int(third) + int(third / 2)])

    @functools.cached_property
    def steepest(self) -> float:
        """Rate at which the loss falls fastest per factor of the rate; NaN if it hardly falls."""
        rates, losses = self._used
        if math.isnan(self.valley):
            return math.nan
        return float(rates[np.argmin(np.diff(losses) / np.diff(np.log(rates)))])

    @property
    def lowest(self) -> float:
        """Rate at which the loss is lowest, beyond which training becomes unstable."""
        return self.rates[int(np.argmin(self.losses))]


def longest_fall(values: Sequence[float] | np.ndarray) -> tuple[int, int]:
    """Return where the longest decreasing subsequence begins and ends, as fastai counts it.

    It begins as many places before its end as it has values, so that one with gaps begins later.

    Example:
        >>> longest_fall([3.0, 4.0, 2.0, 1.0, 5.0])
        (0, 3)
    """
    if len(values) == 0:
        return 0, 0
    lengths = [1] * len(values)
    for end, value in enumerate(values):
        before = (lengths[i] + 1 for i in range(end) if value < values[i])
        lengths[end] = max(before, default=1)
    last = int(np.argmax(lengths))
    return last - lengths[last], last
