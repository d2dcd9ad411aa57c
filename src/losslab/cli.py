"""The command line: shorthands, checks, one-line errors, exit codes; then Hydra's main.

Nothing here imports torch before a command is known to be well-formed.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from losslab.config import groups
from losslab.config.compose import (
    Composed,
    complete,
    compose_jobs,
    finished_config,
    jobs_of,
    jobs_of_experiment,
    parsed,
)
from losslab.config.help import help_text
from losslab.config.instantiate import UserError, cli_errors
from losslab.config.past import translated_override
from losslab.report.run_table import run_table
from losslab.report.sweep_summary import write_overview
from losslab.runs.folder import is_run, replace_file
from losslab.runs.record import Record, needs_running, read_record

DONE, FAILED = 0, 1
SWEEP_FILE = "sweep.json"
PASS_ON = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc")
# Hydra's flags that a value follows; that of --info can be left out
WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
}
INFO = ("--info", "-i")


def main() -> None:
    """Run the command line and exit: 0 all done, 1 a run failed, 2 wrong input."""
    with cli_errors("interrupted; go on with resume=FOLDER"):
        sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """What the arguments ask for; returns the exit code."""
    if "LOCAL_RANK" in os.environ and "LOSSLAB_RUN_FOLDER" in os.environ:
        return _run_rank(Path(os.environ["LOSSLAB_RUN_FOLDER"]))
    if "--help" in arguments or "-h" in arguments:
        print(help_text())
        return DONE
    flags, overrides = divided(arguments)
    if any(flag.partition("=")[0] in PASS_ON for flag in flags):
        # the flags last: --info would take what follows it for its value
        return _hydra_main(complete(overrides) + flags, lambda config: None)
    command = parse(arguments)
    if command.resume is not None:
        return resume(command)
    if command.multirun:
        return sweep(command, folder=None)
    return single(command)


@dataclass
class Command:
    """A parsed command line.

    Attributes:
        flags: arguments that begin with a dash, and their values, but for ``-m``.
        overrides: Hydra's overrides, complete with what the task's standards add.
        multirun: whether ``-m`` was given.
        resume: the folder to go on with.
        jobs: what each job of a sweep has beside the overrides; ``None``: the product of those
            that name several values.
    """

    flags: list[str]
    overrides: list[str]
    multirun: bool
    resume: Path | None
    jobs: list[list[str]] | None = None


def parse(arguments: Sequence[str], jobs: list[list[str]] | None = None) -> Command:
    """Sort the arguments and complete the overrides; listed jobs are complete by themselves.

    Raises:
        UserError: for an override that Hydra's grammar or conf/ does not know.
    """
    flags, given = divided(arguments)
    overrides, folder = [], None
    for argument in given:
        if argument.startswith("resume="):
            folder = Path(argument.removeprefix("resume="))
        else:
            overrides.append(argument)
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    if folder is not None and not any(each.is_sweep_override() for each in parsed(overrides)):
        multirun = False  # no new jobs: what is in the folder says what it is
    flags = [flag for flag in flags if flag not in ("-m", "--multirun")]
    if multirun and jobs is None and folder is None:
        jobs = jobs_of_experiment(overrides)
    if jobs is None and (folder is None or multirun):
        overrides = complete(overrides)
    if not multirun:
        _refuse_sweep(overrides)
    return Command(flags, overrides, multirun, folder, jobs)


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags, each with the value that follows it, and overrides.

    Example:
        >>> divided(["--cfg", "job", "loss=dice", "-m"])
        (['--cfg', 'job', '-m'], ['loss=dice'])
    """
    flags: list[str] = []
    overrides: list[str] = []
    before = ""
    for argument in arguments:
        is_value = before in WITH_VALUE or (before in INFO and "=" not in argument)
        (flags if is_value or argument.startswith("-") else overrides).append(argument)
        before = "" if is_value else argument
    return flags, overrides


def _refuse_sweep(overrides: list[str]) -> None:
    for override in parsed(overrides):
        if override.is_sweep_override():
            raise UserError(
                f"{override.input_line} names several values: add -m to run one job each"
            )


def _without_hydra(overrides: Sequence[str]) -> list[str]:
    """The overrides that are the run's own; the others choose the launcher and its options."""
    return [each for each in overrides if not re.match(r"\+*~?hydra[./=]", each)]


# --- one run ------------------------------------------------------------------------------------


def single(command: Command) -> int:
    """Check, train, show."""
    [composed] = compose_jobs([command.overrides])
    print(_check([composed.config]), flush=True)
    folders: list[Path] = []
    refusals: list[UserError] = []

    def job(config: DictConfig) -> None:
        folders.append(Path(HydraConfig.get().runtime.output_dir))
        try:
            _train_job(config)
        except UserError as error:  # Hydra would print its trace and exit with 1
            refusals.append(error)

    _hydra_main(command.flags + command.overrides, job)
    if refusals:
        _remove_empty(folders[0])
        raise refusals[0]
    return show_run(folders[0], Path(composed.config.paths.log_dir))


