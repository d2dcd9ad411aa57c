"""Train units of a sweep that losslab plan has made, one after the other."""

from collections.abc import Sequence
from pathlib import Path

from losslab.commands.parser import CodeParser, whole
from losslab.config.errors import cli_errors

EPILOG = """\
Any number of workers may run at once, on any machines that see the folder. A unit that was
interrupted or killed goes on from its last checkpoint. The exit status is 0 if the unit is done
(every unit with --all, or with --next if none is left), 1 if it failed or is not done, 2 for wrong
input, and 130 or 143 if the worker was interrupted.
"""


def main(given: Sequence[str] | None = None) -> int:
    """Train the units that the arguments ask for; return the exit code."""
    parser = CodeParser("the sweep", prog="losslab work", description=__doc__, epilog=EPILOG)
    parser.add_argument("sweep", type=Path, help="folder of the sweep")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--unit", type=whole, metavar="K", help="train unit K")
    chosen.add_argument(
        "--next", action="store_true", help="train the next unit on which no worker works"
    )
    chosen.add_argument(
        "--all", action="store_true", help="train all units on which no worker works, in turn"
    )
    arguments = parser.parse_code_args(given)

    from losslab.work import Worker, show_next_look  # noqa: PLC0415 (--help needs none of it)

    with cli_errors():
        worker = Worker.of(arguments.sweep, trust=arguments.trust)
        if arguments.unit is not None:
            code = worker.train(arguments.unit)
        else:
            code = worker.train_next() if arguments.next else worker.train_all()
        show_next_look(worker.folder)
        return code
