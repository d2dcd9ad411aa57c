"""Axes of a map: an option and its values, ``data.n:50:2000:6:log``. Nothing imports torch."""

import math
import re
from dataclasses import dataclass
from typing import Any

from losslab.config import schema
from losslab.config.errors import UserError
from losslab.config.kinds import Either, Kind, Number, text
from losslab.config.values import kind_of

GROUPS = ("data", "model", "optimizer", "scheduler", "regularizer", "trainer", "task")
"""Groups whose options can be an axis: those that all losses share."""

FORM = "OPTION:LOW:HIGH:STEPS[:log], such as data.n:50:2000:6:log"


@dataclass(frozen=True)
class Axis:
    """Option that varies along a side of a map, and its values, rising.

    Example:
        >>> Axis("data.n", (50, 2000), log=True).label
        'n'
    """

    key: str
    values: tuple[float, ...]
    log: bool = False

    @property
    def label(self) -> str:
        """Name of the option without its group."""
        return self.key.partition(".")[2]

    @property
    def override(self) -> str:
        """Override that sweeps over the values."""
        return f"{self.key}={','.join(map(text, self.values))}"


@dataclass(frozen=True)
class Span:
    """Axis as it was typed.

    Example:
        >>> Span.parsed("x", "data.outliers:0:0.3:7").axis(whole=False).values
        (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
        >>> Span.parsed("y", "data.n:50:2000:6:log").axis(whole=True).values
        (50, 105, 219, 457, 956, 2000)
    """

    name: str
    """``x`` or ``y``."""
    key: str
    low: float
    high: float
    steps: int
    log: bool

    @classmethod
    def parsed(cls, name: str, typed: str) -> "Span":
        """Parse ``OPTION:LOW:HIGH:STEPS[:log]``.

        Raises:
            UserError: if it is something else, or the option cannot be an axis.
        """
        key, *numbers = typed.split(":")
        log = numbers[3:] == ["log"]
        if len(numbers) - log != 3 or not re.fullmatch(r"[\w.]+", key):
            raise UserError(f"{name} must be {FORM}, got {typed or 'nothing'}")
        _require_shared(name, key)
        low, high = (_number(name, each) for each in numbers[:2])
        if not numbers[2].isdecimal() or int(numbers[2]) < 2:
            raise UserError(f"{name}: STEPS must be a whole number >= 2, got {numbers[2]}")
        if not low < high:
            raise UserError(f"{name}: LOW must be below HIGH, got {numbers[0]} and {numbers[1]}")
        if log and low <= 0:
            raise UserError(
                f"{name}: LOW of a logarithmic axis must be > 0, got {text(_plain(low))}"
            )
        return cls(name, key, low, high, int(numbers[2]), log)

    def axis(self, *, whole: bool) -> Axis:
        """Return the axis, with rounded values.

        They keep as many digits as tell them apart, at least three.

        Args:
            whole: whether the option takes whole numbers only; equal values are then left out.

        Raises:
            UserError: if it does, and an end is not one.
        """
        points = [self._at(step / (self.steps - 1)) for step in range(1, self.steps - 1)]
        if whole:
            for end in (self.low, self.high):
                if end != int(end):
                    raise UserError(f"{self.name}: {self.key} takes whole numbers, got {text(end)}")
            points = [round(point) for point in points]
        else:
            points = self._rounded(points)
        values = [_plain(value) for value in (self.low, *points, self.high)]
        return Axis(self.key, tuple(dict.fromkeys(values)), self.log)

    def _at(self, share: float) -> float:
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + (self.high - self.low) * share

    def _rounded(self, points: list[float]) -> list[float]:
        for digits in range(3, 17):
            found = [float(f"{point:.{digits}g}") for point in points]
            if len({self.low, *found, self.high}) == len(points) + 2:
                return found
        return points


def takes_whole_numbers(key: str, default: Any) -> bool:
    """Return whether an option takes whole numbers only.

    Args:
        key: dotted key.
        default: its value in conf/, which decides for options of your own.

    Example:
        >>> takes_whole_numbers("data.n", 1000), takes_whole_numbers("data.outliers", 0.0)
        (True, False)
    """
    kind = kind_of(key)
    if kind is None:
        return isinstance(default, int) and not isinstance(default, bool)
    numbers = _numbers(kind)
    return bool(numbers) and all(number.whole for number in numbers)


def _numbers(kind: Kind) -> list[Number]:
    if isinstance(kind, Either):
        return [*_numbers(kind.first), *_numbers(kind.second)]
    return [kind] if isinstance(kind, Number) else []


def _require_shared(name: str, key: str) -> None:
    """Check that an option belongs to all losses and changes results."""
    group, _, option = key.partition(".")
    if group == "loss":
        raise UserError(
            f"{name}={key}: an axis is an option that all losses share, and not one of a loss; to "
            "tune those: losslab tune"
        )
    if group not in GROUPS or not option:
        raise UserError(
            f"{name}={key}: an axis is an option of {', '.join(GROUPS)}, such as data.n"
        )
    if key.endswith("seed") or not schema.meaning(key).affects_results:
        raise UserError(f"{name}={key}: an axis is an option that changes results")


def _number(name: str, typed: str) -> float:
    try:
        value = float(typed)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{name}: LOW and HIGH must be numbers, got {typed or 'nothing'}")
    return value


def _plain(value: float) -> float:
    """Return a whole number as an integer, which options of either type take."""
    return int(value) if value == int(value) else value