def show_run(folder: Path, log_dir: Path) -> int:
    """Print a run's table; returns the exit code."""
    record = read_record(folder)
    if record["status"] != "done":
        print(f"failed: {_error_line(record)}\nrun folder: {folder}", file=sys.stderr)
        return FAILED
    Console().print(run_table(record, folder, log_dir), soft_wrap=True)
    return DONE


def _remove_empty(folder: Path) -> None:
    """Remove what Hydra made for a run that never began, up to the first folder in use."""
    while not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _train_job(config: DictConfig) -> None:
    from losslab.training import train  # noqa: PLC0415 (torch: only once the command is checked)

    node: Any = HydraConfig.get()
    train(finished_config(config, node), Path(node.runtime.output_dir))


def _check(configs: Sequence[DictConfig]) -> str:
    """Refuse what cannot run, once for each config that differs in more than its seed.

    Returns:
        What the last one's data are.
    """
    from losslab.training import check  # noqa: PLC0415

    seen, described = set(), ""
    for config in configs:
        text = OmegaConf.to_yaml(
            OmegaConf.masked_copy(config, ["loss", "data", "task", "model", "choices", "compile"])
        ).replace(f"seed: {config.seed}\n", "")
        if text not in seen:
            seen.add(text)
            described = check(config)
    return described


def _error_line(record: Record) -> str:
    error = record.get("error")
    return f"{error['kind']}: {error['message']}" if error else str(record["status"])


# --- sweeps -------------------------------------------------------------------------------------


def sweep(command: Command, folder: Path | None) -> int:
    """Check every job, run those that need it, compare what came out.

    Args:
        command: the sweep's command.
        folder: where an earlier try at it lies; ``None`` for a new sweep.
    """
    jobs = checked_jobs(command)
    folder = folder or jobs[0].sweep_dir
    places = launch(command, jobs, folder)
    show_comparison(folder)
    return show_unfinished(places, f"python train.py resume={folder}")


def checked_jobs(command: Command) -> list[Composed]:
    """The jobs, each composed and checked.

    Raises:
        UserError: if a job cannot run.
    """
    jobs = compose_jobs(_all_jobs(command))
    refuse_mixture(command, jobs)
    _refuse_duplicates(jobs)
    _check([job.config for job in jobs])
    return jobs


def launch(command: Command, jobs: Sequence[Composed], folder: Path) -> list[Path]:
    """Run those of the checked jobs that need it, each in its place below the sweep's folder.

    Returns:
        The places.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved = {
        "arguments": command.flags + command.overrides,
        "listed": command.jobs,
        "jobs": [_without_hydra(job) for job in _all_jobs(command)],
    }
    replace_file(folder / SWEEP_FILE, json.dumps(saved).encode())
    own = [given for given in command.overrides if given not in _without_hydra(command.overrides)]
    own += ["hydra/sweeper=jobs", f"hydra.sweeper.file={_quoted(folder / SWEEP_FILE)}"]
    _hydra_main(["-m", *command.flags, *own, f"hydra.sweep.dir={_quoted(folder)}"], SweepJob(jobs))
    _write_overview(folder, [job.config for job in jobs])
    return [folder / job.place for job in jobs]


def _all_jobs(command: Command) -> list[list[str]]:
    if command.jobs is None:
        return jobs_of(command.overrides)
    return [[*command.overrides, *job] for job in command.jobs]


def _quoted(path: Path) -> str:
    """A path as Hydra's grammar takes it, whatever characters are in it."""
    text = str(path).replace("'", "\\'")
    return f"'{text}'"


class SweepJob:
    """The job of a sweep: one job.

    It does not raise: Hydra would stop the other jobs; the record holds the error.

    Attributes:
        jobs: the jobs by their overrides, for a launcher that wants all at once.
    """

    def __init__(self, jobs: Sequence[Composed] = ()) -> None:
        self.jobs = {job.overrides: job for job in jobs}

    def __reduce__(self) -> tuple[type["SweepJob"], tuple[()]]:
        return SweepJob, ()  # a launcher's process needs the call alone

    def __call__(self, config: DictConfig) -> None:
        """Train the job where it is not done."""
        folder = Path(HydraConfig.get().runtime.output_dir)
        if not needs_running(folder):
            return
        try:
            _train_job(config)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)


def _write_overview(folder: Path, configs: Sequence[DictConfig]) -> None:
    from losslab.training import hparams  # noqa: PLC0415

    write_overview(folder, [hparams(config) for config in configs])


def show_comparison(folder: Path) -> None:
    """Print what the runs of a sweep say of their losses, and write the report."""
    # a third of a second of scipy and yaml that --help does not need
    from losslab.analysis.comparison import compare  # noqa: PLC0415
    from losslab.analysis.load import collect  # noqa: PLC0415
    from losslab.report.console import show  # noqa: PLC0415

    console = Console()
    collection = collect([folder])
    if collection.runs:
        show(console, compare(collection), folder / "report")
    for line in (f"sweep folder: {folder}", f"curves: tensorboard --logdir {folder}"):
        console.print(line, soft_wrap=True, markup=False)


