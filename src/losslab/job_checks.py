"""Checks of the jobs of a sweep, before the first one starts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.config import declared, fit, schema, values
from losslab.config.command import Command, all_jobs, without_launcher
from losslab.config.errors import UserError
from losslab.config.extras import require_logger_packages
from losslab.config.instantiate import require_installed
from losslab.config.jobs import Composed, compose_jobs
from losslab.config.overrides import parsed
from losslab.config.past import earlier_override
from losslab.config.signatures import require_known_options
from losslab.config.source import NotInSource
from losslab.config.trust import require_harmless
from losslab.engines.launchers import require_engine
from losslab.fitting import data_for_all
from losslab.initial_weights import checkpoint_file
from losslab.runs.check import needs_running
from losslab.runs.disk import free_space
from losslab.runs.files import FileError
from losslab.runs.folder import find_runs, job_name, label_of, own_names
from losslab.runs.record import read_record
from losslab.torch_import import import_torch


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
    different = _one_of_each(to_run, _what_can_fail)
    names = own_names([job.overrides for job in different])
    for job, name in zip(different, names, strict=True):
        require_possible(job.options, name)
    check_configs((job.config for job in different), names)
    return jobs


def require_possible(options: Mapping[str, Any], name: str = "") -> None:
    """Check what can be known of a job without torch, which takes seconds to import.

    Args:
        options: resolved config.
        name: name of the job, for the error.

    Raises:
        UserError: if its loss, task, data and model do not fit each other, an option or a package
            that it names does not exist, or its data or the checkpoint that it starts from do not.
    """
    with _of_job(name):
        require_installed(options)
        require_logger_packages(options)
        with suppress(NotInSource):  # the checks with torch find it
            declared.require_fit(options)
        fit.require_fit(options)
        fit.require_class_weights(options)
        require_known_options(options)
        path = options["data"].get("path")
        if isinstance(path, str) and not values.is_users("data.path", options):
            _require_path(Path(path).expanduser())
        weights = options["model"].get("weights")
        if weights not in (None, "hub") and not values.is_users("model.weights", options):
            _require_weights(str(options["choices"]["model"]), str(weights))
        if options.get("ckpt_path"):
            checkpoint_file(Path(options["ckpt_path"]))


def _require_path(path: Path) -> None:
    if not path.exists():
        raise UserError(f"data.path={path} does not exist: looked for {path.absolute()}")


def _require_weights(model: str, weights: str) -> None:
    if not Path(weights).is_file():
        raise UserError(f"model={model}: model.weights={weights} does not exist")


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
    runs: dict[str, list[Path]] = {}
    for run in find_runs(folder):
        runs.setdefault(run.parent.name, []).append(run)
    return [
        replace(job, subdir=_subdir(job, name, folder, runs))
        for job, name in zip(jobs, names, strict=True)
    ]


def _subdir(job: Composed, name: str, folder: Path, runs: Mapping[str, Sequence[Path]]) -> str:
    """Return the subdirectory of a job, given the runs that the sweep has by the names of jobs."""
    full = job_name(job.overrides)
    composed = Path(job.subdir)
    if composed.parent.name not in (name, full):  # hydra.sweep.subdir was given
        return job.subdir
    earlier = [full, job_name([earlier_override(each) for each in job.overrides])]
    if kept := [each for each in earlier if each in runs or (folder / each).is_dir()]:
        return f"{kept[0]}/{composed.name}"
    return f"{full if _is_of_another(runs.get(name, []), earlier) else name}/{composed.name}"


def _is_of_another(runs: Sequence[Path], names: Sequence[str]) -> bool:
    """Return whether the records of runs do not call their job by these names."""
    for run in runs:
        with suppress(FileError):  # a damaged run is made again
            return read_record(run)["cell"] not in names
    return False


def check_configs(configs: Iterable[DictConfig], names: Iterable[str] = repeat("")) -> str:
    """Check that the configs can run.

    Args:
        configs: the resolved configs.
        names: names of their jobs, for errors; those that are a loss alone are in them already.

    Returns:
        Description of the data of the last one (sizes of the splits, class counts), and notes on
        the networks.
    """
    import_torch()
    from losslab.training import bare_trainer, check  # noqa: PLC0415

    components, trainer, shared, of_trainer = None, None, "", None
    notes: dict[str, None] = {}
    for config, name in zip(configs, names, strict=False):
        settings = _what_can_fail(OmegaConf.to_container(config))
        data = repr([item for item in settings if item[0].startswith(("data.", "task."))])
        with _of_job(name):
            if trainer is None or config.trainer != of_trainer:
                trainer, of_trainer = bare_trainer(config), config.trainer
            components = check(config, components if data == shared else None, trainer)
        notes |= dict.fromkeys(components.network_notes)
        shared = data
    if components is None:
        return ""
    return "\n".join([components.data.describe(), *notes])


@contextmanager
def _of_job(name: str) -> Iterator[None]:
    """Add to an error which of the jobs of its loss is meant."""
    try:
        yield
    except UserError as error:
        if "," not in name:
            raise
        of_python = error.in_python and f"{error.in_python} (in the job {name})"
        raise UserError(f"{error} (in the job {name})", of_python) from error


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
