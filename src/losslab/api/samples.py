"""Data that are given in Python: written to a file once, which runs read as they read yours.

A run's config then says all there is to know about it, and the command line repeats it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.api.choices import named_options
from losslab.api.datasets import (
    arrays_of,
    given_datasets,
    small_model,
    source_to_stream,
    streamed_options,
    targets_of,
)
from losslab.config.errors import UserError
from losslab.config.overrides import written
from losslab.data.columns import plain
from losslab.data.dataset_source import DatasetSource
from losslab.data.frame_file import plain_frame, write_frame
from losslab.data.targets import read_targets
from losslab.progress import show

Arrays = dict[str, NDArray[Any]]
TASKS = {"classes": "classification", "values": "regression", "multilabel": "multilabel"}
KINDS = {"classes": "classes", "values": "numbers", "multilabel": "several labels per sample"}
COLUMNS = ("inputs", "targets", "weight", "group")
FILE = "data.npz"
"""File of the data, in the folder of a comparison."""
FILES = (FILE, "data.csv")
"""The file, and that of a DataFrame in earlier versions."""


def data_options(
    data: Any, target: Any, task: str | None, folder: Path, model: Any, options: Sequence[str]
) -> list[str]:
    """Return the options that choose data, and the task that follows from the targets.

    Args:
        data: name in conf/, ``(X, y)``, a DataFrame, a Dataset of ``(input, target)`` (and
            optionally weight and group), a DataLoader, whose dataset is taken, or a
            LightningDataModule.
        target: column or columns of a DataFrame.
        task: name of the task; ``None`` to infer it.
        folder: folder for the file.
        model: the model that was given.
        options: further options, which may ask to read samples again in each epoch.

    Raises:
        UserError: if they are something else.
    """
    if isinstance(data, str):
        return [*named_options("data", data), *([f"task={task}"] if task else [])]
    if hasattr(data, "to_csv") and hasattr(data, "columns"):
        return _of_frame(data, target, task, folder)
    if target is not None:
        raise UserError(f"target is a column of a DataFrame, got {type(data).__name__} as data")
    if isinstance(data, tuple | list) and len(data) == 2 and hasattr(data[0], "to_csv"):
        _require_equal_lengths(dict(zip(COLUMNS, map(np.asarray, data), strict=False)))
        return _of_frame(*_joined(*data), task, folder)
    datasets = given_datasets(data)
    if datasets is not None:
        source, streamed = source_to_stream(datasets, options)
        if streamed:
            chosen = task or _task_of_source(source)
            return [*streamed_options(data), f"task={chosen}", *small_model(source, model, options)]
        arrays = arrays_of(source, datasets)
    else:
        arrays = _arrays(data)
    _require_equal_lengths(arrays)
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return [
        "data=arrays",
        f"data.path={written(path.resolve())}",
        f"task={task or _task_of(arrays['targets'])}",
    ]


def _is_one_hot(targets: NDArray[Any]) -> bool:
    numbers = targets.dtype.kind in "biuf"
    return numbers and bool(np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all())


def _arrays(data: Any) -> Arrays:
    if isinstance(data, tuple | list) and len(data) == 2:
        return {name: _array(name, each) for name, each in zip(COLUMNS, data, strict=False)}
    several = f" of {len(data)}" if isinstance(data, tuple) else ""
    raise UserError(
        "data must be a name, (X, y), a DataFrame, a Dataset, a DataLoader or a "
        f"LightningDataModule, got {type(data).__name__}{several}"
    )


def _require_equal_lengths(arrays: Arrays) -> None:
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(f"data must be arrays of equal length, got {got}")


def _joined(frame: Any, targets: Any) -> tuple[Any, list[str]]:
    """Return a DataFrame with the targets, and the names of their columns."""
    columns = np.asarray(targets).reshape(len(frame), -1).T
    name = "target"
    while any(str(each).startswith(name) for each in frame.columns):
        name = f"_{name}"
    names = [name] if len(columns) == 1 else [f"{name}{place}" for place in range(len(columns))]
    return frame.assign(**dict(zip(names, columns, strict=True))), names


def _of_frame(frame: Any, target: Any, task: str | None, folder: Path) -> list[str]:
    if hasattr(target, "to_numpy"):
        kind = type(target).__name__
        raise UserError(
            f"target must name columns of the DataFrame, got a {kind}: give data=(X, y)"
        )
    several = isinstance(target, list | tuple)
    columns = list(target) if several else [] if target is None else [target]
    missing = [name for name in columns if name not in frame.columns]
    if missing or not columns:
        raise UserError(
            f"target must name columns of the DataFrame, got {target!r}: it has "
            f"{', '.join(map(str, frame.columns))}"
        )
    try:
        table = plain_frame(frame)
    except ValueError as error:
        raise UserError(str(error)) from error
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    write_frame(path, table)
    chosen = written(columns[0]) if len(columns) == 1 else f"[{','.join(map(written, columns))}]"
    return [
        "data=table",
        f"data.path={written(path.resolve())}",
        f"data.target={chosen}",
        f"task={task or _task_of(_targets(table, columns))}",
    ]


def _targets(table: Any, columns: Sequence[Any]) -> NDArray[Any]:
    """Return the targets of a table of plain columns, ``(n, K)``."""
    return np.stack([plain(table[str(name)]) for name in columns], axis=1)


def _task_of(targets: NDArray[Any]) -> str:
    """Return the task of targets, and say it: strings, booleans and few integers are classes."""
    if targets.ndim == 2 and targets.shape[1] > 1 and _is_one_hot(targets):
        raise UserError(
            "targets could be one-hot classes or labels: give targets.argmax(axis=1), or "
            "task='multilabel'"
        )
    try:
        kind = read_targets("targets", targets, "auto").kind
    except ValueError as error:
        reason = str(error).partition(": set ")[0]
        raise UserError(f"{reason}: give task='classification' or 'regression'") from error
    show(f"task: {TASKS[kind]}, since the targets are {KINDS[kind]} (task=... is for another)")
    return TASKS[kind]


def _task_of_source(source: DatasetSource) -> str:
    """Return the task of data that are streamed, and say it."""
    targets = targets_of(source)
    if targets is not None:
        return _task_of(targets)
    show("task: segmentation, since the targets are masks (task=... is for another)")
    return "segmentation"


def _array(name: str, values: Any) -> NDArray[Any]:
    if isinstance(values, Mapping):
        raise UserError(f"{name} must be numbers, got {type(values).__name__}")
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if hasattr(values, "toarray"):
        raise UserError(f"{name} must be dense, got {type(values).__name__}: give .toarray() of it")
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise UserError(f"{name} must be numbers of one shape: {error}") from error
    return array.astype(str) if array.dtype.kind == "O" else array
