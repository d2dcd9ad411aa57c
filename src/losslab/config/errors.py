"""Errors in the user's input, reported in one line with exit status 2."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Error in the user's input; its message, one line, is all that is printed."""


@contextmanager
def cli_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """Print a ``UserError`` in one line and exit with 2; exit with 130 if interrupted.

    With ``HYDRA_FULL_ERROR=1``, the error is raised.

    Args:
        interrupted: message for an interruption.
    """
    try:
        yield
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        sys.exit(130)
