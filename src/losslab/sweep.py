"""Sweeps: check all jobs before the first starts, launch them and compare the runs.

torch is imported only after a command was parsed.
"""

import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from losslab.config import groups, schema
from losslab.config.command import Command, all_jobs, program, without_launcher
from losslab.config.compose import VERSION_BASE
from losslab.config.errors import UserError, resumable
from losslab.config.interruption import INTERRUPTED, end_with_parent, interrupt_once, is_orphan
from losslab.config.jobs import COMPOSED, Composed, compose_jobs, finished_config
from losslab.config.overrides import parsed, quoted
from losslab.config.past import earlier_override
from losslab.config.trust import require_harmless
from losslab.config.typed_jobs import run_overrides
from losslab.engines.launched import ENGINE_FILE, read_launched
from losslab.engines.launchers import for_launcher, launcher_of, require_engine
from losslab.fitting import data_for_all
from losslab.metrics.labels import primary_metric
from losslab.progress import SweepProgress, show_job
from losslab.report.run_table import run_table
from losslab.report.sweep_summary import write_sweep_summary
from losslab.runs.check import damage, interrupt_dead, is_finished, needs_running, worker_of
from losslab.runs.disk import free_space, writing_to
from losslab.runs.files import FileError
from losslab.runs.folder import SWEEP_FILE, is_run, job_name, label_of, own_names, remove
from losslab.runs.record import Record, read_record
from losslab.sweep_file import write_commands
from losslab.units import Unit, plan_units

if TYPE_CHECKING:
    from losslab.analysis.load import Run

DONE, FAILED = 0, 1
RUNNING = "running: "
"""Begin of the line about a job on which another process works."""


def sweep(command: Command, folder: Path | None, earlier: Sequence[Command] = ()) -> int:
    """Check all jobs, run those that are not done, compare the runs; return the exit code.

    Args:
        command: command of the sweep.
        folder: folder of a sweep to resume; ``None`` for a new sweep.
        earlier: earlier commands of the sweep, whose jobs belong to it too.
    """
    jobs = checked_jobs(command, folder, earlier)
    print_config(jobs)
    folder = folder or jobs[0].sweep_dir
    from losslab.analysis.looks import keep_looks  # noqa: PLC0415 (scipy: once they are checked)

    resuming = f"{program()} resume={folder}"
    with resumable(resuming), writing_to(folder):
        keep_looks(folder)
        run_folders = launch(command, jobs, folder, earlier, waits=False)
        launched = read_launched(folder)
        if launched is not None and launched.jobs and not launched.waits:
            print("\n".join(launched.lines(folder)))
            return DONE
        show_comparison(folder)
    return show_unfinished(run_folders, resuming)


def checked_jobs(
    command: Command,
    folder: Path | None = None,
    earlier: Sequence[Command] = (),
    known: dict[tuple[str, ...], Composed] | None = None,
) -> list[Composed]:
    """Compose the jobs of all commands, and check those that are not done, and their engine.

    Args:
        command: command of the sweep.
        folder: folder of the sweep; ``None`` for a new sweep.
        earlier: earlier commands of the sweep.
        known: see :func:`~losslab.config.jobs.compose_jobs`.

    Raises:
        UserError: if a job cannot run.
    """
    new = compose_jobs(all_jobs(command), known)
    _refuse_duplicates(new)
    require_engine(command)
    # an earlier launcher may not be installed here
    runs = {repr(own): own for own in (all_jobs(without_launcher(each)) for each in earlier)}
    runs.pop(repr(all_jobs(without_launcher(command))), None)
    old = [job for own in runs.values() for job in compose_jobs(own)]
    jobs = list({job.subdir: job for job in [*old, *new]}.values())
    if folder is None or not folder.is_dir():  # a new sweep
        for log_dir in dict.fromkeys(str(job.options["paths"]["log_dir"]) for job in jobs):
            require_log_dir(log_dir)
        require_log_dir(str(jobs[0].sweep_dir), "hydra.sweep.dir")
        to_run = jobs = placed(jobs, jobs[0].sweep_dir)
    else:
        jobs = placed(jobs, folder)
        to_run = [job for job in jobs if needs_running(folder / job.subdir)]
    if command.source is not None:
        different = _one_of_each(to_run, _without_seeds)
        require_harmless((job.config for job in different), command.source)
    refuse_mixture(command, jobs)
    check_configs(job.config for job in _one_of_each(to_run, _what_can_fail))
    return jobs


