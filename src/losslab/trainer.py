"""Lightning's Trainer of a run, with its callbacks, loggers and profiler."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.profilers import (
    AdvancedProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

from losslab.callbacks import RunWriterCallback
from losslab.config.instantiate import build
from losslab.loggers import make_loggers
from losslab.ranks.place import trainer_options
from losslab.runs.folder import PROFILE, in_sweep
from losslab.runs.writer import RunWriter

PROFILERS: dict[str, Any] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}


def make_trainer(config: DictConfig, writer: RunWriter) -> pl.Trainer:
    """Build Lightning's Trainer with the run's callbacks and loggers."""
    loggers = make_loggers(config, writer.folder)
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
        # so that Lightning neither asks Slurm for its processes nor requeues its jobs
        "plugins": [LightningEnvironment()],
        **trainer_options(),
    }


def is_double(trainer: DictConfig) -> bool:
    """Return whether the Trainer's options request float64."""
    return str(trainer.precision).startswith("64")
