"""Weights of losses that change over the epochs of a run."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from losslab.losses.base import require_at_least, require_choice

Shape = Literal["linear", "cosine"]


@dataclass(frozen=True)
class WeightSchedule:
    r"""Weight that goes from one value to another.

    .. math:: w(e) = w_0 + (w_1 - w_0)\, s\!\left(\frac{e - a}{n}\right)

    with epoch e counted from 0, s(p) = p (linear) or (1 - cos πp) / 2 (cosine), and p limited to
    the range from 0 to 1.

    Args:
        first: weight w_0 at the start.
        last: weight w_1 at the end.
        epochs: number of epochs n from the one to the other; 0 for a step.
        after: epoch a in which it begins.
        shape: ``"linear"`` or ``"cosine"``.

    Raises:
        ValueError: if an option is out of range.

    Example:
        Cross-entropy alone for five epochs, then Dice loss too, at full weight from epoch 15:

        >>> dice = WeightSchedule(first=0.0, last=1.0, epochs=10, after=5)
        >>> [dice.at(epoch) for epoch in (0, 5, 10, 15, 20)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """

    first: float
    last: float
    epochs: int
    after: int = 0
    shape: Shape = "linear"

    def __post_init__(self) -> None:
        for name in ("first", "last", "epochs", "after"):
            require_at_least(name, getattr(self, name), 0)
        require_choice("shape", self.shape, get_args(Shape))

    def at(self, epoch: int) -> float:
        """Return the weight in an epoch, counted from 0."""
        passed = epoch - self.after
        if passed <= 0 and self.epochs:
            return self.first
        part = min(passed / self.epochs, 1.0) if self.epochs else float(passed >= 0)
        if self.shape == "cosine":
            part = (1 - math.cos(math.pi * part)) / 2
        return self.first + (self.last - self.first) * part
