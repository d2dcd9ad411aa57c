"""Train, evaluate and record a run."""

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.profilers import (
    AdvancedProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

from losslab.callbacks import RunWriterCallback
from losslab.checkpoints import checkpoint_path, read_checkpoint, require_resumable
from losslab.components import Components, build_components
from losslab.config import schema, secrets
from losslab.config.errors import UserError, raised_at
from losslab.config.extras import EXTRAS, is_installed, not_installed
from losslab.config.instantiate import build, target_of
from losslab.config.interruption import interruption
from losslab.config.trust import Source, admit, require_harmless
from losslab.data.limits import limited_count
from losslab.data.val_then_test import ValThenTest
from losslab.first_batch import try_batch
from losslab.metrics.labels import primary_metric
from losslab.modules.scores import ScoreOptions
from losslab.modules.step_values import Diverged
from losslab.modules.supervised import SupervisedModule
from losslab.runs.check import never_recorded, require_curves_until
from losslab.runs.config_file import read_config
from losslab.runs.disk import FULL, disk_error, unwritable
from losslab.runs.files import FileError
from losslab.runs.folder import PROFILE, find_runs, in_sweep, is_run, job_name
from losslab.runs.record import Record, read_record
from losslab.runs.writer import RunWriter
from losslab.runtime import keep_freed_memory

PROFILERS: dict[Any, Any] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}

log = logging.getLogger(__name__)

# environment variables with the run folder and the checkpoint to resume from, for further ranks
RANK_FOLDER, RANK_RESUMES = "LOSSLAB_RUN_FOLDER", "LOSSLAB_RESUMES"


def train(config: DictConfig, folder: Path, *, resume: bool = False) -> Record:
    """Train, test and record one run.

    Args:
        config: the resolved config.
        folder: the run's folder.
        resume: whether to resume from the folder's ``last.ckpt``; a run that was killed before
            it had one begins again.

    Returns:
        The run's record; its status says whether it failed.

    Raises:
        UserError: if the run cannot be set up; nothing is written in this case.
    """
    configure_process(config)
    components = build_components(config)
    prepare_evaluation(config, components.module)
    watch_components(config, folder, components.module)
    last = resumed_checkpoint(config, folder, components) if resume else None
    writer = make_run_writer(config, folder)
    trainer = make_trainer(config, writer)
    with recorded(writer), rank_environment(folder, last):
        open_record(writer, config, components, last, again=resume)
        if last is None:
            note_baselines(writer, components)
        trainer.fit(
            components.module, components.data, ckpt_path=last, weights_only=True if last else None
        )
        if writer.record["best"] is None:  # a callback stopped it
            raise RuntimeError("training ended before the first validation")
        metrics = evaluate_checkpoint(trainer, components, folder / "checkpoints" / "best.ckpt")
        writer.finish(metrics.get("test", {}), val=metrics["val"])
    finish_loggers(trainer)
    return read_record(folder)


def join(folder: Path) -> None:
    """Train as another rank of a run, without writing files."""
    config = saved_config(folder, trust=True)  # which the first rank has checked
    configure_process(config)
    components = build_components(config)
    prepare_evaluation(config, components.module)
    watch_components(config, folder, components.module)
    trainer = make_trainer(config, make_run_writer(config, folder))
    last = Path(os.environ[RANK_RESUMES]) if os.environ.get(RANK_RESUMES) else None
    if last is not None:
        cast_to_float64(config, components)
    trainer.fit(
        components.module, components.data, ckpt_path=last, weights_only=True if last else None
    )
    evaluate_checkpoint(trainer, components, folder / "checkpoints" / "best.ckpt")


