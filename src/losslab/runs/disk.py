"""Disks that are full or cannot be written, and files on them."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from losslab.config.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk or a quota without space."""
UNWRITABLE = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG)
"""Errors that say that a folder cannot be written."""


def disk_error(error: BaseException | None) -> OSError | None:
    """Return the error of a disk that cannot be written, behind an exception if there is one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            return error
        error = error.__cause__ or error.__context__
    return None


def unwritable(folder: Path, error: OSError) -> str:
    """Return in one line that a folder cannot be written, why, and how much space is free."""
    return f"cannot write to {folder}: {error.strerror} ({free_space(folder)})"


def free_space(folder: Path) -> str:
    """Return how much space is free where a folder is or would be, such as ``3.5 MiB free``."""
    try:
        while not folder.exists():
            folder = folder.absolute().parent
        return f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB free"
    except (OSError, ValueError):  # ValueError: a null byte
        return "free space unknown"


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Report in one line that a folder cannot be written.

    Raises:
        UserError: if it cannot.
    """
    try:
        yield
    except OSError as error:
        found = disk_error(error)
        if found is None:
            raise
        raise UserError(unwritable(folder, found)) from error


def append(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Append to a file; if there is no space for all of it, leave the file as it was.

    Args:
        path: path of the file.
        content: bytes to append.
        durable: whether to wait until they are on the disk, so that they outlive a power failure.
    """
    with path.open("ab", buffering=0) as file:
        begin, waiting = file.tell(), memoryview(content)
        try:
            while waiting:
                waiting = waiting[file.write(waiting) :]
            if durable:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(begin)
            raise


def overwrite(path: Path, content: bytes) -> None:
    """Write a file in place, which needs no space for a second one; not atomic.

    Raises:
        OSError: if there is no space; the file is as it was.
    """
    before = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        try:
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            file.truncate()
        except OSError:
            file.seek(0)
            file.write(before)
            file.truncate()
            raise
