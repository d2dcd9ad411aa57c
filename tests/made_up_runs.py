"""Runs as they would be read from disk, made up."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from losslab.analysis.load import Collection, Run
from losslab.runs.curves import Curves
from losslab.runs.record import new_record, write_record

CONFIG: dict[str, Any] = {
    "seed": 0,
    "threads": 1,
    "paths": {"log_dir": "logs"},
    "trainer": {"max_epochs": 20, "profiler": None},
    "logger": {"events": True},
    "callbacks": {"run_writer": {"_target_": "x", "patience": None}},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.02, "betas": [0.9, 0.999]},
    "scheduler": {},
    "regularizer": {},
    "model": {"_target_": "Linear"},
    "task": {
        "metrics": ["mae", "rmse"],
        "monitor": "mae",
        "mode": "min",
        "learning_rate": 0.02,
        "reference_losses": {"mse": {"_target_": "MSE"}},
    },
    "data": {"_target_": "Line", "seed": 0, "split_seed": None, "outliers": 0.0, "batch_size": 64},
    "loss": {"_target_": "Loss"},
    "choices": {
        "loss": "mse",
        "data": "regression",
        "task": "regression",
        "model": "linear",
        "regularizer": "none",
        "optimizer": "adam",
        "callbacks": "quiet",
    },
    "overrides": [],
}
HASHES = ("weights", "data", "batches")


def made_up(
    loss: str = "mse",
    seed: int = 0,
    mae: float | None = None,
    *,
    status: str = "done",
    kind: str | None = None,
    overrides: tuple[str, ...] = (),
    settings: dict[str, Any] | None = None,
    **record: Any,
) -> Run:
    """A run; ``settings`` are dotted keys of its config, ``record`` fields of its record."""
    config = copy.deepcopy(CONFIG)
    settings = {"choices.loss": loss, "seed": seed, "data.seed": seed} | (settings or {})
    for key, value in settings.items():
        *groups, name = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    config["overrides"] = [f"loss={loss}", f"seed={seed}", *overrides]
    content: Any = new_record()
    error = None if kind is None else {"kind": kind, "message": f"{loss} gave nan", "step": 7}
    content.update(status="failed" if kind else status, error=error)
    choices = config["choices"]
    content.update({name: choices[name] for name in ("loss", "data", "task")}, seed=seed)
    content["sampling"] = "fresh"
    content["hashes"] = {name: f"{name}{seed}" for name in HASHES}
    content.update(epochs=20, best={"epoch": 3, "metrics": {"mae": 1.0 if mae is None else mae}})
    if mae is not None:
        content["test"] = {"mae": mae, "rmse": 1.25 * mae, "loss": 5.0, "ref/mse": mae**2}
    content.update(record)
    return Run(Path(f"{loss}/{seed}"), content, config)


@pytest.fixture(name="made_up")
def _made_up():
    return made_up


def with_monitor(run: Run, values: Sequence[float], name: str = "mae") -> Run:
    """The run with a validation curve of a metric, one value per epoch."""
    rows = [(epoch, epoch, 0.0, f"val/{name}", value) for epoch, value in enumerate(values)]
    run.__dict__["read_columns"] = lambda: Curves(*map(np.array, zip(*rows, strict=True)))
    return run


@pytest.fixture(name="with_monitor")
def _with_monitor():
    return with_monitor


def sweep(maes: Mapping[str, Sequence[float | str | None]], **given: Any) -> list[Run]:
    """A run a loss and seed, by the mean absolute error it came to.

    ``None`` is a seed that was not run; a word is how the run failed, or its status.
    """
    runs = []
    for loss, values in maes.items():
        for seed, value in enumerate(values):
            if value in ("diverged", "exception", "memory"):
                runs.append(made_up(loss, seed, kind=str(value), **given))
            elif isinstance(value, str):
                runs.append(made_up(loss, seed, status=value, **given))
            elif value is not None:
                runs.append(made_up(loss, seed, value, **given))
    return runs


@pytest.fixture(name="sweep")
def _sweep():
    return sweep


@pytest.fixture
def collected():
    """A collection of a sweep as :func:`sweep` makes it."""

    def collect(maes: Mapping[str, Sequence[float | str | None]], **given: Any) -> Collection:
        return Collection(tuple(sweep(maes, **given)))

    return collect


@pytest.fixture
def on_disk(tmp_path):
    """Writes made-up runs below a folder, as a sweep would have left them."""

    def write(*runs: Run, below: str = "sweep") -> Path:
        for run in runs:
            folder = tmp_path / below / run.folder
            folder.mkdir(parents=True)
            write_record(folder, run.record)
            (folder / "config.yaml").write_text(yaml.safe_dump(dict(run.config)))
        return tmp_path / below

    return write