def check(config: DictConfig, like: Components | None = None) -> Components:
    """Check that a config can run: build its components and try one batch, without training.

    Args:
        config: the resolved config.
        like: components of a run with the same config of data and task, which are shared with it.

    Raises:
        UserError: if the config cannot run.
    """
    configure_process(config)
    components = build_components(config, like)
    build(config.trainer, "trainer", **quiet_trainer())
    make_callbacks(config, make_run_writer(config, Path()))
    for name, node in config.logger.extra.items():
        target_of(node, f"logger.{name!s}")  # not built, since it might create files
        if name in EXTRAS and not is_installed(str(name)):
            raise UserError(f"logger={name}: {not_installed(str(name))}")
    require_batches(config, components.data)
    try_batch(config, components)
    return components


def require_batches(config: DictConfig, data: Any) -> None:
    """Check that the Trainer's limits leave batches of each split that the run reads.

    Raises:
        UserError: if they leave none.
    """
    val = data.val_dataloader()
    loaders = {"train": [data.train_dataloader()], "val": val if isinstance(val, list) else [val]}
    if "test" in splits_read(config):
        loaders["test"] = ValThenTest(data, ["test"]).test_dataloader()
    for split, its in loaders.items():
        overfits = config.trainer.get("overfit_batches") and split != "test"
        key = "overfit_batches" if overfits else f"limit_{split}_batches"
        limit, fewest = config.trainer.get(key), min(map(len, its))
        if limited_count(fewest, limit) < 1:
            advice = ", or add test=false" if split == "test" else ""
            raise UserError(
                f"trainer.{key}={limit} leaves none of the {fewest} {split} batches: increase it"
                f"{advice}"
            )


def evaluate(
    folder: Path, splits: tuple[str, ...], which: str = "best", *, trust: bool = False
) -> dict[str, Any]:
    """Evaluate a checkpoint of a run, using the run's saved config.

    Args:
        folder: the run's folder.
        splits: among ``train``, ``val`` and ``test``.
        which: checkpoint, ``best`` or ``last``.
        trust: whether what the config names may be run, whatever it is.

    Returns:
        Metrics by split.
    """
    config = saved_config(folder, trust=trust)
    configure_process(config)
    components = build_components(config)
    # temperatures and thresholds are fitted on validation
    components.module.splits = tuple(dict.fromkeys(["val", *splits]))
    read_checkpoint(folder, which, components)
    cast_to_float64(config, components)
    trainer = build(config.trainer, "trainer", **quiet_trainer())
    metrics = evaluate_checkpoint(trainer, components, checkpoint_path(folder, which))
    return {split: metrics[split] for split in splits}


def cast_to_float64(config: DictConfig, components: Components) -> None:
    """Convert the module to float64 if the run uses it.

    Lightning converts a module only after it has loaded the checkpoint, which would round it to
    float32.
    """
    if is_double(config.trainer):
        components.module.double()


def resumed_checkpoint(config: DictConfig, folder: Path, components: Components) -> Path | None:
    """Return the checkpoint from which a run resumes, after checking it and the run's curves.

    A run that was killed before it had one begins again: ``None``.

    Raises:
        UserError: if a file is damaged.
    """
    last = checkpoint_path(folder, "last")
    done = is_run(folder) and read_record(folder)["status"] == "done"
    if not last.exists() and not done:
        return None
    saved = read_checkpoint(folder, "last", components)
    trainer = build(config.trainer, "trainer", **quiet_trainer())
    require_resumable(last, saved, components, trainer)
    require_curves_until(folder, saved["global_step"])
    cast_to_float64(config, components)
    return last


def is_double(trainer: DictConfig) -> bool:
    """Return whether the Trainer's options request float64."""
    return str(trainer.precision).startswith("64")


def splits_read(config: DictConfig) -> tuple[str, ...]:
    """Return the splits on which a run is evaluated at its end."""
    return ("val", "test") if config.get("test", True) else ("val",)


def prepare_evaluation(config: DictConfig, module: Any) -> None:
    """Tell the module which splits to evaluate at the end, and what to keep of test samples."""
    module.splits = splits_read(config)
    if config.scores and "test" in module.splits:
        module.score_options = ScoreOptions(primary_metric(config.task), config.scores_mb)


