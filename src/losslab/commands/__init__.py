"""Subcommands: ``losslab compare FOLDER``. Everything else on the command line is Hydra's."""

import importlib
from collections.abc import Sequence

from losslab.config.errors import UserError
from losslab.config.groups import nearest

COMMANDS = {
    "compare": "Compare the losses of any runs",
    "evaluate": "Evaluate a run's checkpoint anew",
    "tune": "Tune losses alike and compare them",
    "gallery": "Try the claims of the gallery",
}
"""Each is a module of this package with ``main(arguments)``; it is imported when it is called."""


def is_command(arguments: Sequence[str]) -> bool:
    """Return whether a command line begins with a subcommand: no override and no flag.

    Example:
        >>> is_command(["compare", "logs"]), is_command(["loss=mse"]), is_command(["-m"])
        (True, False, False)
    """
    return bool(arguments) and "=" not in arguments[0] and arguments[0][:1] not in ("-", "+", "~")


def run_command(arguments: Sequence[str]) -> int:
    """Run the subcommand that the arguments begin with, and return its exit code.

    Raises:
        UserError: if there is no such subcommand.
    """
    name, *rest = arguments
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise UserError(f"unknown command '{name}'{nearest(name, COMMANDS)} Known: {known}")
    code: int = importlib.import_module(f"losslab.commands.{name}").main(rest)
    return code
