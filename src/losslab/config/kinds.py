"""Kinds of values that keys take: numbers within bounds, choices, lists. Nothing imports torch."""

import math
import re
from dataclasses import dataclass
from typing import Any


class Kind:
    """Kind of values."""

    def fits(self, value: Any) -> bool:
        """Return whether a value is of this kind."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Return what completes "must be ..." in a message."""
        raise NotImplementedError

    def names(self) -> tuple[str, ...]:
        """Return the words among the values, so that a message can name the nearest one."""
        return ()

    def __or__(self, other: "Kind") -> "Kind":
        """Return the kind of values that are of either kind."""
        return Either(self, other)


@dataclass(frozen=True)
class Number(Kind):
    """Finite number within bounds.

    Attributes:
        low: least value.
        high: greatest value.
        whole: whether it has no fraction; a float such as ``2.0`` has one.
        above: whether the least value is excluded.
        below: whether the greatest value is excluded.

    Example:
        >>> str(Number(1, 8, whole=True)), str(Number(0, 1, above=True))
        ('a whole number from 1 to 8', 'a number > 0 and <= 1')
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False

    def fits(self, value: Any) -> bool:
        """Return whether a value is a number within the bounds."""
        types = (int,) if self.whole else (int, float)
        if not isinstance(value, types) or isinstance(value, bool):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        low = value > self.low if self.above else value >= self.low
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        """Name the bounds, from the lower one to the higher one."""
        noun = "a whole number" if self.whole else "a number"
        low, high = map(_bound, (self.low, self.high))
        if math.isfinite(self.low) and math.isfinite(self.high) and not (self.above or self.below):
            return f"{noun} from {low} to {high}"
        bounds = []
        if math.isfinite(self.low):
            bounds.append(f"{'>' if self.above else '>='} {low}")
        if math.isfinite(self.high):
            bounds.append(f"{'<' if self.below else '<='} {high}")
        return f"{noun} {' and '.join(bounds)}".rstrip()


def _bound(value: float) -> str:
    powers = {2**63 - 1: "2^63 - 1", 10**9: "10^9"}
    return powers[int(value)] if math.isfinite(value) and value in powers else f"{value:g}"


@dataclass(frozen=True)
class Choice(Kind):
    """One of several values."""

    values: tuple[Any, ...]

    def fits(self, value: Any) -> bool:
        """Return whether a value is one of them, of the same type."""
        return any(value == each and type(value) is type(each) for each in self.values)

    def __str__(self) -> str:
        """List the values."""
        return " or ".join(dict.fromkeys(text(each) for each in self.values))

    def names(self) -> tuple[str, ...]:
        """Return the values that are words."""
        return tuple(each for each in self.values if isinstance(each, str))


@dataclass(frozen=True)
class Never(Choice):
    """No value but those that change nothing: a run cannot honour the key.

    Attributes:
        instead: what to use instead.
    """

    instead: str = ""


@dataclass(frozen=True)
class Text(Kind):
    """Text that is not empty.

    Attributes:
        what: what it is, for messages.
        blank: whether it may consist of spaces.
        digits: whether a number is a text, too, as in the name of a folder.
        path: whether it may lead to another folder.
        form: regular expression that it has to match; any for none.
    """

    what: str = "a text"
    blank: bool = False
    digits: bool = True
    path: bool = True
    form: str = ""

    def fits(self, value: Any) -> bool:
        """Return whether a value is such a text."""
        if isinstance(value, int | float):
            return self.digits and not isinstance(value, bool)
        if not isinstance(value, str) or "\0" in value:
            return False
        if not self.path and (value in (".", "..") or set(value) & set("/\\")):
            return False
        if self.form and not re.fullmatch(self.form, value):
            return False
        return self.blank or bool(value.strip())

    def __str__(self) -> str:
        """Say what the text is."""
        return self.what


@dataclass(frozen=True)
class List(Kind):
    """List of values of one kind.

    Attributes:
        of: kind of each value.
        least: least length.
        most: greatest length.
        distinct: whether no value may occur twice.
    """

    of: Kind
    least: int = 0
    most: float = math.inf
    distinct: bool = False

    def fits(self, value: Any) -> bool:
        """Return whether a value is such a list."""
        if not isinstance(value, list | tuple) or not self.least <= len(value) <= self.most:
            return False
        distinct = not self.distinct or len({str(each) for each in value}) == len(value)
        return distinct and all(map(self.of.fits, value))

    def __str__(self) -> str:
        """Name length and entries."""
        length = ""
        if self.most < math.inf:
            length = f" of {self.least}"
        elif self.least:
            length = f" of {self.least} or more"
        return f"a list{length}, each {self.of}{', all different' if self.distinct else ''}"


@dataclass(frozen=True)
class Either(Kind):
    """Values of one of two kinds."""

    first: Kind
    second: Kind

    def fits(self, value: Any) -> bool:
        """Return whether a value is of one of the kinds."""
        return self.first.fits(value) or self.second.fits(value)

    def __str__(self) -> str:
        """Name both kinds."""
        return f"{self.first} or {self.second}"

    def names(self) -> tuple[str, ...]:
        """Return the words among the values of both kinds."""
        return self.first.names() + self.second.names()


FLAG = Choice((True, False))
NULL = Choice((None,))


def text(value: Any) -> str:
    """Write a value as on the command line.

    Example:
        >>> text([True, None, 0.5])
        '[true,null,0.5]'
    """
    if isinstance(value, list | tuple):
        return f"[{','.join(map(text, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
