"""Files below a folder, their bytes, and what reading them changed or left out."""

import bz2
import codecs
import gzip
import hashlib
import lzma
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Functions that open compressed files, by suffix."""


class PathList:
    """Paths of many files in a few bytes each, which processes can share.

    Example:
        >>> paths = PathList([Path("a/1.png"), Path("b/2.png")])
        >>> len(paths), paths[1]
        (2, PosixPath('b/2.png'))
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        names = [os.fsencode(path) for path in paths]
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._names = b"".join(names)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> Path:
        return Path(self.name(place))

    def name(self, place: int) -> str:
        """Return a path as text, which is faster."""
        start = 0 if place == 0 else int(self._ends[place - 1])
        return os.fsdecode(self._names[start : int(self._ends[place])])

    def state(self) -> str:
        """Return a hash of paths, sizes and times of the files: it differs once one is changed."""
        ends = self._ends.tolist()
        names = (self._names[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))
        stats = map(os.stat, names)
        found = hashlib.blake2b(os.fsencode(self[0].absolute()), digest_size=16)
        found.update(self._names)
        state = np.fromiter(((each.st_size, each.st_mtime_ns) for each in stats), dtype="i8,i8")
        found.update(state.tobytes())
        return found.hexdigest()


class Changes:
    """What reading changed or left out, counted by kind.

    Args:
        counted: number of each kind, and where the first one is.

    Example:
        >>> changes = Changes()
        >>> changes.add("palette converted to colours", "a.png")
        >>> changes.add("palette converted to colours", "b.png")
        >>> changes.notes()
        ('palette converted to colours: 2 (first: a.png)',)
    """

    def __init__(self, counted: Mapping[str, tuple[int, str]] | None = None) -> None:
        self.counted = dict(counted or {})

    def add(self, what: str, where: str | Path, count: int = 1) -> None:
        """Count one more, or several, found at a file, line or column."""
        if isinstance(where, Path):
            where = f"{where.parent.name}/{where.name}"
        before, first = self.counted.get(what, (0, where))
        self.counted[what] = (before + count, first)

    def merge(self, other: "Changes") -> None:
        """Add what others have counted, after what is counted here."""
        for what, (count, first) in other.counted.items():
            self.add(what, first, count)

    def notes(self) -> tuple[str, ...]:
        """Return one line per kind."""
        return tuple(f"{what}: {n} (first: {first})" for what, (n, first) in self.counted.items())


def is_hidden(name: str) -> bool:
    """Return whether a part of a relative path begins with a dot, as ``.ipynb_checkpoints`` does.

    Example:
        >>> is_hidden("a/.ipynb_checkpoints/1.png"), is_hidden("a/1.png")
        (True, False)
    """
    return name.startswith(".") or f"{os.sep}." in name


def visible_folders(root: Path) -> list[Path]:
    """Return the folders directly below a folder that are not hidden, in sorted order."""
    with os.scandir(root) as entries:
        return sorted(root / each.name for each in entries if each.is_dir() and each.name[0] != ".")


def files_in(folder: Path) -> list[str]:
    """Return the names of the files directly in a folder; none if it is not a folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [each.name for each in entries if not each.is_dir()]


def files_below(root: Path) -> Iterator[str]:
    """Iterate over the relative paths of all files below a folder.

    Linked folders are followed, but no folder twice.
    """
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inside = Path(folder).relative_to(root)
        yield from names if inside == Path() else (f"{inside}{os.sep}{name}" for name in names)


def fitting_files(
    names: Iterable[str], root: Path, suffixes: Container[str], changes: Changes
) -> list[str]:
    """Return the visible files with a suffix, in sorted order, and count those left out.

    Paths are text, since there may be 100,000.

    Args:
        names: paths of files, relative to ``root``.
        root: the folder; a dot in its own path hides nothing.
        suffixes: those of the files that can be read, in lower case.
        changes: counts the files left out.
    """
    found = []
    for name in sorted(names, key=_parts):
        if is_hidden(name):
            changes.add("hidden files left out", root / name)
        elif (suffix := os.path.splitext(name)[1].lower()) not in suffixes:  # noqa: PTH122 (faster)
            changes.add(f"other files left out, *{suffix}", root / name)
        else:
            found.append(name)
    return found


def _parts(name: str) -> list[str]:
    return os.path.normcase(name).split(os.sep)  # noqa: PTH206 (faster)


def open_bytes(file: Path) -> BinaryIO:
    """Open a file that may be compressed, at its start or after the mark (BOM) of UTF-8."""
    handle: BinaryIO = OPENERS.get(file.suffix.lower(), open)(file, "rb")
    if handle.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        handle.seek(0)
    return handle
