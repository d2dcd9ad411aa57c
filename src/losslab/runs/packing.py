"""Write runs to packs, and back to their folders; see :mod:`losslab.runs.packs`."""

import errno
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from losslab.config.errors import UserError
from losslab.runs.claims import PREFIX, Claimed, claim
from losslab.runs.folder import remove
from losslab.runs.packs import (
    BELOW,
    RECORD,
    WITHIN,
    find_pack,
    is_open,
    open_pack_file,
    pack_file,
    plain,
    select,
    sweep_of,
)
from losslab.runs.saved_units import claims_of

TABLE = (
    "CREATE TABLE IF NOT EXISTS "
    "sqlar(name TEXT PRIMARY KEY, mode INT, mtime INT, sz INT, data BLOB)"
)
INSERT = "REPLACE INTO sqlar VALUES (?, ?, ?, ?, ?)"
FILES = f"SELECT {BELOW}, mtime, sz, data FROM sqlar WHERE {WITHIN}"
"""Query of the files in a folder, as :func:`write_files` takes them."""
COMPRESSED = (".ckpt", ".npz", ".png")
"""Endings of files that compression would hardly make smaller."""


def write_pack(sweep: Path, number: int, runs: Iterable[Path]) -> None:
    """Move the runs of a unit, on which no process works, into its pack.

    Args:
        sweep: folder of the sweep.
        number: number of the unit.
        runs: folders of its runs, which exist or are in the unit's open pack.
    """
    pack, opened = pack_file(sweep, number), open_pack_file(sweep, number)
    on_disk = [run for run in runs if (run / RECORD).exists()]
    if opened.exists() and not on_disk:
        opened.replace(pack)
        return
    with replacing(opened if opened.exists() else pack) as temporary:
        if opened.exists():
            shutil.copyfile(opened, temporary)
        with archive(temporary) as content, committed(content, pack):
            for run in on_disk:
                name = run.relative_to(sweep).as_posix()
                content.execute(f"DELETE FROM sqlar WHERE {WITHIN}", {"name": name})
                content.executemany(INSERT, (row(path, sweep) for path in files_of(run)))
    if opened.exists():
        opened.replace(pack)
    for run in on_disk:
        (run / RECORD).unlink()  # from here on the run is the packed one
        remove_run(run)


def unpack(run: Path, *, held: bool = False) -> None:
    """Write the files of a packed run to its folder, the record last: until then it is packed.

    A run that is on disk stays as it is.

    Args:
        run: folder of the run.
        held: whether this process holds the claim of its unit.

    Raises:
        UserError: if another process trains it.
    """
    pack = None if (run / RECORD).exists() else find_pack(run)
    if pack is None:
        return
    if held or not is_open(pack):
        write_files(select(run, FILES), run)
        return
    try:
        # a copy of a run in training would hide what is saved later
        with claim(claims_of(sweep_of(pack), int(pack.stem))):
            unpack(run, held=True)
    except Claimed as error:
        raise UserError(str(error)) from error


def write_files(rows: Iterable[tuple[str, int, int, bytes]], folder: Path) -> None:
    """Write files to a folder, the record last.

    Args:
        rows: name in the folder, time of change, size and data of each file.
        folder: the folder.
    """
    for name, modified, size, data in sorted(rows, key=lambda row: row[0] == RECORD):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(plain(size, data))
        os.utime(temporary, (modified, modified))
        temporary.replace(path)


def files_of(run: Path) -> list[Path]:
    """Return the files of a run that are packed."""
    return [
        path
        for path in sorted(run.rglob("*"))
        if not (path.name.endswith(".tmp") or path.name.startswith(PREFIX)) and path.is_file()
    ]


def row(path: Path, sweep: Path) -> tuple[str, int, int, int, bytes]:
    """Return the row of a file."""
    content, status = path.read_bytes(), path.stat()
    data = content if path.suffix in COMPRESSED else zlib.compress(content)
    # what is as long as its size is not compressed
    data = data if len(data) < len(content) else content
    name = path.relative_to(sweep).as_posix()
    return name, status.st_mode, int(status.st_mtime), len(content), data


def remove_run(run: Path) -> None:
    """Remove the folder of a run, and that of its job if no other run is left."""
    shutil.rmtree(run)
    with suppress(OSError):
        run.parent.rmdir()


@contextmanager
def archive(path: Path) -> Iterator[sqlite3.Connection]:
    """Open or create an archive that no other process opens.

    Raises:
        OSError: if there is no space.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?nolock=1", uri=True)) as content:
        with _told(path):
            # without a second file, and without waiting for the disk
            content.execute("PRAGMA journal_mode = MEMORY")
            content.execute("PRAGMA synchronous = OFF")
            content.execute(TABLE)
        yield content


@contextmanager
def committed(content: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Write all changes of an archive that are made in the block, or none.

    Raises:
        OSError: if there is no space.
    """
    with _told(path), content:
        yield


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raise errors of SQLite as those of a full disk, which they are but for damage."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.ENOSPC, f"cannot write {path}: {error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write, which replaces another one at the end; remove it if that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove([temporary])
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        remove([temporary])
        raise
