"""Write a loss of another library as one of ours: losslab convert torch.nn.HuberLoss delta=2."""

import ast
import sys
from collections.abc import Sequence
from typing import Any

from losslab.commands.parser import Parser
from losslab.config.errors import UserError, cli_errors
from losslab.config.groups import nearest_keys
from losslab.dictionary import ROWS, NoCounterpart, convert

WORDS = {"true": True, "false": False, "null": None}


def main(given: Sequence[str] | None = None) -> int:
    """Print the line that equals the loss; notes go to stderr."""
    parser = Parser(prog="losslab convert", description=__doc__)
    parser.add_argument(
        "loss", help="its path, e.g. torch.nn.HuberLoss; docs/dictionary.md has all"
    )
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="as in its own call")
    arguments = parser.parse_args(given)
    with cli_errors():
        known = list(dict.fromkeys(row.theirs for row in ROWS))
        if arguments.loss not in known:
            near = nearest_keys(arguments.loss, known)
            probe = f". What it is: losslab probe loss._target_={arguments.loss}"
            hint = f": did you mean {' or '.join(near)}?" if near else probe
            raise UserError(f"'{arguments.loss}' is not in the dictionary{hint}")
        try:
            line, notes = convert(arguments.loss, _options(arguments.options))
        except NoCounterpart as reason:
            raise UserError(f"no loss of losslab equals {arguments.loss}: {reason}") from reason
    print(line)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _options(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value``, each name once."""
    found: dict[str, Any] = {}
    for name, value in map(_option, texts):
        if name in found:
            raise UserError(f"{name} is given twice")
        found[name] = value
    return found


def _option(text: str) -> tuple[str, Any]:
    """Split ``name=value`` and read the value as Python or YAML write it."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"expected OPTION=VALUE, got '{text}'")
    try:
        return name, WORDS[value] if value in WORDS else ast.literal_eval(value)
    except (ValueError, SyntaxError):  # a name, as in reduction=mean
        return name, value