def watch_components(config: DictConfig, folder: Path, module: Any) -> None:
    """Tell a supervised module whether to log gradients of the components of its objective."""
    chosen = config.component_gradients
    if isinstance(module, SupervisedModule):
        module.component_gradients = not in_sweep(folder) if chosen == "auto" else bool(chosen)


def configure_process(config: DictConfig) -> None:
    """Set threads, allocator, log levels and Lightning's device check of this process."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.get("allocator") == "keep":
        keep_freed_memory()
    if not torch.cuda.is_available():
        # Lightning queries NVML for devices at each optimizer step, which costs 0.1 ms per step
        # without a driver
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    for module in ("pytorch_lightning", "lightning_fabric", "torchmetrics", "torch.utils._pytree"):
        warnings.filterwarnings("ignore", module=module)


def make_run_writer(
    config: DictConfig, folder: Path, kind: type[RunWriter] = RunWriter
) -> RunWriter:
    """Create the run writer; it does not write anything yet."""
    return kind(
        folder,
        monitor=f"val/{config.task.monitor}",
        mode=config.task.mode,
        patience=config.callbacks.run_writer.patience,
        min_epochs=config.trainer.get("min_epochs") or 0,
        max_seconds=_seconds(config.trainer.get("max_time")),
        events=config.logger.events,
        choose=config.task.checkpoint,
        ties=config.task.ties,
        charts=("train/loss", f"val/{primary_metric(config.task)}"),
        hparams=None if in_sweep(folder) else schema.hparams(_plain(config)),
    )


def _seconds(max_time: Any) -> float | None:
    """Return a duration as Lightning takes it, such as ``DD:HH:MM:SS``, in seconds.

    Raises:
        UserError: if it is invalid.
    """
    if max_time is None:
        return None
    timer = {"_target_": "pytorch_lightning.callbacks.Timer", "duration": max_time}
    seconds: float = build(timer, "trainer.max_time").time_remaining()
    return seconds


def open_record(
    writer: RunWriter,
    config: DictConfig,
    components: Components,
    last: Path | None,
    *,
    again: bool = False,
) -> None:
    """Create the run's folder and record, or resume them from the last checkpoint.

    Args:
        writer: the run's writer.
        config: the resolved config.
        components: the run's components.
        last: checkpoint to resume from.
        again: whether this command begins a run again that was killed before its first checkpoint.

    Raises:
        UserError: if the run is done, or another process works on it.
    """
    text = OmegaConf.to_yaml(secrets.for_saving(config))
    overrides = _plain(config.overrides)
    try:
        writer.folder.mkdir(parents=True, exist_ok=True)
        if last is not None:
            saved = torch.load(last, map_location="cpu", weights_only=True)
            writer.resume(saved["global_step"], text, saved.get("record"))
            return
        writer.start(
            {
                "task": config.choices.task,
                "data": config.choices.data,
                "loss": config.choices.loss,
                "seed": config.seed,
                "cell": job_name(overrides),
                "choices": OmegaConf.to_container(config.choices),
                "hashes": {
                    "weights": components.weights_hash,
                    "data": components.data.fingerprint(),
                    "batches": components.data.order_fingerprint(),
                },
                "sampling": components.data.sampling,
                "sizes": components.data.sizes(),
                "primary": primary_metric(config.task),
                "rarest": _rarest(components),
                "data_notes": list(getattr(components.data, "notes", ())),
                "loss_notes": components.loss_notes,
            },
            config=text,
            again=again,
        )
    except FileExistsError as error:
        raise UserError(str(error)) from error


def _rarest(components: Components) -> str | None:
    """Return the name of the rarest class in training, if the targets are classes."""
    rarest = getattr(components.data, "rarest", None)
    names = getattr(components.data, "class_names", None)
    return None if rarest is None else str(names[rarest] if names else rarest)


def _plain(config: Any) -> Any:
    return OmegaConf.to_container(config)


def make_trainer(config: DictConfig, writer: RunWriter) -> pl.Trainer:
    """Build Lightning's Trainer with the run's callbacks and loggers."""
    loggers = [build(node, f"logger.extra.{name}") for name, node in config.logger.extra.items()]
    for logger in loggers:
        logger.log_hyperparams(schema.hparams(_plain(config)))
    trainer: pl.Trainer = build(
        config.trainer,
        "trainer",
        **quiet_trainer()
        | {"profiler": make_profiler(config.trainer.get("profiler"), writer.folder)}
        | {"logger": loggers or False, "callbacks": make_callbacks(config, writer)},
    )
    return trainer


def make_callbacks(config: DictConfig, writer: RunWriter) -> list[pl.Callback]:
    """Build the run's callbacks, the run writer's first."""
    callbacks: list[pl.Callback] = [RunWriterCallback(writer, config.choices.loss)]
    for name, node in config.callbacks.items():
        # a callback costs a few percent per step, and a progress bar needs a terminal
        if name == "run_writer" or not node or (name == "progress" and not _has_bar(writer.folder)):
            continue
        given: dict[str, dict[str, Any]] = {
            "figures": {"writer": writer},
            "progress": {"metric": writer.monitor},
        }
        callbacks.append(build(node, f"callbacks.{name}", **given.get(str(name), {})))
    return callbacks


def make_profiler(name: Any, folder: Path) -> Any:
    """Return the profiler with a name, which writes its profiles into the run's folder.

    Lightning's own would log them, and what it logs below warnings is not shown.
    """
    if name is None:
        return NoProfiler()
    kind = PROFILERS.get(name)
    return name if kind is None else kind(dirpath=folder, filename=PROFILE)


def _has_bar(folder: Path) -> bool:
    """Return whether a run shows its own progress; a sweep has one bar for all runs."""
    return sys.stderr.isatty() and not in_sweep(folder)


class NoProfiler(Profiler):
    """Profiler that does nothing, since Lightning's default costs 3 percent of a step."""

    def start(self, action_name: str) -> None:
        """Do nothing."""

    def stop(self, action_name: str) -> None:
        """Do nothing."""

    def profile(self, action_name: str) -> Any:
        """Return a shared context manager that does nothing."""
        return _NOTHING