def require_log_dir(log_dir: str, key: str = "paths.log_dir") -> None:
    """Check that folders can be created in the log folder, which need not exist yet.

    Args:
        log_dir: the folder.
        key: key or option that sets it.

    Raises:
        UserError: if they cannot.
    """
    folder = Path(log_dir).absolute()
    try:
        while not folder.exists():
            folder = folder.parent
        with TemporaryDirectory(dir=folder, prefix=".losslab"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        free = free_space(folder)
        raise UserError(
            f"{key}={log_dir}: cannot create folders there: {reason} ({free}); "
            f"add {key}=FOLDER, a folder in which you may write"
        ) from error


def placed(jobs: Sequence[Composed], folder: Path) -> list[Composed]:
    """Return all jobs of a sweep with short subdirectories: options that all share are left out.

    Args:
        jobs: all jobs of the sweep.
        folder: folder of the sweep, whose runs stay where an earlier version put them; no job
            takes the place of another sweep's run there.
    """
    names = own_names([job.overrides for job in jobs])
    return [
        replace(job, subdir=_subdir(job, name, folder))
        for job, name in zip(jobs, names, strict=True)
    ]


def _subdir(job: Composed, name: str, folder: Path) -> str:
    full = job_name(job.overrides)
    composed = Path(job.subdir)
    if composed.parent.name not in (name, full):  # hydra.sweep.subdir was given
        return job.subdir
    earlier = [full, job_name([earlier_override(each) for each in job.overrides])]
    if kept := [each for each in earlier if (folder / each).is_dir()]:
        return f"{kept[0]}/{composed.name}"
    return f"{full if _is_of_another(folder / name, earlier) else name}/{composed.name}"


def _is_of_another(folder: Path, names: Sequence[str]) -> bool:
    """Return whether a folder has runs whose records do not call their job by these names."""
    for record in folder.glob("*/record.json"):
        with suppress(FileError):  # a damaged run is made again
            return read_record(record.parent)["cell"] not in names
    return False


def launch(
    command: Command,
    jobs: Sequence[Composed],
    folder: Path,
    earlier: Sequence[Command] = (),
    *,
    waits: bool = True,
) -> list[Path]:
    """Run the checked jobs that are not done, each in its subdirectory of the sweep's folder.

    Args:
        command: command of the sweep.
        jobs: all of its jobs.
        folder: its folder.
        earlier: its earlier commands.
        waits: whether to wait for them, even if its launcher would only submit them.

    Returns:
        The folders of all jobs.
    """
    plan(command, jobs, folder, earlier)
    launcher = launcher_of(command)
    if launcher != "slurm":  # only Slurm goes on with what it was given before
        remove([folder / ENGINE_FILE])
    of_runs = run_overrides(command.overrides)
    of_hydra = [given for given in command.overrides if given not in of_runs]
    of_hydra += [
        "hydra/sweeper=jobs",
        f"hydra.sweeper.file={quoted(folder / SWEEP_FILE)}",
        f"hydra.sweep.dir={quoted(folder)}",
        *for_launcher(launcher, command, waits=waits),
    ]
    COMPOSED.clear()
    COMPOSED.update({job.overrides: job for job in jobs})
    epochs = {folder / job.subdir: job.options["trainer"]["max_epochs"] for job in jobs}
    try:
        with SweepProgress(epochs):
            hydra_main(["-m", *command.flags, *of_hydra], sweep_job)
    except KeyboardInterrupt:
        for run_folder in epochs:  # launchers may kill their processes
            interrupt_dead(run_folder)
        raise
    write_summary(folder, plain_configs(folder, jobs))
    return list(epochs)


def plan(
    command: Command, jobs: Sequence[Composed], folder: Path, earlier: Sequence[Command] = ()
) -> list[Unit]:
    """Write the commands of a sweep and its units, which any worker can train; return the units."""
    keep_commands(folder, [*earlier, command], jobs)
    return plan_units(folder, command, jobs)


def keep_commands(folder: Path, commands: Sequence[Command], jobs: Sequence[Composed]) -> None:
    """Write the commands of a sweep, its jobs and the folders of the user's modules."""
    folder.mkdir(parents=True, exist_ok=True)
    code: dict[str, str] = {}
    for job in jobs:
        code |= job.options.get("code_dirs", {})
    write_commands(folder, commands, [job.overrides for job in jobs], code)


def sweep_job(config: DictConfig) -> None:
    """Train one job of a sweep if it is not done.

    Errors are recorded, but not raised: Hydra would not run the other jobs.
    """
    node: Any = HydraConfig.get()
    folder = Path(node.runtime.output_dir)
    if not needs_running(folder):
        return
    # torch: only once the command is checked
    from losslab.continuing import train_run  # noqa: PLC0415
    from losslab.lockstep.grouping import Job  # noqa: PLC0415

    try:
        train_run(Job(finished_config(config, node), folder))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    else:
        show_job(folder, config.task.metrics or [], node)


def train_job(config: DictConfig) -> None:
    """Train the run that Hydra is running, in its output folder."""
    from losslab.training import train  # noqa: PLC0415 (torch: only once the command is checked)

    node: Any = HydraConfig.get()
    train(finished_config(config, node), Path(node.runtime.output_dir))


def check_configs(configs: Iterable[DictConfig]) -> str:
    """Check that the configs can run.

    Returns:
        Description of the data of the last one (sizes of the splits, class counts), and notes on
        the networks.
    """
    from losslab.training import check  # noqa: PLC0415

    components, shared = None, ""
    notes: dict[str, None] = {}
    for config in configs:
        settings = _what_can_fail(OmegaConf.to_container(config))
        data = repr([item for item in settings if item[0].startswith(("data.", "task."))])
        components = check(config, like=components if data == shared else None)
        notes |= dict.fromkeys(components.network_notes)
        shared = data
    if components is None:
        return ""
    return "\n".join([components.data.describe(), *notes])


def _one_of_each(jobs: Iterable[Composed], read: Callable[[Any], Any]) -> list[Composed]:
    """Select the first of the jobs in whose options the same is read."""
    first: dict[str, Composed] = {}
    for job in jobs:
        first.setdefault(repr(read(job.options)), job)
    return list(first.values())


def _what_can_fail(options: Any) -> list[tuple[str, Any]]:
    """Return the options that can make a job fail, except seeds that equal the run's."""
    return [
        (key, value)
        for key, value in schema.flat(options)
        if schema.meaning(key).can_fail and not (key.endswith(".seed") and value == options["seed"])
    ]


def _without_seeds(options: Any) -> list[tuple[str, Any]]:
    """Return the options in which runs differ that have different seeds only."""
    return [
        (key, value)
        for key, value in schema.flat(options)
        if key != "overrides" and not (key.endswith("seed") and value == options["seed"])
    ]


def print_config(jobs: Sequence[Composed]) -> None:
    """Print the config of the first job, if it asks for that."""
    [first, *others] = jobs
    title = f"config of {first.subdir}, the first of {len(jobs)} jobs" if others else "config"
    print_tree(first.config, title)


def print_tree(config: DictConfig, title: str) -> None:
    """Print a config as a tree, if it asks for that."""
    if config.extras.print_config:
        from losslab.report.config_tree import config_tree  # noqa: PLC0415 (rich.syntax)

        Console().print(config_tree(config, title))


def write_summary(folder: Path, configs: Mapping[Path, Mapping[str, Any]]) -> None:
    """Write the means over seeds of a sweep for TensorBoard.

    Args:
        folder: folder of the sweep.
        configs: resolved config of each run, as plain values, by its folder.
    """
    columns = {run: schema.hparams(config) for run, config in configs.items()}
    [first, *_] = configs.values()
    write_sweep_summary(folder, columns, primary_metric(first["task"]))


def plain_configs(folder: Path, jobs: Sequence[Composed]) -> dict[Path, Any]:
    """Return the configs of the jobs of a sweep by the folders of their runs."""
    return {folder / job.subdir: job.options for job in jobs}


def show_comparison(folder: Path) -> Sequence["Run"]:
    """Print the comparison of a sweep's runs, and write the report; return the runs."""
    # a third of a second of scipy and yaml that --help does not need
    from losslab.analysis.comparison import compare  # noqa: PLC0415
    from losslab.analysis.load import collect  # noqa: PLC0415
    from losslab.analysis.looks import looks_at  # noqa: PLC0415
    from losslab.report.console import show  # noqa: PLC0415

    console = Console()
    collection = collect([folder])
    if collection.runs:
        show(console, compare(collection, looks=looks_at(collection)), folder / "report")
    for line in (f"sweep folder: {folder}", f"curves: tensorboard --logdir {folder}"):
        console.print(line, soft_wrap=True, markup=False)
    return collection.runs


def show_unfinished(folders: Sequence[Path], command: str) -> int:
    """Print the jobs that are not done and the command to run them; return the exit code."""
    unfinished = [folder for folder in folders if not is_finished(folder)]
    absent = [folder for folder in unfinished if not is_run(folder)]
    told = [_why_unfinished(folder) for folder in unfinished if is_run(folder)]
    for line in told:
        print(line, file=sys.stderr)
    if absent:
        names = ", ".join(map(_name, absent[:3]))
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        print(f"not trained: {names}{more}", file=sys.stderr)
    if absent or not all(line.startswith(RUNNING) for line in told):
        print(f"to run them again: {command}", file=sys.stderr)
    return FAILED if unfinished else DONE


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _why_unfinished(folder: Path) -> str:
    try:
        record = read_record(folder)
    except FileError as error:
        return f"failed: {_name(folder)}: {error}"
    if worker := worker_of(folder, record):
        return f"{RUNNING}{_name(folder)}: {worker}"
    done = record["status"] == "done"
    reason = damage(folder, record) if done else error_line(record, folder)
    return f"failed: {_name(folder)}: {reason}"


def error_line(record: Record, folder: Path) -> str:
    """Return why a run is not done, in one line, and where its traceback is if it has one."""
    error = record.get("error")
    if not error:
        return "its process is gone" if record["status"] == "running" else record["status"]
    logged = error["kind"] == "exception" and (folder / "run.log").is_file()
    return f"{error['kind']}: {error['message']}{'; see run.log' if logged else ''}"


def refuse_mixture(command: Command, jobs: Sequence[Composed]) -> None:
    """Refuse jobs whose task, data or model differ only because the defaults of their losses do.

    Raises:
        UserError: if they do; the message names data that fit all losses.
    """
    varied = {o.key_or_group for o in parsed(command.overrides) if o.is_sweep_override()}
    varied |= {job.partition("=")[0] for listed in command.jobs or [] for job in listed}
    if varied & {"task", "data", "model", "experiment"}:
        return
    choices = {job.options["choices"]["loss"]: job.options["choices"] for job in jobs}
    if len({(each["task"], each["data"], each["model"]) for each in choices.values()}) == 1:
        return
    defaults = [f"loss={loss} to data={each['data']}" for loss, each in choices.items()]
    listed = " and ".join(filter(None, [", ".join(defaults[:-1]), defaults[-1]]))
    fitting = data_for_all(list(choices))
    advice = f"choose one for all, e.g. data={fitting[0]}" if fitting else "no data fit all of them"
    raise UserError(f"{listed.replace(' to ', ' defaults to ', 1)}; {advice}")


def _refuse_duplicates(jobs: Sequence[Composed]) -> None:
    seen: dict[str, Composed] = {}
    for job in jobs:
        first = seen.setdefault(job.subdir, job)
        if first is not job:
            differing = set(first.overrides) ^ set(job.overrides)
            keys = ", ".join(sorted({given.partition("=")[0] for given in differing}))
            reason = f" ({keys} does not change what is compared)" if keys else ""
            if keys == "loss" and (label := label_of(job.overrides)):
                reason = f": both losses have label={label}"
            if keys.endswith("._target_"):
                reason = f" ({keys}: both have the same name)"
            replacing = [each for each in job.overrides if each.startswith(f"{keys}._target_=")]
            if replacing:
                reason = f": {replacing[0]} replaces each of them, remove it or {keys}="
            raise UserError(f"two jobs of this sweep are the same: {job.subdir}{reason}")


LOGGING: dict[str, Any] = (
    {} if VERSION_BASE else {"execution_whitelist": ["losslab.config.secrets.Formatter"]}
)
"""What Hydra may call to configure logging besides the standard library, from 1.4 on."""


def hydra_main(arguments: Sequence[str], job: Any) -> int:
    """Run Hydra's main on these arguments."""
    GlobalHydra.instance().clear()
    typed, main, host = sys.argv, os.getpid(), platform.node()

    def job_as_typed(config: DictConfig) -> None:
        if platform.node() == host and os.getpid() != main:  # in a process of a launcher
            end_with_parent(main)
            interrupt_once()
        sys.argv = typed  # the record stores it as the command
        try:
            job(config)
        except KeyboardInterrupt:
            if is_orphan():  # it would take the next job
                os._exit(INTERRUPTED)
            raise

    sys.argv = [sys.argv[0], *arguments]
    options = {**VERSION_BASE, **LOGGING}
    hydra.main(config_path=str(groups.CONF), config_name="train", **options)(job_as_typed)()
    return DONE


def show_run(folder: Path, log_dir: Path) -> int:
    """Print the table of a run; return the exit code."""
    record = read_record(folder)
    if record["status"] != "done":
        print(f"failed: {error_line(record, folder)}\nrun folder: {folder}", file=sys.stderr)
        return FAILED
    Console().print(run_table(record, folder, log_dir), soft_wrap=True)
    return DONE
