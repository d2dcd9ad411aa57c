"""What was found in all files of a data set, kept on disk, so that the next command starts at once.

A file of the cache is named by a hash of paths, sizes and times of the data set's files, of how
they are read, and of the versions that read them: once one of these has changed, it is no longer
found. Whatever prevents reading or writing the cache only costs the time that it would save.
"""

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

import numpy as np
import PIL
import torch

from losslab.data.content import Content, Statistics
from losslab.data.files import Changes

FOLDER = "LOSSLAB_CACHE"
"""Environment variable of the folder; an empty one turns the cache off."""
VERSION = 1
"""Number of the format, and of what a look at a sample finds."""
MOST_FILES = 20
"""Files that are kept, those used last."""
COLUMNS = ("means", "spreads", "lows", "highs")
DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    *(ValueError, KeyError, TypeError, AttributeError),
)
"""What reading a damaged file, or one of something else, raises."""


def folder() -> Path | None:
    """Return the folder of the cache; ``None`` if there is none."""
    given = os.environ.get(FOLDER)
    if given == "":
        return None
    try:
        common = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "losslab")
        return Path(given or common).expanduser().absolute()
    except RuntimeError:  # nobody's home is known
        return None


def name_of(key: Hashable, *, moments: bool) -> str:
    """Return the name of the file for samples with this key."""
    versions = VERSION, PIL.__version__, torch.__version__, np.__version__
    text = repr((key, moments, versions)).encode()
    return f"content-{hashlib.blake2b(text, digest_size=16).hexdigest()}.npz"


def load(name: str) -> Content | None:
    """Return what is kept in a file; ``None`` if there is none, or it is damaged."""
    if (place := folder()) is None:
        return None
    file = place / name
    try:
        with np.load(file, allow_pickle=False) as arrays:
            text = json.loads(arrays["text"].tobytes())
            statistics = None
            if text["numbers"] is not None:
                statistics = Statistics(
                    **{each: arrays[each] for each in COLUMNS}, numbers=text["numbers"]
                )
            changes = Changes({what: tuple(each) for what, each in text["changes"].items()})
            content = Content(arrays["digests"], statistics, text["found"], changes)
    except DAMAGED:
        return None
    with suppress(OSError):
        os.utime(file)  # used last, for `_keep_last`
    return content


def save(name: str, content: Content) -> None:
    """Keep what was found, whole or not at all."""
    place = folder()
    if place is None:
        return
    statistics = content.statistics
    text = {
        "numbers": None if statistics is None else statistics.numbers,
        "changes": content.changes.counted,
        "found": content.found,
    }
    arrays = {} if statistics is None else {each: getattr(statistics, each) for each in COLUMNS}
    packed = io.BytesIO()
    np.savez(
        packed,
        text=np.frombuffer(json.dumps(text).encode(), dtype=np.uint8),
        digests=content.digests,
        **arrays,
    )
    with suppress(OSError):  # a folder that is read-only, or full
        place.mkdir(parents=True, exist_ok=True)
        _write(place / name, packed.getvalue())
        _keep_last(place)


def _write(file: Path, data: bytes) -> None:
    handle, other = mkstemp(dir=file.parent, prefix="content-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
        Path(other).replace(file)
    except BaseException:
        Path(other).unlink()
        raise


def _keep_last(place: Path) -> None:
    """Remove all files but those that were used last."""
    files = sorted(place.glob("content-*"), key=lambda file: file.stat().st_mtime)
    for file in files[:-MOST_FILES]:
        file.unlink(missing_ok=True)