_NOTHING = nullcontext()


def finish_loggers(trainer: pl.Trainer) -> None:
    """Finish the loggers: W&B would otherwise log a sweep's next run into this one."""
    for logger in trainer.loggers:
        finish = getattr(getattr(logger, "experiment", None), "finish", None)
        if callable(finish):
            finish()


def quiet_trainer() -> dict[str, Any]:
    """Return Trainer options that switch off defaults which losslab replaces."""
    return {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "max_time": None,
    }


def note_baselines(writer: RunWriter, components: Components) -> None:
    """Record the task's baselines, which are measured on the test split."""
    if "test" in components.module.splits:
        writer.note({"baselines": components.task.baselines(components.data, components.network)})


def evaluate_checkpoint(
    trainer: pl.Trainer, components: Components, checkpoint: Path
) -> dict[str, dict[str, float]]:
    """Compute the metrics of the module's splits with the weights of a checkpoint.

    Fitted values, such as a threshold, are fitted on validation.
    """
    splits = components.module.splits
    components.module.metrics = {}  # of training
    limits = {split: getattr(trainer, f"limit_{split}_batches") for split in splits}
    trainer.limit_test_batches = 1.0  # of each split
    trainer.test(
        components.module,
        datamodule=ValThenTest(components.data, splits, limits),
        ckpt_path=checkpoint,
        verbose=False,
        weights_only=True,
    )
    metrics: dict[str, dict[str, float]] = components.module.metrics or _returned_metrics(trainer)
    return {split: metrics.get(split, {}) for split in splits}


def _returned_metrics(trainer: pl.Trainer) -> dict[str, dict[str, float]]:
    """Return the metrics of a test in spawned processes, which Lightning returns as float32."""
    metrics: dict[str, dict[str, float]] = {}
    for name, value in trainer.callback_metrics.items():
        split, _, metric = name.partition("/")
        metrics.setdefault(split, {})[metric.partition("/dataloader_idx")[0]] = float(value)
    return metrics


