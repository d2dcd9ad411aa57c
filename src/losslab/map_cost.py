"""Cost of a map before it starts: a few of its cells are trained for some epochs in a trial."""

import io
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from losslab.config.jobs import compose_jobs
from losslab.job_checks import placed
from losslab.map_plan import MapPlan
from losslab.runs.check import is_finished
from losslab.torch_import import import_torch

EPOCHS = "trainer.max_epochs"

MOST_EPOCHS = 10
"""Largest number of epochs that a cell is tried for."""

LONG, FEW_SEEDS = 10.0, 2
"""Seconds for one epoch of a cell above which only some seeds are tried: such networks take as long
in a small stack as in a large one."""

Jobs = Sequence[Sequence[str]]


def estimated_seconds(plan: MapPlan) -> float | None:
    """Estimate the processor time that the runs of a map take on this machine.

    It is what one process takes if no other needs the processor.

    The first, the middle and the last cell of the diagonal are tried with all losses, in one stack
    if they can be. Two numbers of epochs tell what an epoch takes and what the rest does;
    the mean over cells is that of Simpson's rule along the diagonal. The stacks of the map are
    larger if they can be, and then take less time per run.

    Returns:
        The time; ``None`` if the number of epochs is not fixed, or a trial fails.
    """
    with (
        TemporaryDirectory() as folder,
        redirect_stderr(io.StringIO()),
        redirect_stdout(io.StringIO()),
    ):
        weights, seeds = _weights(plan), plan.saved.seeds
        # the first training also loads and compiles
        first = _seconds(plan.jobs_at(*next(iter(weights)), seeds), 1, Path(folder, "first"))
        tried = seeds if first is None or first < LONG else seeds[:FEW_SEEDS]
        found = [
            _of_cell(plan.jobs_at(*place, tried), Path(folder, str(number)))
            for number, place in enumerate(weights)
        ]
    known = [seconds for seconds in found if seconds is not None]
    if len(known) < len(found):
        return None
    mean = sum(weight * seconds for weight, seconds in zip(weights.values(), known, strict=True))
    return mean * plan.saved.cells * len(seeds) / len(tried)


def _weights(plan: MapPlan) -> dict[tuple[float, float], float]:
    """Return the cells that are tried, by their values, and how much each counts."""
    x, y = plan.saved.x.values, plan.saved.y.values
    ends, middle = [(x[0], y[0]), (x[-1], y[-1])], (x[len(x) // 2], y[len(y) // 2])
    if middle in ends:  # a map of 2 x 2 cells
        return dict.fromkeys(ends, 1 / 2)
    return {ends[0]: 1 / 6, middle: 4 / 6, ends[1]: 1 / 6}


def _of_cell(jobs: Jobs, folder: Path) -> float | None:
    epochs = compose_jobs(jobs)[0].options["trainer"]["max_epochs"]
    one = _seconds(jobs, 1, folder / "one")
    if epochs < 1 or one is None:
        return None
    many = min(epochs, MOST_EPOCHS)
    several = one if many == 1 else _seconds(jobs, many, folder / "several")
    if several is None:
        return None
    each = max(several - one, 0.0) / max(many - 1, 1)
    return float(one + (epochs - 1) * each)


def _seconds(jobs: Jobs, epochs: int, folder: Path) -> float | None:
    """Train jobs for some epochs; return the time that it takes, or ``None`` if none succeeds."""
    import_torch()
    from losslab.continuing import train_alone, train_stacks  # noqa: PLC0415 (torch)
    from losslab.lockstep.grouping import Job  # noqa: PLC0415

    shorter = [
        [*(each for each in job if not each.startswith(f"{EPOCHS}=")), f"{EPOCHS}={epochs}"]
        for job in jobs
    ]
    trials = [Job(job.config, folder / job.subdir) for job in placed(compose_jobs(shorter), folder)]
    began = time.process_time()
    train_alone(train_stacks(trials))
    seconds = time.process_time() - began
    return seconds if any(is_finished(trial.folder) for trial in trials) else None
