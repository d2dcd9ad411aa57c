"""Tune losses alike and compare them.

usage: losslab tune loss=focal,hinge protocol=tuned

Arguments: loss=a,b,c, protocol=controlled (the losses' own options) or tuned (the learning rate
too), budget=20 points a loss, seeds=range(8) and tuning_seeds=1000,1001 (no seed in both), and any
overrides that all runs share. resume=FOLDER goes on with a tuning that was stopped.
"""

import sys
from collections.abc import Sequence

from losslab.config.user_code import use


def main(given: Sequence[str] | None = None) -> int:
    """Tune, and say in one line what is wrong."""
    arguments = use(list(sys.argv[1:] if given is None else given))
    if not arguments or {"--help", "-h"} & set(arguments):
        print(__doc__)
        return 0 if arguments else 2

    from losslab.config.errors import cli_errors  # noqa: PLC0415 (--help needs none of it)
    from losslab.tuning import run  # noqa: PLC0415

    with cli_errors("interrupted; go on with resume=FOLDER"):
        return run(arguments)