@contextmanager
def recorded(*writers: RunWriter) -> Iterator[None]:
    """Record errors of runs that have not ended; only interruptions are raised again.

    With ``HYDRA_FULL_ERROR``, unexpected errors are raised too.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        for writer in _running(writers):
            writer.interrupt()
        raise interruption(error) from None
    except Exception as error:
        full = bool(os.environ.get("HYDRA_FULL_ERROR"))
        running, disk = _running(writers), disk_error(error)
        if not running:
            if disk is None:
                raise
            raise UserError(unwritable(writers[0].folder, disk)) from error
        for writer in running:
            _record_failure(writer, error)
        if not full and not isinstance(error, Diverged | MemoryError) and disk is None:
            log.exception("the run failed")
        if full and not isinstance(error, Diverged | MemoryError):
            raise


def _running(writers: Iterable[RunWriter]) -> list[RunWriter]:
    """Return the writers of the runs that this process has begun and not ended."""
    begun = [writer for writer in writers if writer.files.record.is_file()]
    own = [writer for writer in begun if writer.record["pid"] == os.getpid()]
    return [writer for writer in own if writer.record["status"] == "running"]


def _record_failure(writer: RunWriter, error: Exception) -> None:
    disk = disk_error(error)
    if disk is not None:
        _record_lack_of_space(writer, disk)
    elif isinstance(error, Diverged):
        writer.fail("diverged", str(error), error.step)
    elif isinstance(error, MemoryError):
        writer.fail("memory", str(error) or "out of memory")
    else:
        place = raised_at(error)
        writer.fail(_kind(error), _one_line(error) + (f" ({place})" if place else ""))


def _record_lack_of_space(writer: RunWriter, error: OSError) -> None:
    message = unwritable(writer.folder, error)
    try:
        writer.fail("space", f"no space: {message}" if error.errno in FULL else message)
    except OSError:
        raise UserError(message) from error


def _kind(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "memory"
    # the error of a spawned rank arrives as text
    return "diverged" if "Diverged" in str(error) else "exception"


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


@contextmanager
def rank_environment(folder: Path, last: Path | None) -> Iterator[None]:
    """Set environment variables for the ranks that Lightning starts, and restore them afterwards.

    Lightning leaves rank variables in the environment, with which the next run of the sweep would
    take itself for another rank.
    """
    before = dict(os.environ)
    os.environ[RANK_FOLDER] = str(folder.resolve())
    os.environ[RANK_RESUMES] = str(last.resolve()) if last else ""
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def saved_config(folder: Path, *, trust: bool = False) -> DictConfig:
    """Read the resolved config of a run.

    Args:
        folder: the run's folder.
        trust: whether what the config names may be run, whatever it is.

    Raises:
        UserError: if the folder is not a run folder, if its record or config is damaged, or if its
            config names code that is not known.
    """
    if not (is_run(folder) or never_recorded(folder)):
        runs = find_runs(folder)
        holds = f": it holds runs, such as {runs[0]}" if runs else ""
        raise UserError(f"{folder} is not the folder of a run{holds}")
    if not never_recorded(folder):
        read_record(folder)
    try:
        config = OmegaConf.create(read_config(folder))
    except FileNotFoundError as error:
        raise FileError(Path(error.filename), "is missing") from error
    _require_environment(config, folder)
    code = config.get("code_dirs", {})
    admit(config.get("config_dirs", []), code, trust=trust)
    if not trust:
        require_harmless([config], Source(folder, code))
    return config


def _require_environment(config: DictConfig, folder: Path) -> None:
    """Check that the environment variables of a saved config are set, but for its loggers."""
    of_run = OmegaConf.masked_copy(config, [str(key) for key in config if key != "logger"])
    try:
        OmegaConf.to_container(of_run, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{folder / 'config.yaml'}: {str(error).splitlines()[0]}") from error
