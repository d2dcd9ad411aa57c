"""Tune losses equally, then compare their best settings on other seeds and unseen test samples.

usage: losslab tune loss=focal,hinge [protocol=tuned budget=20 KEY=VALUE ...]
       losslab tune resume=FOLDER

options:
  loss=A,B,...         losses to tune; with a single one, its best setting is trained and described,
                       and nothing is compared
  protocol=controlled  tune the options of each loss and share everything else (default)
  protocol=tuned       tune the learning rate, too
  budget=20            number of settings to try per loss, the first of them its default setting
  sampler=sobol        points of one Sobol sequence for all losses (default)
  sampler=optuna       after 10 points, those that optuna's TPE chooses by the results so far
                       (pip install 'losslab[optuna]')
  tuning_seeds=1000,1001,1002
                       seeds of the search; every setting is trained with each of them
  seeds=range(8)       seeds of the final runs, none of them of the search (default: as many as the
                       comparisons need); seeds=8 is the one seed 8
  KEY=VALUE            any other option, for all runs: data=digits trainer.max_epochs=20. An option
                       of a loss, or optimizer.lr, that is set here is not tuned
  --config-dir FOLDER  folder with configs of your own
  resume=FOLDER        continue an interrupted tuning, or help the processes that work on it;
                       hydra/launcher=... continues on another engine, and trust=true runs any code
                       that its plan names

The search makes losses x budget x tuning_seeds runs and chooses by validation, the final comparison
losses x seeds. If seeds divide the same samples into splits, data.test_split_seed=0 is added: the
test split is then the same for all seeds, and the search never sees its samples.
"""

import sys
from collections.abc import Sequence

from losslab.commands.parser import prints_help
from losslab.config.errors import cli_errors
from losslab.config.user_code import use


def main(given: Sequence[str] | None = None) -> int:
    """Tune the losses that the arguments name; return the exit code."""
    arguments = use(list(sys.argv[1:] if given is None else given))
    if prints_help(arguments, __doc__):
        return 0

    from losslab.tuning import run_tuning  # noqa: PLC0415 (--help needs none of it)

    with cli_errors():
        return run_tuning(arguments)
