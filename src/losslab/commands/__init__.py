"""Subcommands such as ``losslab compare FOLDER``; other command lines are Hydra's."""

import importlib
from collections.abc import Sequence

from losslab.config.errors import UserError
from losslab.config.groups import did_you_mean

COMMANDS = {
    "compare": "Compare the losses of any runs",
    "evaluate": "Evaluate a checkpoint of a run",
    "plan": "Divide a sweep into units without training them",
    "work": "Train units of a planned sweep",
    "report": "Compare the runs of a sweep, also while others run",
    "export": "Write packed runs of a sweep back to their folders",
    "tune": "Tune losses equally and compare them",
    "map": "Map which loss is best where, over two options",
    "lr_find": "Find learning rates for losses",
    "gallery": "Test the claims of the gallery",
    "probe": "Find out what a loss estimates and accepts",
    "information": "Compute the entropy and cross-entropy of known distributions",
    "convert": "Write a loss of another library as one of ours",
}
"""Description by name; each is a module of this package, imported when it is called."""


def is_command(arguments: Sequence[str]) -> bool:
    """Return whether a command line begins with a subcommand, not an override or a flag.

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
        raise UserError(f"unknown command '{name}'{did_you_mean(name, COMMANDS)} Known: {known}")
    code: int = importlib.import_module(f"losslab.commands.{name}").main(rest)
    return code