def show_unfinished(places: Sequence[Path], again: str) -> int:
    """Name the jobs that are not done, and the command that runs them; returns the exit code."""
    unfinished = [place for place in places if not is_run(place) or needs_running(place)]
    for place in unfinished:
        reason = _error_line(read_record(place)) if is_run(place) else "it left no record"
        print(f"failed: {place.parent.name}/{place.name}: {reason}", file=sys.stderr)
    if unfinished:
        print(f"run them again: {again}", file=sys.stderr)
    return FAILED if unfinished else DONE


def refuse_mixture(command: Command, jobs: Sequence[Composed]) -> None:
    """Refuse jobs on different task, data or model that were not swept on purpose.

    Raises:
        UserError: naming which loss lives where, and the data that fit them all.
    """
    varied = {o.key_or_group for o in parsed(command.overrides) if o.is_sweep_override()}
    varied |= {job.partition("=")[0] for listed in command.jobs or [] for job in listed}
    if varied & {"task", "data", "model", "experiment"}:
        return
    homes = {job.config.choices.loss: job.config.choices for job in jobs}
    if len({(home.task, home.data, home.model) for home in homes.values()}) == 1:
        return
    lives = ", ".join(
        f"{loss} lives on {home.data}" if not index else f"{loss} on {home.data}"
        for index, (loss, home) in enumerate(homes.items())
    )
    fitting = _data_for_all(list(homes))
    advice = f"add data={' or data='.join(fitting)}" if fitting else "no data fit them all"
    raise UserError(f"{lives}: {advice}")


def _data_for_all(losses: Sequence[str]) -> list[str]:
    """Of the losses' homes, those whose task gives what every one of the losses reads."""
    from losslab.components import require_fit  # noqa: PLC0415

    homes = dict.fromkeys(home for home in map(groups.home, losses) if home)
    fitting = []
    for data in homes:
        try:
            for loss in losses:
                [job] = compose_jobs([[f"loss={loss}", f"data={data}"]])
                require_fit(job.config)
        except UserError:
            continue
        fitting.append(data)
    return fitting


def _refuse_duplicates(jobs: Sequence[Composed]) -> None:
    places = [job.place for job in jobs]
    for place in places:
        if places.count(place) > 1:
            raise UserError(f"two jobs of this sweep are the same: {place}")


# --- going on -----------------------------------------------------------------------------------


def resume(command: Command) -> int:
    """Go on with a run from its last checkpoint, or with a sweep's missing and failed jobs."""
    folder = command.resume
    assert folder is not None
    if (folder / SWEEP_FILE).is_file():
        if not command.multirun:
            saved = json.loads((folder / SWEEP_FILE).read_text())
            saved_jobs = saved.get("listed")
            listed = saved_jobs and [[translated_override(g) for g in job] for job in saved_jobs]
            arguments = [translated_override(given) for given in saved["arguments"]]
            command = parse(["-m", *arguments, *command.overrides], listed)
        return sweep(command, folder)
    if command.multirun or not is_run(folder):
        raise UserError(f"resume={folder}: no run and no sweep folder")
    return _resume_run(folder, command.overrides)


def _resume_run(folder: Path, overrides: Sequence[str]) -> int:
    from losslab.training import saved_config, train  # noqa: PLC0415

    config = saved_config(folder)
    for override in parsed(overrides):
        key, value = override.key_or_group, override.value()
        before = OmegaConf.select(config, key, default=_ABSENT)
        if before is _ABSENT:
            raise UserError(f"{key} is no option of {folder / 'config.yaml'}")
        if key.partition(".")[0] not in MAY_CHANGE or OmegaConf.is_dict(before):
            raise UserError(
                f"{key} stays what it is in a run that goes on: resume= takes single options of "
                "trainer and callbacks, such as trainer.max_epochs=20"
            )
        with open_dict(config):
            OmegaConf.update(config, key, value)
    train(config, folder, resume=True)
    return show_run(folder, Path(config.paths.log_dir))


_ABSENT = object()
# what else a run is made of would no longer be what its record and its pairs say
MAY_CHANGE = ("trainer", "callbacks", "threads", "allocator", "paths", "test")


def _run_rank(folder: Path) -> int:
    """The work of a further rank of a run: this process was started by the run's own."""
    from losslab.training import join  # noqa: PLC0415

    join(folder)
    return DONE


def _hydra_main(arguments: Sequence[str], job: Any) -> int:
    """Hydra's own main, on these arguments."""
    GlobalHydra.instance().clear()
    typed = sys.argv

    def job_as_typed(config: DictConfig) -> None:
        sys.argv = typed  # what a record keeps as its command
        job(config)

    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base="1.3", config_path=str(groups.CONF), config_name="train")(
        job_as_typed
    )()
    return DONE
