"""Tune losses equally and compare them.

usage: losslab tune loss=focal,hinge protocol=tuned

Arguments: loss=a,b,c, protocol=controlled (tune the options of each loss) or tuned (also the
learning rate), budget=20 points per loss, seeds=range(8) and tuning_seeds=1000,1001 (which must not
overlap), and any overrides that all runs share. resume=FOLDER continues an interrupted tuning.
"""

import sys
from collections.abc import Sequence

from losslab.config.user_code import use


def main(given: Sequence[str] | None = None) -> int:
    """Tune the losses that the arguments name; return the exit code."""
    arguments = use(list(sys.argv[1:] if given is None else given))
    if not arguments or {"--help", "-h"} & set(arguments):
        print(__doc__)
        return 0 if arguments else 2

    from losslab.config.errors import cli_errors  # noqa: PLC0415 (--help needs none of it)
    from losslab.tuning import run_tuning  # noqa: PLC0415

    with cli_errors():
        return run_tuning(arguments)
