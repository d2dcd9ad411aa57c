"""Data sets of the Hugging Face hub, or of a folder that its library reads."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from losslab.config.extras import is_installed, not_installed
from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.columns import Categories, require_whole
from losslab.data.files import Changes
from losslab.data.frames import Impute, Roles, names_of
from losslab.data.images import converted
from losslab.data.raw import StandardizeTargets
from losslab.data.splits import TEST, TRAIN, VAL

SPLITS = {"train": TRAIN, "validation": VAL, "valid": VAL, "val": VAL, "dev": VAL, "test": TEST}
"""Split for each name that a data set may give to one."""


class HuggingFace(InMemoryData):
    """Images, arrays or a table of a data set of the Hugging Face hub, with its own splits.

    A missing split is drawn from train. Images are resized to a common size.

    Args:
        name: name on the hub, ``"user/name"``, or a folder with ``.csv``, ``.parquet`` or image
            files.
        target: target column, or a list of columns.
        input: column of images or of arrays of equal shape, or columns of a table; by default all
            columns but the target.
        subset: name of a configuration of the data set.
        image_size: side in pixels to which images are resized.
        grayscale: whether images have one channel instead of three.
        impute: ``"median"``, or ``"refuse"`` to raise an error for missing values, see
            :class:`~losslab.data.table.Table`.
        categories: ``"one_hot"`` or ``"ordinal"`` numbers for text.
        data_dir: folder in whose folder ``huggingface`` the files are kept.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"``, or ``"auto"``, see
            :func:`~losslab.data.targets.read_targets`.
        standardize: whether to standardize inputs with the training split's means and standard
            deviations: per numeric column, per channel, or overall.
        standardize_targets: whether to train on standardized values, too; metrics stay in the unit
            of the target.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range, the package ``datasets`` is not installed or, in
            ``setup``, if the columns are not as described.
        FileNotFoundError: in ``prepare_data``, if there is no such data set, or it cannot be
            downloaded.
    """

    def __init__(
        self,
        name: str,
        target: str | Sequence[str],
        *,
        input: str | Sequence[str] | None = None,
        subset: str | None = None,
        image_size: int = 64,
        grayscale: bool = False,
        impute: Impute = "median",
        categories: Categories = "one_hot",
        data_dir: str = "data",
        target_kind: str = "auto",
        standardize: bool = True,
        standardize_targets: StandardizeTargets = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("image_size", image_size, 4)
        if not is_installed("datasets"):
            raise ValueError(not_installed("datasets"))
        self.source = (name, subset, str(Path(data_dir).expanduser() / "huggingface"))
        self.input = names_of(input)
        self.image_size = image_size
        self.grayscale = grayscale
        self.roles = Roles(
            names_of(target),
            impute=impute,
            categories=categories,
            target_kind=target_kind,
            standardize=standardize,
            standardize_targets=standardize_targets,
        )

    def prepare_data(self) -> None:
        """Download the data set if it is missing."""
        name, _, folder = self.source
        try:
            _parts(*self.source)
        except OSError as error:
            raise FileNotFoundError(
                f"{name} is neither a folder with data nor in {Path(folder).absolute()}, and it "
                "could not be downloaded from huggingface.co: set paths.data_dir to the folder "
                "that contains huggingface"
            ) from error
        except Exception as error:  # what its readers raise
            reason = " ".join(str(error).split())
            raise ValueError(f"{name} cannot be read by datasets: {reason:.200}") from error

    def load(self) -> Raw:
        """Return the samples of all splits."""
        return _samples(self.source, self.input, self.roles, self.image_size, self.grayscale)


@lru_cache(maxsize=1)
def _parts(name: str, subset: str | None, folder: str) -> dict[str, Any]:
    """Return the splits of a data set, each as the library's ``Dataset``."""
    return dict(import_module("datasets").load_dataset(name, subset, cache_dir=folder))


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _samples(
    source: tuple[str, str | None, str],
    chosen: tuple[str, ...],
    roles: Roles,
    side: int,
    grayscale: bool,
) -> Raw:
    changes = Changes()
    parts = _with_targets(_parts(*source), source[0], roles.target, changes)
    splits = [torch.full((part.num_rows,), SPLITS[name]) for name, part in parts.items()]
    first = next(iter(parts.values()))
    inputs = chosen or tuple(name for name in first.column_names if name not in roles.target)
    _require_columns(source[0], first, inputs)
    kind = type(first.features[inputs[0]]).__name__ if inputs else ""
    is_table = len(inputs) > 1 or kind in ("", "Value", "ClassLabel")
    table = _frame(parts, (*inputs, *roles.target) if is_table else roles.target)
    require_whole(source[0], table, roles.gaps(inputs), lambda row: f"sample {row + 1}")
    if is_table:
        return replace(roles.raw(table, changes), fixed=torch.cat(splits))
    [name] = inputs
    rows = (row[name] for part in parts.values() for row in part.select_columns([name]))
    if kind == "Image":
        pixels = _images(rows, len(table), side, grayscale=grayscale, changes=changes)
    else:
        pixels = _arrays(name, list(rows))
    targets = roles.target_of(table, changes)
    return Raw(
        pixels,
        targets.targets,
        targets.kind,
        targets.names,
        torch.cat(splits),
        standardize=roles.standardize,
        standardize_targets=roles.standardize_targets,
        notes=changes.notes(),
    )


