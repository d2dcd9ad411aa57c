"""Slurm: an array job with one task per unit of a sweep, and a job for its report, by submitit."""

import math
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from losslab.config.errors import UserError
from losslab.config.extras import is_installed, not_installed
from losslab.engines.launched import Launched, read_launched
from losslab.engines.options import SlurmOptions, work
from losslab.engines.slurm_queue import WAITING, WORKING, State, ask, reason, states
from losslab.engines.slurm_task import Task
from losslab.metrics.labels import first_few
from losslab.progress import show
from losslab.units import unfinished

LOGS = "slurm"
"""Folder in that of a sweep with scripts and output of its tasks."""
COMMANDS = ("sbatch", "srun", "squeue", "scontrol")
"""Commands of Slurm that are called, here or in a task."""
ARRAY_SIZE = 1000
"""Largest number of tasks per array, by Slurm's defaults."""
SIGNAL_SECONDS = 120
"""Time before its time limit at which a task gets a signal to save its runs."""
POLL_SECONDS = 5.0
"""Time between two looks at the queue."""


def require_slurm(options: SlurmOptions) -> None:
    """Check that Slurm is here and accepts the options, without submitting anything.

    Raises:
        UserError: if not.
    """
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        raise UserError(
            f"hydra/launcher=slurm needs Slurm's {missing[0]}, which is not on PATH: run this on a "
            "login node of a cluster, or choose hydra/launcher=lockstep"
        )
    if not is_installed("submitit"):
        raise UserError(f"hydra/launcher=slurm: {not_installed('submitit')}")
    flags = {**_of_task(options), "cpus-per-task": options.cpus, "time": minutes(options.time)}
    given = [f"--{name}" if value is True else f"--{name}={value}" for name, value in flags.items()]
    if wrong := [each for each in given if not each.isprintable()]:
        raise UserError(f"hydra.launcher: an option of sbatch must be one line, got {wrong[0]!r}")
    answer = ask("sbatch", "--test-only", *given, "--wrap=true")
    if answer is None or answer.returncode:
        why = "no answer" if answer is None else reason(answer.stderr)
        raise UserError(f"Slurm refuses sbatch {' '.join(given)}: {why}")


def _of_task(options: SlurmOptions) -> dict[str, Any]:
    """Return the options of sbatch for a task."""
    further = (each.lstrip("-").partition("=") for each in options.sbatch)
    own = {name: value if equals else True for name, equals, value in further}
    return _of_job(options, **{"gpus-per-node": options.gpus, "mem": options.mem, **own})


def _of_report(options: SlurmOptions, after: Sequence[str]) -> dict[str, Any]:
    """Return the options of sbatch for the report after some jobs."""
    return _of_job(options, dependency=":".join(["afterany", *after]))


def _of_job(options: SlurmOptions, **own: Any) -> dict[str, Any]:
    where = {"partition": options.partition, "account": options.account, "qos": options.qos}
    # clusters may have other defaults for the last two
    given = {**where, "requeue": True, "export": "ALL", **own}
    return {name: value for name, value in given.items() if value is not None}


