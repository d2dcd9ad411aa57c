"""Train, evaluate and record a run."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from omegaconf import DictConfig

from losslab.callbacks.figures import Figures
from losslab.checkpoints import checkpoint_path, read_checkpoint, require_resumable
from losslab.components import Components, build_components
from losslab.config.errors import UserError
from losslab.config.instantiate import build
from losslab.data.limits import limited_count
from losslab.data.val_then_test import ValThenTest
from losslab.first_batch import try_batch
from losslab.loggers import finish_loggers, require_loggers, run_urls
from losslab.metrics.labels import primary_metric
from losslab.modules.scores import ScoreOptions
from losslab.modules.sharding import FULLY_SHARD
from losslab.modules.supervised import SupervisedModule
from losslab.network_building import require_new_networks
from losslab.process_checks import require_processes, require_strategy, spawns
from losslab.ranks.connection import leave_group
from losslab.ranks.first import FIRST_RANK
from losslab.ranks.follower import Together
from losslab.recording import make_run_writer, open_record, recorded
from losslab.runs.check import require_curves_until
from losslab.runs.folder import in_sweep, is_run
from losslab.runs.record import Record, read_record
from losslab.runs.writer import RunWriter
from losslab.runtime import keep_freed_memory
from losslab.saved_config import saved_config
from losslab.trainer import is_double, make_callbacks, make_trainer, quiet_trainer

IN_ONE_PROCESS = {"strategy": "auto", "devices": 1, "num_nodes": 1}
"""Options of a Trainer that only evaluates."""


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
    trained = resume and checkpoint_path(folder, "last").exists()
    components = build_components(config, starts=not trained)
    prepare_evaluation(config, components.module)
    watch_components(config, folder, components.module)
    last = resumed_checkpoint(config, folder, components) if resume else None
    writer = make_run_writer(config, folder)
    trainer = make_trainer(config, writer)
    require_processes(config, trainer, components)
    with recorded(writer), released(components.data):
        open_record(writer, config, components, last, again=resume)
        if urls := run_urls(config, trainer.loggers):
            writer.note({"urls": urls})
        if last is None:
            note_baselines(writer, components)
        with ranks_together(config, trainer, folder, last):
            fit(trainer, components, last)
            if writer.record["best"] is None:  # a callback stopped it
                raise RuntimeError("training ended before the first validation")
            metrics = evaluate_checkpoint(trainer, components, checkpoint_path(folder, "best"))
        writer.finish(metrics.get("test", {}), val=metrics["val"])
    finish_loggers(trainer.loggers)
    return read_record(folder)


def join(folder: Path, last: Path | None, together: Together) -> None:
    """Train as another rank of a run, without writing files.

    Args:
        folder: the run's folder.
        last: checkpoint to resume from.
        together: makes the context in which the ranks of a Trainer are connected.
    """
    config = saved_config(folder, trust=True)  # which the first rank has checked
    configure_process(config)
    components = build_components(config, starts=last is None)
    prepare_evaluation(config, components.module)
    watch_components(config, folder, components.module)
    trainer = make_trainer(config, make_run_writer(config, folder))
    if last is not None:
        cast_to_float64(config, components)
    with released(components.data), together(trainer):
        fit(trainer, components, last)
        evaluate_checkpoint(trainer, components, checkpoint_path(folder, "best"))


def fit(trainer: pl.Trainer, components: Components, last: Path | None) -> None:
    """Train, from a checkpoint if there is one."""
    trainer.fit(
        components.module, components.data, ckpt_path=last, weights_only=True if last else None
    )


def check(
    config: DictConfig, like: Components | None = None, trainer: pl.Trainer | None = None
) -> Components:
    """Check that a config can run: build its components and try one batch, without training.

    Args:
        config: the resolved config.
        like: components of a run with the same config of data and task, which are shared with it.
        trainer: the config's :func:`bare_trainer`, or that of another one with the same Trainer.

    Raises:
        UserError: if the config cannot run.
    """
    configure_process(config)
    components = build_components(config, like)
    if like is None:
        require_new_networks(config, components.data, components.task)
    require_strategy(config)
    trainer = trainer or bare_trainer(config)
    require_processes(config, trainer, components)
    make_callbacks(config, make_run_writer(config, Path()))
    require_loggers(config)
    require_batches(config, components.data)
    try_batch(config, components, trainer.world_size)
    return components


def bare_trainer(config: DictConfig) -> pl.Trainer:
    """Build the Trainer of a run without callbacks and loggers, for checks."""
    configure_process(config)
    trainer: pl.Trainer = build(config.trainer, "trainer", **quiet_trainer())
    return trainer


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
    folder: Path,
    splits: tuple[str, ...],
    which: str = "best",
    *,
    figures: bool = False,
    trust: bool = False,
) -> dict[str, Any]:
    """Evaluate a checkpoint of a run, using the run's saved config.

    Args:
        folder: the run's folder.
        splits: among ``train``, ``val`` and ``test``.
        which: checkpoint, ``best`` or ``last``.
        figures: whether to draw the last of the splits.
        trust: whether what the config names may be run, whatever it is.

    Returns:
        Metrics by split.
    """
    config = saved_config(folder, trust=trust)
    configure_process(config)
    components = build_components(config, starts=False)
    # temperatures and thresholds are fitted on validation
    components.module.splits = tuple(dict.fromkeys(["val", *splits]))
    read_checkpoint(folder, which, components)
    cast_to_float64(config, components)
    trainer = build(config.trainer, "trainer", **quiet_trainer() | IN_ONE_PROCESS)
    if figures:
        trainer.callbacks.append(Figures(make_run_writer(config, folder), seeds="all"))
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
        shown = not in_sweep(folder) and config.trainer.strategy != FULLY_SHARD
        module.component_gradients = shown if chosen == "auto" else bool(chosen)


def configure_process(config: DictConfig) -> None:
    """Set threads, allocator, log levels, warnings and Lightning's device check of this process."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.get("allocator") in ("auto", "keep"):
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
    if config.extras.ignore_warnings:
        warnings.filterwarnings("ignore")


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
def released(data: Any) -> Iterator[None]:
    """End the processes that read the data, whatever happens."""
    try:
        yield
    finally:
        if hasattr(data, "close"):
            data.close()


@contextmanager
def ranks_together(
    config: DictConfig, trainer: pl.Trainer, folder: Path, last: Path | None
) -> Iterator[None]:
    """Let the other ranks of a run train it too, and restore the environment variables.

    Lightning leaves variables of ranks, with which the next run of a sweep would take itself for
    another rank.
    """
    before = dict(os.environ)
    alone = trainer.world_size == 1 or spawns(config)
    try:
        with nullcontext() if alone else FIRST_RANK.together(trainer, folder, last):
            yield
    finally:
        if dist.is_available() and dist.is_initialized():  # by Lightning, for one process
            leave_group()
        os.environ.clear()
        os.environ.update(before)
