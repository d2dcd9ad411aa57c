"""Errors that a user sees: one line, exit status 2."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """What the user asked for cannot be run; the message is the one line that they see."""


@contextmanager
def cli_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """Around a whole command: wrong input is one line and exit status 2, an interruption 130.

    ``HYDRA_FULL_ERROR=1`` gives the trace.
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
