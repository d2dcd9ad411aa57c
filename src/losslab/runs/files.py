"""Read files of runs and sweeps so that a damaged one is refused in one line."""

import functools
import json
import math
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from losslab.config.errors import UserError
from losslab.runs import packs

PNG = b"\x89PNG\r\n\x1a\n"
"""First bytes of a PNG file."""

LARGEST = 2**63
"""Bound of whole numbers: tables and random generators take no larger ones."""


class FileError(UserError, ValueError):
    """File of a run or sweep that is damaged, or that this version cannot read."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} {' '.join(str(reason).split())}")


class LaterVersionError(FileError):
    """File that a later version of losslab wrote: nothing may replace it."""

    def __init__(self, path: Path, what: str, got: int, most: int) -> None:
        super().__init__(
            path, f"has {what} {got}, but this losslab reads at most {most}: update losslab"
        )


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Add to the error of a damaged file what to do about it."""
    try:
        yield
    except LaterVersionError:
        raise
    except FileError as error:
        raise UserError(f"{error}; {advice}") from error


def read_text(path: Path, errors: Literal["strict", "replace"] = "strict") -> str:
    """Read a text file, on disk or in a pack.

    Args:
        path: path of the file.
        errors: whether to refuse or to replace what is not text.

    Raises:
        FileNotFoundError: if it does not exist.
        FileError: if it cannot be read, or is not text.
    """
    try:
        try:
            return path.read_text(encoding="utf-8", errors=errors)
        except FileNotFoundError:
            content = packs.packed(path)
            if content is None:
                raise
            return content.decode("utf-8", errors)
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise FileError(path, f"is not text: {error}") from error
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        FileNotFoundError: if it does not exist.
        FileError: if it is damaged.
    """
    text = read_text(path)
    try:
        content = json.loads(text, parse_constant=_no_number, parse_float=_float, parse_int=_int)
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise FileError(path, f"must hold a JSON object, got {type(content).__name__}")
    return content


def require_version(content: Mapping[str, Any], key: str, most: int, path: Path) -> None:
    """Check that no later version of losslab wrote a file.

    Raises:
        LaterVersionError: if the number under the key is larger than this version reads.
    """
    if isinstance(got := content.get(key), int) and got > most:
        raise LaterVersionError(path, key, got, most)


def require_types(content: Mapping[str, Any], declared: Any, path: Path) -> None:
    """Check the fields of a file's content against a ``TypedDict``.

    Raises:
        FileError: if fields are missing or have another type.
    """
    if missing := _missing(content, declared):
        raise FileError(path, f"lacks the fields {', '.join(missing)}")
    for name in _wrong(content, declared):
        raise FileError(path, f"has a wrong {name}: {content[name]!r:.60}")


def has_type(value: Any, hint: Any) -> bool:
    """Return whether a value, as JSON or YAML gives it, has a type.

    Example:
        >>> has_type({"mae": 1.0}, dict[str, float]), has_type(["a", 3], list[str])
        (True, False)
    """
    return _check_of(hint)(value)


@functools.cache
def _check_of(hint: Any) -> Callable[[Any], bool]:
    """Return the check of a type; a table of ten thousand runs has half a million values."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        checks = [_check_of(each) for each in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin is list:
        entry = _check_of(arguments[0])
        return lambda value: isinstance(value, list) and all(map(entry, value))
    if origin is dict:
        key, entry = map(_check_of, arguments)
        return lambda value: (
            isinstance(value, dict) and all(map(key, value)) and all(map(entry, value.values()))
        )
    if origin is Literal:
        return lambda value: value in arguments
    return _check_of_plain(hint)


def _check_of_plain(hint: Any) -> Callable[[Any], bool]:
    if is_typeddict(hint):
        return lambda value: (
            isinstance(value, dict) and not (_missing(value, hint) or _wrong(value, hint))
        )
    if hint in (int, float):  # True is an int to Python
        return lambda value: isinstance(value, (int, hint)) and not isinstance(value, bool)
    return lambda value: hint is Any or isinstance(value, hint)


def _missing(content: Mapping[str, Any], declared: Any) -> list[str]:
    return sorted(declared.__required_keys__ - content.keys())


def _wrong(content: Mapping[str, Any], declared: Any) -> list[str]:
    checks = _checks_of(declared)
    return [name for name in checks if name in content and not checks[name](content[name])]


@functools.cache
def _checks_of(declared: Any) -> dict[str, Callable[[Any], bool]]:
    return {name: _check_of(hint) for name, hint in get_type_hints(declared).items()}


def require_zip(path: Path) -> None:
    """Check that a checkpoint or a file of arrays, if it exists, has its end.

    It is an archive that ends with its table of contents, so this needs neither time nor torch.

    Raises:
        FileError: if the file is truncated or something else.
    """
    if not path.exists():
        return
    if not path.is_file() or not zipfile.is_zipfile(path) or _start(path) != b"PK":
        raise FileError(path, "is incomplete or not what it was saved as")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number in JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large")
    return number


def _int(text: str) -> int:
    number = int(text)
    if abs(number) >= LARGEST:
        raise ValueError(f"{text[:20]} is too large")
    return number
