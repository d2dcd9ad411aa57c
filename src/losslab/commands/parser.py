"""Parser of the options of subcommands."""

import argparse
from typing import NoReturn

from losslab.config.groups import did_you_mean


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
