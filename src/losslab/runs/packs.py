"""Packs: the runs of a finished unit of a sweep in one file, ``units/<number>.sqlar``.

Ten thousand runs have eighty thousand files, which shared file systems are slow to list and back
up. A pack is an SQLite archive, as the program ``sqlite3`` writes and lists them (``sqlite3 1.sqlar
-At``), with names relative to the sweep's folder. It is written under another name first and never
changed, so that any number of processes can read it without locks, on any file system.

A file on disk comes before the packed one, such as that of a run that was exported.
"""

import errno
import functools
import io
import os
import shutil
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

UNITS = "units"
"""Folder of the claims and packs of a sweep's units, in the sweep's folder."""
ENDING = ".sqlar"
RECORD = "record.json"
"""File by which a folder is known as that of a run."""

TABLE = "CREATE TABLE sqlar(name TEXT PRIMARY KEY, mode INT, mtime INT, sz INT, data BLOB)"
COMPRESSED = (".ckpt", ".npz", ".png")
"""Endings of files that compression would hardly make smaller."""
SETTLED_AFTER = 2.0
"""Seconds after which a change of a folder changes its time: file systems round it."""


def pack_file(sweep: Path, number: int) -> Path:
    """Return the path of the pack of a unit."""
    return sweep / UNITS / f"{number}{ENDING}"


def write_pack(sweep: Path, number: int, runs: Iterable[Path]) -> None:
    """Move the folders of a unit's runs, on which no process works, into its pack.

    Args:
        sweep: folder of the sweep.
        number: number of the unit.
        runs: folders of its runs.
    """
    pack, runs = pack_file(sweep, number), list(runs)
    temporary = pack.with_name(f".{pack.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with closing(_connect(temporary, "nolock=1")) as archive:
            archive.execute(TABLE)
            rows = (row for run in runs for row in _rows(run, sweep))
            archive.executemany("INSERT INTO sqlar VALUES (?, ?, ?, ?, ?)", rows)
            archive.commit()
    except sqlite3.Error as error:  # a full disk
        temporary.unlink(missing_ok=True)
        raise OSError(errno.ENOSPC, f"cannot write {pack}: {error}") from error
    temporary.replace(pack)
    for run in runs:
        (run / RECORD).unlink()  # from here on the run is the packed one
        shutil.rmtree(run)
        with suppress(OSError):  # other runs of the job are left
            run.parent.rmdir()


def unpack(run: Path) -> None:
    """Write the files of a packed run to its folder, the record last: until then it is packed.

    A run that is on disk stays as it is.
    """
    found = None if (run / RECORD).exists() else _found(run)
    if found is None:
        return
    pack, name = found
    rows = _select_in(pack, name, "name, mtime, sz, data")
    for full, modified, size, data in sorted(rows, key=lambda row: row[0] == f"{name}/{RECORD}"):
        path = run / full.removeprefix(f"{name}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(_plain(size, data))
        os.utime(temporary, (modified, modified))
        temporary.replace(path)


def is_packed(run: Path) -> bool:
    """Return whether a run is in a pack, and not on disk."""
    return not (run / RECORD).exists() and _found(run) is not None


def packed_runs(sweep: Path) -> list[Path]:
    """Return the folders that the packed runs of a sweep would have."""
    return [sweep / name for name in _packs(sweep)]


def runs_within(folder: Path) -> list[Path]:
    """Return those of the packed runs that would be in a folder of a sweep, or are that folder."""
    place = folder.absolute()
    runs = (run for sweep in place.parents for run in packed_runs(sweep))
    return [folder / run.relative_to(place) for run in runs if run.is_relative_to(place)]


def exists(path: Path) -> bool:
    """Return whether a file of a run exists, on disk or in a pack."""
    if path.exists():
        return True
    found = _found(path)
    return found is not None and bool(
        _select(found[0], "SELECT 1 FROM sqlar WHERE name = ?", found[1])
    )


def packed(path: Path) -> bytes | None:
    """Return the content of a packed file; ``None`` if there is none of this path.

    Raises:
        OSError: if its pack is damaged.
    """
    found = _found(path)
    if found is None:
        return None
    pack, name = found
    rows = _select(pack, "SELECT sz, data FROM sqlar WHERE name = ?", name)
    return _plain(*rows[0]) if rows else None


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
    if found := _found(folder):
        pack, name = found
        inner = [row[0].removeprefix(f"{name}/") for row in _select_in(pack, name, "name")]
        names |= {each for each in inner if each.endswith(ending) and "/" not in each}
    return [folder / each for each in sorted(names)]


def _found(path: Path) -> tuple[Path, str] | None:
    """Return the pack of the run that a path is or belongs to, and its name there."""
    place = path.absolute()
    for sweep in place.parents:
        runs = _packs(sweep)
        if not runs:
            continue
        name = place.relative_to(sweep)
        for run in (name, *name.parents):
            if pack := runs.get(run.as_posix()):
                return pack, name.as_posix()
    return None


def _packs(sweep: Path) -> Mapping[str, Path]:
    """Return the packs of a sweep's runs, by the names of the runs."""
    units = sweep / UNITS
    try:
        changed = units.stat().st_mtime
    except OSError:
        return {}
    settled = abs(time.time() - changed) > SETTLED_AFTER
    return _index(units, changed) if settled else _index.__wrapped__(units, changed)


@functools.lru_cache(maxsize=64)
def _index(units: Path, changed: float) -> Mapping[str, Path]:
    del changed  # of the cache
    packs = sorted(units.glob(f"[0-9]*{ENDING}"))
    return {run: pack for pack in packs for run in _runs_in(pack, pack.stat().st_mtime_ns)}


@functools.lru_cache(maxsize=4096)
def _runs_in(pack: Path, changed: int) -> list[str]:
    del changed  # of the cache
    rows = _select(pack, "SELECT name FROM sqlar WHERE name GLOB ?", f"*/{RECORD}")
    return [name.removesuffix(f"/{RECORD}") for (name,) in rows]


def _rows(run: Path, sweep: Path) -> Iterator[tuple[str, int, int, int, bytes]]:
    for path in sorted(run.rglob("*")):
        passing = path.name.endswith(".tmp") or path.name.startswith("claim.")
        if path.is_file() and not passing:
            content, status = path.read_bytes(), path.stat()
            data = content if path.suffix in COMPRESSED else zlib.compress(content)
            # what is as long as its size is not compressed
            data = data if len(data) < len(content) else content
            name = path.relative_to(sweep).as_posix()
            yield name, status.st_mode, int(status.st_mtime), len(content), data


def _plain(size: int, data: bytes) -> bytes:
    return data if len(data) == size else zlib.decompress(data)


def _select_in(pack: Path, folder: str, columns: str) -> list[tuple[Any, ...]]:
    """Select files in a folder; in the order of names, the character after / is 0."""
    query = f"SELECT {columns} FROM sqlar WHERE name >= ? AND name < ?"
    return _select(pack, query, f"{folder}/", f"{folder}0")


def _select(pack: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    try:
        archive = _archive(pack, pack.stat().st_mtime_ns, os.getpid(), threading.get_ident())
        return archive.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise OSError(errno.EIO, f"{pack} is damaged: {error}") from error


@functools.lru_cache(maxsize=8)
def _archive(pack: Path, changed: int, process: int, thread: int) -> sqlite3.Connection:
    """Return a connection, which may serve neither another process nor another thread."""
    del changed, process, thread  # of the cache
    return _connect(pack, "immutable=1")


def _connect(path: Path, option: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{option}", uri=True)
