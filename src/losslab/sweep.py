"""Many runs: every job checked before the first starts, launched, compared.

Nothing here imports torch before a command is known to be well-formed.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from losslab.config import groups
from losslab.config.command import Command, all_jobs, without_hydra
from losslab.config.compose import VERSION_BASE, Composed, compose_jobs, finished_config, parsed
from losslab.config.errors import UserError
from losslab.report.run_table import run_table
from losslab.report.sweep_summary import write_overview
from losslab.runs.folder import is_run, replace_file
from losslab.runs.record import Record, needs_running, read_record

DONE, FAILED = 0, 1
SWEEP_FILE = "sweep.json"


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
    jobs = compose_jobs(all_jobs(command))
    refuse_mixture(command, jobs)
    _refuse_duplicates(jobs)
    check_configs([job.config for job in jobs])
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
        "jobs": [without_hydra(job) for job in all_jobs(command)],
    }
    replace_file(folder / SWEEP_FILE, json.dumps(saved).encode())
    own = [given for given in command.overrides if given not in without_hydra(command.overrides)]
    own += ["hydra/sweeper=jobs", f"hydra.sweeper.file={_quoted(folder / SWEEP_FILE)}"]
    hydra_main(["-m", *command.flags, *own, f"hydra.sweep.dir={_quoted(folder)}"], SweepJob(jobs))
    _write_overview(folder, [job.config for job in jobs])
    return [folder / job.place for job in jobs]


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
            train_job(config)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)


def train_job(config: DictConfig) -> None:
    """Train the job that Hydra has just begun, in its output folder."""
    from losslab.training import train  # noqa: PLC0415 (torch: only once the command is checked)

    node: Any = HydraConfig.get()
    train(finished_config(config, node), Path(node.runtime.output_dir))


def check_configs(configs: Sequence[DictConfig]) -> str:
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
        reason = error_line(read_record(place)) if is_run(place) else "it left no record"
        print(f"failed: {place.parent.name}/{place.name}: {reason}", file=sys.stderr)
    if unfinished:
        print(f"run them again: {again}", file=sys.stderr)
    return FAILED if unfinished else DONE


def error_line(record: Record) -> str:
    """Return why a run is not done, in one line."""
    error = record.get("error")
    return f"{error['kind']}: {error['message']}" if error else str(record["status"])


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


def hydra_main(arguments: Sequence[str], job: Any) -> int:
    """Hydra's own main, on these arguments."""
    GlobalHydra.instance().clear()
    typed = sys.argv

    def job_as_typed(config: DictConfig) -> None:
        sys.argv = typed  # what a record keeps as its command
        job(config)

    sys.argv = [sys.argv[0], *arguments]
    hydra.main(config_path=str(groups.CONF), config_name="train", **VERSION_BASE)(job_as_typed)()
    return DONE


def show_run(folder: Path, log_dir: Path) -> int:
    """Print a run's table; returns the exit code."""
    record = read_record(folder)
    if record["status"] != "done":
        print(f"failed: {error_line(record)}\nrun folder: {folder}", file=sys.stderr)
        return FAILED
    Console().print(run_table(record, folder, log_dir), soft_wrap=True)
    return DONE
