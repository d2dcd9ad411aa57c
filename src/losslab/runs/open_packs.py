"""Open packs: the runs of a stack in training in one file.

A hundred stacked runs have nine files each, of which records and checkpoints are written anew at
each save. A shared file system would have to create and remove thousands of files an hour for each
worker. Therefore the process that holds the unit's claim trains the runs in a private folder on its
own disk (``TMPDIR``), and whenever the stack is saved it copies them into the unit's open pack.

The pack is kept in the private folder, too. A save writes there the files that have changed, and
then copies it to the sweep under another name, which replaces the open pack as a whole. Appending
to the open pack would write less, but readers on other hosts would see parts of a change, or would
need locks, which network file systems do not keep reliably. The copy is one file, written in one
go, of the size of what a stack saves anyway; and at most a fiftieth of the time is spent on it
(``SAVE_SHARE`` in :mod:`losslab.lockstep.rows`).

A process that is killed loses what it did since the last save. Whoever claims the unit next goes on
from the open pack. It also removes private folders that such processes have left on its disk.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from losslab.config.interruption import uninterrupted
from losslab.runs.claims import Claim, TakenOver, claim, latest_claim
from losslab.runs.disk import writing_to
from losslab.runs.files import FileError
from losslab.runs.folder import SWEEP_FILE, remove
from losslab.runs.packing import (
    FILES,
    INSERT,
    archive,
    committed,
    files_of,
    remove_run,
    replacing,
    row,
    write_files,
)
from losslab.runs.packs import RECORD, open_pack_file

PRIVATE = "losslab-unit-"
"""Begin of the names of private folders."""
ARCHIVE = "unit.sqlar"
"""Open pack in a private folder."""


class OpenPack:
    """Open pack of a unit, see :func:`open_pack`.

    Args:
        sweep: folder of the sweep.
        pack: path of the pack.
        held: claim of the unit.
        folder: private folder.
        content: archive in it.
    """

    def __init__(
        self, sweep: Path, pack: Path, held: Claim, folder: Path, content: sqlite3.Connection
    ) -> None:
        self._sweep, self._pack, self._held = sweep, pack, held
        self._folder, self._content = folder, content
        self._places: list[Path] = []
        self._written: dict[Path, tuple[int, ...]] = {}

    def place(self, run: Path) -> Path:
        """Return the folder in which a run of the unit is trained, with the files that it has.

        A run that another command has begun in its folder goes on there.

        Raises:
            UserError: if there is no space for them.
        """
        if (run / RECORD).exists():
            return run
        if run.exists():
            remove_run(run)  # left by a process that was killed before it wrote the record
        name = run.relative_to(self._sweep).as_posix()
        place = self._folder / name
        with writing_to(self._folder):
            write_files(self._content.execute(FILES, {"name": name}), place)
        self._places.append(place)
        self._written |= {path: _stamp(path) for path in files_of(place)}
        return place

    def publish(self) -> None:
        """Write the runs, as they are now, to the open pack.

        Raises:
            TakenOver: if another process took the unit over.
            OSError: if there is no space.
        """
        self._held.require()
        self._update()
        with replacing(self._pack) as temporary:
            shutil.copyfile(self._folder / ARCHIVE, temporary)

    def _update(self) -> None:
        """Write the files that have changed to the archive."""
        found = {path: _stamp(path) for place in self._places for path in files_of(place)}
        gone = [path for path in self._written if path not in found]
        changed = [path for path, stamp in found.items() if self._written.get(path) != stamp]
        names = [(path.relative_to(self._folder).as_posix(),) for path in gone]
        with committed(self._content, self._folder / ARCHIVE):
            self._content.executemany("DELETE FROM sqlar WHERE name = ?", names)
            self._content.executemany(INSERT, (row(path, self._folder) for path in changed))
        self._written = found


@contextmanager
def open_pack(sweep: Path, number: int, held: Claim) -> Iterator[OpenPack]:
    """Keep the runs of a unit in its open pack while they are trained in the block.

    Args:
        sweep: folder of the sweep.
        number: number of the unit.
        held: its claim, which this process has.
    """
    _remove_abandoned()
    pack = open_pack_file(sweep, number)
    pack.parent.mkdir(exist_ok=True)
    remove(pack.parent.glob(f".{pack.name}.*.tmp"))  # of a process that was killed
    with tempfile.TemporaryDirectory(prefix=PRIVATE) as name, claim(Path(name)):
        folder = Path(name)
        shutil.copyfile(sweep / SWEEP_FILE, folder / SWEEP_FILE)  # by which runs know their sweep
        if pack.exists():
            shutil.copyfile(pack, folder / ARCHIVE)
            _require_whole(folder / ARCHIVE, pack)
        with archive(folder / ARCHIVE) as content:
            opened = OpenPack(sweep, pack, held, folder, content)
            try:
                yield opened
            finally:
                with uninterrupted(), suppress(TakenOver):
                    opened.publish()


def _require_whole(copy: Path, pack: Path) -> None:
    """Check the copy of a pack.

    Raises:
        FileError: if the pack is damaged.
    """
    try:
        with closing(sqlite3.connect(copy)) as content:
            [(found,)] = content.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise FileError(pack, f"is damaged: {found}; remove it to train its runs again")


def _remove_abandoned() -> None:
    """Remove the private folders of processes that are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PRIVATE}*"):
        with suppress(OSError):  # of another user
            latest = latest_claim(folder)
            if latest is not None and not latest.is_live():
                shutil.rmtree(folder)


def _stamp(path: Path) -> tuple[int, ...]:
    """Return numbers that differ once a file has changed."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
