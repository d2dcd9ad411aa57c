"""Errors in the user's input, reported in one line with exit status 2."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Error in the user's input; its message, one line, is all that is printed."""


@contextmanager
def cli_errors() -> Iterator[None]:
    """Print a ``UserError`` in one line and exit with 2; exit with 130 if interrupted.

    With ``HYDRA_FULL_ERROR=1``, the error is raised.
    """
    try:
        yield
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "interrupted", file=sys.stderr)
        sys.exit(130)


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Name the command that continues, if what is inside the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; to continue: {command}") from None
