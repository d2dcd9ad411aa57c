"""Find learning rates: a short training of each loss whose learning rate grows from step to step.

usage: losslab lr_find loss=bce,focal [data=segmentation start=1e-7 end=10 steps=100 KEY=VALUE ...]

options:
  loss=A,B,...         losses to try, one curve each, since they differ in scale
  start=1e-7 end=10    first and last learning rate
  steps=100            number of steps between them
  KEY=VALUE            any other option of a run: data=digits model=mlp optimizer=sgd seed=1. With
                       several values, one curve each
  --config-dir FOLDER  folder with configs of your own

All losses start from the same weights and see the same batches. Nothing trained is kept, and
validation and test are not read. Each loss gets two suggestions, as in fastai: the valley,
half-way down the longest fall, and the steepest point. A figure and tables are written to
logs/lr_find.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from losslab.commands.parser import prints_help
from losslab.config.errors import UserError, cli_errors
from losslab.config.user_code import use
from losslab.torch_import import import_torch

OWN = ("start", "end", "steps")


def main(given: Sequence[str] | None = None) -> int:
    """Make the range test of the losses that the arguments name; return the exit code."""
    arguments = use(list(sys.argv[1:] if given is None else given))
    if prints_help(arguments, __doc__):
        return 0
    with cli_errors():
        return find(arguments)


def find(arguments: Sequence[str]) -> int:
    """Find the learning rates, print them and write the figure.

    Raises:
        UserError: if an argument is invalid.
    """
    # --help needs none of it
    from losslab.config.command import Command, split_own  # noqa: PLC0415
    from losslab.config.expansion import complete, jobs_of  # noqa: PLC0415
    from losslab.config.jobs import compose_jobs  # noqa: PLC0415
    from losslab.config.overrides import refuse_rate, require_distinct  # noqa: PLC0415
    from losslab.config.typed_jobs import run_overrides  # noqa: PLC0415
    from losslab.fitting import with_losses  # noqa: PLC0415
    from losslab.job_checks import (  # noqa: PLC0415
        refuse_mixture,
        require_log_dir,
        require_possible,
    )
    from losslab.runs.disk import writing_to  # noqa: PLC0415
    from losslab.runs.folder import own_names  # noqa: PLC0415

    own, overrides = split_own(arguments, OWN, "lr_find")
    limits: dict[str, Any] = {name: _number(name, value) for name, value in own.items()}
    require_distinct(overrides)
    refuse_rate(overrides)
    overrides = complete(with_losses(overrides))
    jobs = compose_jobs(jobs_of(overrides))
    refuse_mixture(Command([], overrides, multirun=True, resume=None), jobs)
    names = own_names([run_overrides(job.overrides) for job in jobs])
    if len({job.config.seed for job in jobs}) > 1 or len(set(names)) < len(names):
        raise UserError("lr_find takes one seed, and each loss with its options once")
    for job in jobs:
        require_possible(job.options)
    log_dir = str(jobs[0].config.paths.log_dir)
    require_log_dir(log_dir)

    import_torch()
    from losslab.range_test import Span, find_rates  # noqa: PLC0415 (torch)

    span = Span(**limits)
    found = find_rates({name: job.config for name, job in zip(names, jobs, strict=True)}, span)
    print(f"learning rates on {found.data}, seed {found.seed}: up to {span.steps} steps per loss\n")
    print(f"{found}\n")
    folder = Path(log_dir, "lr_find", f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
    with writing_to(folder):
        figure, *_ = found.save(folder)
    print(f"figure: {figure}")
    return 0


def _number(name: str, value: str) -> float:
    """Read start, end or steps."""
    try:
        return int(value) if name == "steps" else float(value)
    except ValueError:
        kind = "a whole number" if name == "steps" else "a number"
        raise UserError(f"{name} must be {kind}, got {value or 'nothing'}") from None