def minutes(limit: Any) -> int:
    """Convert a time limit, as Slurm reads it, to minutes.

    Raises:
        UserError: if it is none.

    Example:
        >>> minutes(90), minutes("1:30:00"), minutes("2-12"), minutes("0:30")
        (90, 90, 3600, 1)
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", str(limit))
    if not found:
        raise UserError(
            "hydra.launcher.time must be a number of minutes, HOURS:MINUTES:SECONDS or "
            f"DAYS-HOURS, got {limit}"
        )
    days, first, second, third = (int(each or 0) for each in found.groups())
    if found[1] is None and found[4] is None:  # no hours
        return max(math.ceil(first + second / 60), 1)
    return max(math.ceil((days * 24 + first) * 60 + second + third / 60), 1)


def launch(folder: Path, options: SlurmOptions) -> None:
    """Submit one task per unit of a sweep that is neither finished nor queued.

    Args:
        folder: folder of the sweep.
        options: options of the launcher.

    Raises:
        UserError: if Slurm refuses the jobs.
    """
    queued = _queued(folder)
    new = [unit.number for unit in unfinished(folder) if unit.number not in queued.values()]
    units = dict(queued)
    for start in range(0, len(new), ARRAY_SIZE):
        part = new[start : start + ARRAY_SIZE]
        tasks = [_losslab(*work(folder, number, options)) for number in part]
        ids = submit(tasks, folder / LOGS, options, _of_task(options))
        units.update(zip(ids, part, strict=True))
    launched = Launched("slurm", _without_tasks(units), options.wait, units)
    launched.write(folder)
    if options.wait:
        wait(launched.jobs, launched.units)
    elif new and options.report:
        flags = _of_report(options, launched.jobs)
        [report] = submit([_losslab("report", str(folder))], folder / LOGS, options, flags)
        replace(launched, report=report).write(folder)


def _queued(folder: Path) -> dict[str, int]:
    """Return the units of a sweep that earlier tasks have yet to finish, by task."""
    launched = read_launched(folder)
    if launched is None or launched.engine != "slurm":
        return {}
    known = states(launched.jobs)
    if known is None:
        raise UserError("Slurm does not say which tasks of this sweep are queued: try again")
    return {
        task: unit
        for task, unit in launched.units.items()
        if task in known and not known[task].has_ended
    }


def _without_tasks(ids: Iterable[str]) -> list[str]:
    """Return the ids of the jobs without the numbers of their tasks."""
    return list(dict.fromkeys(each.partition("_")[0] for each in ids))


def _losslab(*arguments: str) -> Task:
    return Task("-m", "losslab", *arguments)


def submit(
    tasks: Sequence[Task], logs: Path, options: SlurmOptions, flags: Mapping[str, Any]
) -> list[str]:
    """Submit tasks as one array, or as a job if there is only one.

    Args:
        tasks: the tasks.
        logs: folder for scripts and output, which all nodes can read and write.
        options: options of the launcher.
        flags: options of sbatch.

    Returns:
        The ids of the tasks.

    Raises:
        UserError: if Slurm refuses them.
    """
    import submitit  # noqa: PLC0415 (an extra)

    limit = minutes(options.time)
    executor = submitit.SlurmExecutor(
        logs, max_num_timeout=options.max_timeouts, python=options.python
    )
    executor.update_parameters(
        job_name="losslab",
        time=limit,
        signal_delay_s=min(SIGNAL_SECONDS, limit * 60 // 4),
        cpus_per_task=options.cpus,
        srun_args=[f"--cpus-per-task={options.cpus}"],  # which srun does not take from sbatch
        array_parallelism=options.array_parallelism or len(tasks),
        setup=list(options.setup),
        stderr_to_stdout=True,
        additional_parameters=dict(flags),
    )
    try:
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
    except submitit.core.utils.FailedJobError as error:
        raise UserError(f"Slurm refuses the jobs: {reason(str(error))}") from error
    return [job.job_id for job in jobs]


def wait(jobs: Sequence[str], units: Mapping[str, int] | None = None) -> None:
    """Wait until jobs have ended, and show a table of their units whenever it changes."""
    shown: list[str] = []
    try:
        while (known := states(jobs)) is None or not _have_ended(known):
            table = progress(known, units) if known and units else shown
            if table != shown:
                show("\n".join(table))
                shown = table
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        show(f"the tasks go on; to end them: scancel {' '.join(jobs)}")
        raise


def _have_ended(known: Mapping[str, State]) -> bool:
    return all(state.has_ended for state in known.values())


def progress(known: Mapping[str, State], units: Mapping[str, int]) -> list[str]:
    r"""Return a table of the tasks that wait, run and have ended, with their units and nodes.

    Args:
        known: state of each task.
        units: number of the unit that each trains; other tasks, of an earlier try, are left out.

    Example:
        >>> known = {"7_0": State("RUNNING", 0, "n1"), "7_1": State("PENDING", 0, "")}
        >>> print(*progress(known, {"7_0": 1, "7_1": 2}), sep="\n")
        slurm     tasks  units
        in queue      1  2
        running       1  1 (n1)
        ended         0  -
    """
    rows: dict[str, list[str]] = {"in queue": [], "running": [], "ended": []}
    for task, unit in units.items():
        state = known.get(task)
        if state is not None and state.name in WAITING:
            rows["in queue"].append(f"{unit}")
        elif state is not None and state.name in WORKING:
            rows["running"].append(f"{unit} ({state.nodes})")
        else:  # which Slurm may have forgotten
            rows["ended"].append(f"{unit}")
    lines = [
        f"{name:<8}  {len(found):>5}  {first_few(found) or '-'}" for name, found in rows.items()
    ]
    return ["slurm     tasks  units", *lines]
