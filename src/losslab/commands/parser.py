"""Parser of the options of subcommands."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from losslab.config.errors import cli_errors
from losslab.config.groups import did_you_mean
from losslab.config.user_code import use, without_search_path


class Parser(argparse.ArgumentParser):
    """Parser that reports errors in one line, and names the nearest option."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with 2."""
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            given = message.removeprefix(prefix).partition(" ")[0]
            advice = did_you_mean(given, self._option_string_actions)
            message = f"unknown argument {given}{advice.rstrip('.')}"
        self.exit(2, f"error: {' '.join(message.split())} (--help lists the options)\n")


class CodeParser(Parser):
    """Parser of a command that runs code which a saved folder names.

    Args:
        names: what names the code, for the help of ``--trust``.
        options: those of :class:`argparse.ArgumentParser`.
    """

    def __init__(self, names: str, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument(
            "--trust",
            action="store_true",
            help=f"run any code that {names} names; without it, only losslab's and your own",
        )
        self.add_argument(
            "--config-dir",
            metavar="FOLDER",
            help="folder of configs; code beside it may be run",
        )

    def parse_code_args(self, given: Sequence[str] | None) -> argparse.Namespace:
        """Parse the arguments, and make the user's folders known."""
        with cli_errors():
            given = use(list(sys.argv[1:] if given is None else given))
        return self.parse_args(without_search_path(given))


def prints_help(arguments: Sequence[str], text: str | None) -> bool:
    """Print the help of a command without options, if the arguments ask for it; return whether.

    Args:
        arguments: arguments of the command.
        text: docstring of its module.
    """
    if not {"--help", "-h"} & set(arguments):
        return False
    print(text)
    return True


def whole(text: str) -> int:
    """Convert a text to a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text}")
    return int(text)


def share(text: str) -> tuple[int, int]:
    """Convert ``PART/PARTS`` to two numbers, the first below the second."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise argparse.ArgumentTypeError(f"must be PART/PARTS, such as 0/2, got {text}")
    return int(part), int(parts)
