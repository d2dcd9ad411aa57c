"""Errors in the user's input, reported in one line with exit status 2."""

import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from losslab.config.interruption import INTERRUPTED, terminations_interrupt

_PACKAGE = Path(__file__).resolve().parents[1]
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
FRAMEWORKS = (
    *("losslab", "hydra", "hydra_plugins", "omegaconf"),
    *("torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning", "lightning_fabric"),
)
"""losslab and the packages that it is built on, wherever they are installed."""


class UserError(Exception):
    """Error in the user's input; its message, one line, is all that is printed.

    Args:
        message: the message.
        in_python: the message for what was given in Python, if it differs by more than its options.
    """

    def __init__(self, message: str, in_python: str | None = None) -> None:
        super().__init__(message)
        self.in_python = in_python


@contextmanager
def cli_errors() -> Iterator[None]:
    """Print a ``UserError`` in one line and exit with 2.

    If it is interrupted, exit with 130, or with 143 by SIGTERM, SIGUSR1 or SIGUSR2.

    With ``HYDRA_FULL_ERROR=1``, the error is raised.
    """
    try:
        with terminations_interrupt():
            yield
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "interrupted", file=sys.stderr)
        sys.exit(getattr(interruption, "exit_code", INTERRUPTED))


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Name the command that continues, if what is inside the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        raise type(interruption)(f"interrupted; to continue: {command}") from None


def described(error: BaseException) -> str:
    r"""Describe an exception in one line; if the user's code raised it, with type, file and line.

    Example:
        >>> described(ValueError("gamma must be >= 0,\n got -1"))
        'gamma must be >= 0, got -1'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    place = raised_at(error)
    return f"{type(error).__name__}: {text[:300]} ({place})" if place else text


def unreadable(error: BaseException) -> str:
    """Describe in one line why torch cannot read a file without running code in it.

    Example:
        >>> unreadable(ValueError("Unsupported operand 101"))
        'it is damaged, or of another kind'
        >>> unreadable(ValueError("Weights only load failed: GLOBAL torch.nn.Linear was not ..."))
        'it holds objects such as torch.nn.Linear'
    """
    found = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, ImportError | FileNotFoundError | PermissionError):
        return described(error)
    return f"it holds objects such as {found[1]}" if found else "it is damaged, or of another kind"


def raised_at(error: BaseException) -> str:
    """Return the line that raised an exception, such as ``my_losses.py:12``.

    This is the innermost line of the user's own code, else of an installed library other than
    losslab and those that it is built on; empty if there is neither.
    """
    own, installed = "", ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if file.startswith("<") or package in FRAMEWORKS:  # frozen or generated code
            continue
        path = Path(file).resolve()
        library = _library(path)
        if is_own(path):
            own = f"{shown(path)}:{line}"
        elif library is not None:
            installed = f"{library.as_posix()}:{line}"
    return own or installed


def _library(path: Path) -> Path | None:
    """Return the path of an installed library's file below ``site-packages``."""
    for parent in path.parents:
        if parent.name in ("site-packages", "dist-packages"):
            return path.relative_to(parent)
    return None


def is_own(path: Path) -> bool:
    """Return whether a file is the user's, neither losslab's nor of an installed library."""
    return _library(path) is None and not any(
        path.is_relative_to(folder) for folder in (_PACKAGE, _STANDARD_LIBRARY)
    )


def shown(path: Path) -> str:
    """Return a path as messages show it: relative to the current folder if it is inside."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
