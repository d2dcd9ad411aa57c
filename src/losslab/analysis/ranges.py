"""Search ranges of the options that a tuning varies."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EDGE = 0.05
"""Share of a range, at either end, that counts as its edge."""


@dataclass(frozen=True)
class Range:
    """Search range of an option: numbers from low to high, or a list of choices."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    @classmethod
    def declared(cls, key: str, content: Any) -> "Range":
        """Create a range from its declaration in conf/.

        Raises:
            ValueError: if it is neither ``{low: 0, high: 5}`` nor a list.

        Example:
            >>> Range.declared("loss.gamma", {"low": 0, "high": 5}).value(0.5)
            2.5
            >>> Range.declared("optimizer.lr", {"low": 1e-4, "high": 1e-2, "log": True}).value(0.5)
            0.001
            >>> Range.declared("loss.p", [1, 2]).value(0.7)
            2
        """
        if isinstance(content, list) and content:
            return cls(choices=tuple(content))
        if not isinstance(content, Mapping) or not {"low", "high"} <= content.keys() <= {
            "low",
            "high",
            "log",
        }:
            raise ValueError(
                f"the range of {key} must be {{low: .., high: ..}} or a list, got {content!r}"
            )
        log = bool(content.get("log", False))
        if not (0 if log else -math.inf) < content["low"] < content["high"] < math.inf:
            raise ValueError(f"the range of {key} must have low < high, got {content!r}")
        return cls(float(content["low"]), float(content["high"]), log)

    def value(self, unit: float) -> Any:
        """Map a point of the unit interval to a value, rounded to three significant digits."""
        if self.choices:
            return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]
        if self.log:
            exact = self.low * (self.high / self.low) ** unit
        else:
            exact = self.low + (self.high - self.low) * unit
        return float(f"{exact:.3g}")

    def on_edge(self, value: Any) -> bool:
        """Return whether a value is outside or in the outer 5 % of a range; lists have no edge."""
        if self.choices or not isinstance(value, int | float):
            return False
        if self.log and value <= 0:
            return True
        if self.log:
            unit = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            unit = (value - self.low) / (self.high - self.low)
        return not EDGE < unit < 1 - EDGE

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


def settings(options: Mapping[str, Any]) -> list[str]:
    """Write options as overrides.

    Example:
        >>> settings({"loss.gamma": 2.0, "loss.alpha": None, "loss.squared": True})
        ['loss.gamma=2.0', 'loss.alpha=null', 'loss.squared=true']
    """
    words = {None: "null", True: "true", False: "false"}
    return [
        f"{key}={words[value] if value is None or isinstance(value, bool) else value}"
        for key, value in options.items()
    ]
