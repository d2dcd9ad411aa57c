"""Files below a folder, their bytes, and what reading them changed or left out."""

import bz2
import codecs
import gzip
import lzma
import os
from collections.abc import Container, Iterable, Iterator
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

    def __init__(self, paths: Iterable[Path]) -> None:
        names = [os.fsencode(path) for path in paths]
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._names = b"".join(names)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> Path:
        start = 0 if place == 0 else int(self._ends[place - 1])
        return Path(os.fsdecode(self._names[start : int(self._ends[place])]))

    def state(self) -> tuple[bytes, ...]:
        """Return names, sizes and times of the files: what differs once one is changed."""
        stats = (self[place].stat() for place in range(len(self)))
        state = np.array([(each.st_size, each.st_mtime_ns) for each in stats])
        return self._names, state.tobytes()


class Changes:
    """What reading changed or left out, counted by kind.

    Example:
        >>> changes = Changes()
        >>> changes.add("palette converted to colours", "a.png")
        >>> changes.add("palette converted to colours", "b.png")
        >>> changes.notes()
        ('palette converted to colours: 2 (first: a.png)',)
    """

    def __init__(self) -> None:
        self._of: dict[str, tuple[int, str]] = {}

    def add(self, what: str, where: str | Path, count: int = 1) -> None:
        """Count one more, or several, found at a file, line or column."""
        if isinstance(where, Path):
            where = f"{where.parent.name}/{where.name}"
        before, first = self._of.get(what, (0, where))
        self._of[what] = (before + count, first)

    def merge(self, other: "Changes") -> None:
        """Add what others have counted, after what is counted here."""
        for what, (count, first) in other._of.items():
            self.add(what, first, count)

    def notes(self) -> tuple[str, ...]:
        """Return one line per kind."""
        return tuple(f"{what}: {n} (first: {first})" for what, (n, first) in self._of.items())


def is_hidden(path: Path) -> bool:
    """Return whether a part of a relative path begins with a dot, as ``.ipynb_checkpoints`` does.

    Example:
        >>> is_hidden(Path("a/.ipynb_checkpoints/1.png")), is_hidden(Path("a/1.png"))
        (True, False)
    """
    return any(part.startswith(".") for part in path.parts)


def visible_folders(root: Path) -> list[Path]:
    """Return the folders directly below a folder that are not hidden, in sorted order."""
    return sorted(each for each in root.iterdir() if each.is_dir() and each.name[0] != ".")


def files_below(root: Path) -> Iterator[Path]:
    """Iterate over all files below a folder, through linked folders, but no folder twice."""
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        yield from (Path(folder) / name for name in names)


def fitting_files(
    paths: Iterable[Path], root: Path, suffixes: Container[str], changes: Changes
) -> list[Path]:
    """Return the visible files with a suffix, in sorted order, and count those left out.

    Args:
        paths: files and folders below ``root``; the folders are passed over.
        root: a dot in its own path hides nothing.
        suffixes: those of the files that can be read, in lower case.
        changes: counts the files left out.
    """
    found = []
    for file in sorted(paths):
        if file.is_dir():
            continue
        if is_hidden(file.relative_to(root)):
            changes.add("hidden files left out", file)
        elif (suffix := file.suffix.lower()) not in suffixes:
            changes.add(f"other files left out, *{suffix}", file)
        else:
            found.append(file)
    return found


def open_bytes(file: Path) -> BinaryIO:
    """Open a file that may be compressed, at its start or after the mark (BOM) of UTF-8."""
    handle: BinaryIO = OPENERS.get(file.suffix.lower(), open)(file, "rb")
    if handle.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        handle.seek(0)
    return handle
