"""Checks of data options, whose errors say what was expected and what was given."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def require_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise ``ValueError`` unless the option is one of the choices."""
    if value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {expected}, got {value!r}")


def require_whole(name: str, value: object, low: int) -> None:
    """Raise ``ValueError`` unless the option is a whole number of at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} must be a whole number >= {low}, got {value!r}")


def require_number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf
) -> None:
    """Raise ``ValueError`` unless the option is a finite number in the closed interval."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        limits = [f">= {low:g}"] * (low > -math.inf) + [f"<= {high:g}"] * (high < math.inf)
        raise ValueError(f"{name} must be {' and '.join(['a number', *limits])}, got {value!r}")


def require_distinct_names(whose: object, names: Iterable[str]) -> None:
    """Raise ``ValueError`` if two columns have one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{whose} must have distinct column names, got {name!r} twice")


def require_open_share(name: str, value: object) -> None:
    """Raise ``ValueError`` unless the option is a fraction strictly between 0 and 1."""
    if not isinstance(value, float) or not 0 < value < 1:
        raise ValueError(f"{name} must be a fraction between 0 and 1, exclusive, got {value!r}")


def require_single_precision(name: str, values: NDArray[np.generic]) -> None:
    """Raise ``ValueError`` if float32 would not tell the values ``(n,)`` apart, as it does times.

    Example:
        >>> require_single_precision("column 'time'", np.array([1.7e9, 1.7e9 + 1]))
        Traceback (most recent call last):
        ...
        ValueError: column 'time' must have values that 7 digits tell apart, got 1.7e+09 to ...
    """
    if values.dtype.itemsize < 4 or values.dtype == np.float32:
        return
    exact = values.astype(np.float64)
    deviation, largest = float(exact.std()), float(np.abs(exact).max())
    if 0 < deviation < 100 * np.spacing(np.float32(largest)):
        raise ValueError(
            f"{name} must have values that 7 digits tell apart, got {exact.min():g} to "
            f"{exact.max():g} with a standard deviation of {deviation:g}: subtract the smallest "
            f"value"
        )


def require_file(path: str | Path, expected: str) -> Path:
    """Return the path of an existing file.

    Raises:
        FileNotFoundError: if it does not exist or is a folder.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        found = "a folder" if file.is_dir() else "nothing"
        raise FileNotFoundError(f"path must be {expected}, found {found} at {file.absolute()}")
    return file
