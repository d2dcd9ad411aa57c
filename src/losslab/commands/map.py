"""Map which loss is best where: a sweep over two options, and a figure of regions.

usage: losslab map loss=mse,mae,huber x=data.outliers:0:0.3:7 y=data.n:50:2000:6:log [KEY=VALUE ...]
       losslab map resume=FOLDER [seeds=range(20)]
       losslab map FOLDER

options:
  loss=A,B,...         two to six losses
  x=OPTION:LOW:HIGH:STEPS[:log]
                       horizontal axis: any number among the options of data, model, optimizer,
                       scheduler, regularizer, trainer or task; with :log, steps of equal ratio
  y=...                vertical axis, the same
  seeds=range(20)      seeds of each loss in each cell (default: as many as the comparisons of all
                       cells need, so that differences can be significant)
  KEY=VALUE            any other option, for all runs: task.metrics=[rmse,mae], the first of which
                       decides. experiment=maps/NAME takes losses and axes from a file. Without
                       callbacks= and logger=, runs write no figures and events
  --dry-run            only say how many seeds and runs that takes, and estimate the time
  --config-dir FOLDER  folder with configs of your own
  resume=FOLDER        train what is left of a map, with more seeds or another hydra/launcher=
  FOLDER               draw a map again from the runs that are done

A loss is established as the best of a cell if it is better there than each other loss, corrected
for all pairs of losses in all cells; other cells are hatched. The folder of a map is that of a
sweep (losslab work, losslab report), with map.png, map.svg, map.csv and map.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from losslab.commands.parser import prints_help
from losslab.config.errors import cli_errors
from losslab.config.user_code import use

DRY_RUN = "--dry-run"


def main(given: Sequence[str] | None = None) -> int:
    """Make, resume or draw the map that the arguments name; return the exit code."""
    arguments = use(list(sys.argv[1:] if given is None else given))
    if prints_help(arguments, __doc__):
        return 0

    from losslab.mapping import redraw, run_map  # noqa: PLC0415 (--help needs none of it)

    with cli_errors():
        match arguments:
            case [folder] if "=" not in folder and not folder.startswith("-"):
                return redraw(Path(folder))
        others = [argument for argument in arguments if argument != DRY_RUN]
        return run_map(others, dry_run=DRY_RUN in arguments)