def _with_targets(
    parts: dict[str, Any], whose: str, target: tuple[str, ...], changes: Changes
) -> dict[str, Any]:
    """Return the splits that are known and have targets, which those of a contest lack."""
    kept = {}
    for name, part in parts.items():
        _require_columns(whose, part, target)
        classes = _frame({name: part}, target, named=False)
        if name not in SPLITS:
            changes.add(f"splits other than {', '.join(SPLITS)} left out", name)
        elif classes.isna().all(axis=None) or _all_unknown(part, classes):
            changes.add("splits without targets left out", name)
        else:
            kept[name] = part
    if "train" not in kept:
        raise ValueError(f"{whose} must have a split train, got {', '.join(parts)}")
    return kept


def _all_unknown(part: Any, classes: pd.DataFrame) -> bool:
    """Return whether all targets are -1, the class that is not known."""
    labels = all(type(part.features[name]).__name__ == "ClassLabel" for name in classes)
    return labels and bool((classes == -1).all(axis=None))


def _require_columns(whose: str, part: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in part.column_names:
            got = ", ".join(part.column_names)
            raise ValueError(f"{whose} must have the column {name!r}, got {got}")


def _frame(parts: dict[str, Any], names: tuple[str, ...], *, named: bool = True) -> pd.DataFrame:
    """Return columns of several splits, with the names of classes instead of their numbers."""
    frames = []
    for part in parts.values():
        frame = part.data.table.select(list(names)).to_pandas()
        for name in names if named else ():
            if type(part.features[name]).__name__ == "ClassLabel":
                frame[name] = frame[name].map(dict(enumerate(part.features[name].names)))
        frames.append(frame)
    table: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return table


def _images(
    samples: Iterable[Any], number: int, side: int, *, grayscale: bool, changes: Changes
) -> Tensor:
    """Return images of 8 bits as numbers from 0 to 1, ``(n, 1 or 3, side, side)``."""
    pixels = torch.empty(number, 1 if grayscale else 3, side, side)
    for place, image in enumerate(samples):
        if image is None:
            raise ValueError(f"images must not be missing, got none in sample {place}")
        if image.mode[0] in "IF":
            raise ValueError(
                f"images must have 8 bits, got the mode {image.mode} in sample {place}"
            )
        whose = f"sample {place}"
        read = converted(image, whose, side, grayscale=grayscale, changes=changes)
        pixels[place] = read.pixels
    return pixels


def _arrays(name: str, column: list[Any]) -> Tensor:
    try:
        return torch.from_numpy(np.stack([np.asarray(each, dtype=np.float32) for each in column]))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"column {name!r} must hold images or arrays of one shape, got: {error}"
        ) from error
