"""Packs: the runs of a unit of a sweep in one file.

Ten thousand runs have ninety thousand files, which shared file systems are slow to create, list and
back up. A pack is an SQLite archive, as the program ``sqlite3`` writes and lists them (``sqlite3
1.sqlar -At``), with names relative to the sweep's folder.

- ``units/<number>.sqlar`` has the runs of a finished unit.
- ``units/open/<number>.sqlar``, an open pack, has those of a unit that is being trained, or was
  interrupted, as they were when they were last saved (:mod:`losslab.runs.open_packs`).

Either is written under another name first and then replaces the earlier one as a whole; no file is
changed while it has this name. So any number of processes read it without locks, on any file
system, and see all runs of a stack as of one moment.

A file on disk comes before the packed one, such as that of a run that was exported.
"""

import errno
import functools
import io
import itertools
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

UNITS = "units"
"""Folder of the claims and packs of a sweep's units, in the sweep's folder."""
OPEN = "open"
"""Folder of the open packs, in that of the packs."""
ENDING = ".sqlar"
RECORD = "record.json"
"""File by which a folder is known as that of a run."""

WITHIN = "name >= :name || '/' AND name < :name || '0'"
"""Condition in SQL that a file lies in a folder: the character after / is 0."""
BELOW = "substr(name, length(:name) + 2)"
"""Its name within that folder, in SQL."""
SETTLED_AFTER = 2.0
"""Seconds after which a change of a folder changes its time: file systems round it."""


def pack_file(sweep: Path, number: int) -> Path:
    """Return the path of the pack of a unit."""
    return sweep / UNITS / f"{number}{ENDING}"


def open_pack_file(sweep: Path, number: int) -> Path:
    """Return the path of the open pack of a unit."""
    return sweep / UNITS / OPEN / f"{number}{ENDING}"


def is_packed(run: Path) -> bool:
    """Return whether a run is in a pack, and not on disk."""
    return not (run / RECORD).exists() and find_pack(run) is not None


def packed_runs(sweep: Path) -> list[Path]:
    """Return the folders that the packed runs of a sweep would have."""
    return [sweep / name for name in dict.fromkeys(itertools.chain(*_packs(sweep)))]


def runs_within(folder: Path) -> list[Path]:
    """Return those of the packed runs that would be in a folder of a sweep, or are that folder."""
    place = folder.absolute()
    runs = (run for sweep in place.parents for run in packed_runs(sweep))
    return [folder / run.relative_to(place) for run in runs if run.is_relative_to(place)]


def exists(path: Path) -> bool:
    """Return whether a file of a run exists, on disk or in a pack."""
    return path.exists() or bool(select(path, "SELECT 1 FROM sqlar WHERE name = :name"))


def packed(path: Path) -> bytes | None:
    """Return the content of a packed file; ``None`` if there is none of this path.

    Raises:
        OSError: if its pack is damaged.
    """
    rows = select(path, "SELECT sz, data FROM sqlar WHERE name = :name")
    return plain(*rows[0]) if rows else None


def open_file(path: Path) -> BinaryIO:
    """Open a file of a run, on disk or in a pack, for reading.

    Raises:
        FileNotFoundError: if it is in neither.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        content = packed(path)
        if content is None:
            raise
        return io.BytesIO(content)


def files_in(folder: Path, ending: str) -> list[Path]:
    """Return the files in a folder of a run whose names end so, on disk and in packs."""
    names = {path.name for path in folder.glob(f"*{ending}")}
    inner = [name for (name,) in select(folder, f"SELECT {BELOW} FROM sqlar WHERE {WITHIN}")]
    names |= {each for each in inner if each.endswith(ending) and "/" not in each}
    return [folder / each for each in sorted(names)]


def select(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Select rows of the pack with the run that a path is or belongs to; none without a pack.

    Args:
        path: path that the file or folder would have.
        query: query in SQL, to which ``:name`` is the name in the pack.

    Raises:
        OSError: if the pack is damaged.
    """
    for last in (False, True):
        pack = find_pack(path)
        if pack is None:
            return []
        try:
            return _select(pack, query, path.absolute().relative_to(sweep_of(pack)).as_posix())
        except OSError:
            if last:
                raise
            # it was moved or replaced since: a network file system tells when the file is read
            _index.cache_clear()
            _archive.cache_clear()
    raise AssertionError


def find_pack(path: Path) -> Path | None:
    """Return the pack of the run that a path is or belongs to; ``None`` without one."""
    place = path.absolute()
    for sweep in place.parents:
        name = place.relative_to(sweep)
        for runs in _packs(sweep):
            for run in (name, *name.parents):
                if pack := runs.get(run.as_posix()):
                    return pack
    return None


def sweep_of(pack: Path) -> Path:
    """Return the sweep of a pack."""
    return pack.parents[2 if is_open(pack) else 1]


def is_open(pack: Path) -> bool:
    """Return whether a pack is an open one."""
    return pack.parent.name == OPEN


def _packs(sweep: Path) -> Iterator[Mapping[str, Path]]:
    """Yield the packs of a sweep's runs, by the names of the runs; finished ones come first."""
    units = sweep / UNITS
    # looked at twice, since a pack may be closed between the looks
    for folder in (units, units / OPEN, units):
        try:
            changed = folder.stat().st_mtime
        except OSError:
            continue
        settled = abs(time.time() - changed) > SETTLED_AFTER
        yield _index(folder, changed) if settled else _index.__wrapped__(folder, changed)


@functools.lru_cache(maxsize=64)
def _index(folder: Path, changed: float) -> Mapping[str, Path]:
    del changed  # of the cache
    runs: dict[str, Path] = {}
    for pack in sorted(folder.glob(f"[0-9]*{ENDING}")):
        with suppress(FileNotFoundError):  # closed meanwhile
            runs |= dict.fromkeys(_runs_in(pack, pack.stat().st_mtime_ns), pack)
    return runs


@functools.lru_cache(maxsize=4096)
def _runs_in(pack: Path, changed: int) -> list[str]:
    del changed  # of the cache
    rows = _select(pack, f"SELECT name FROM sqlar WHERE name GLOB '*/{RECORD}'", "")
    return [name.removesuffix(f"/{RECORD}") for (name,) in rows]


def plain(size: int, data: bytes) -> bytes:
    """Return the content of a file from its size and its data, which may be compressed."""
    return data if len(data) == size else zlib.decompress(data)


def _select(pack: Path, query: str, name: str) -> list[tuple[Any, ...]]:
    try:
        archive = _archive(pack, pack.stat().st_mtime_ns, os.getpid(), threading.get_ident())
        return archive.execute(query, {"name": name}).fetchall()
    except sqlite3.Error as error:
        if not pack.exists():  # closed meanwhile
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(pack)) from error
        raise OSError(errno.EIO, f"{pack} is damaged: {error}") from error


@functools.lru_cache(maxsize=8)
def _archive(pack: Path, changed: int, process: int, thread: int) -> sqlite3.Connection:
    """Return a connection, which may serve neither another process nor another thread."""
    del changed, process, thread  # of the cache
    # a pack that is closed now must not be made anew, empty
    return sqlite3.connect(f"{pack.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
