"""Datasets that are given in Python, and read again in each epoch: if random, large, or masks."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from losslab import given
from losslab.config.errors import UserError
from losslab.data.dataset import Columns
from losslab.data.dataset_source import DatasetSource
from losslab.data.memory import Choice
from losslab.data.scan import scan, scan_again
from losslab.data.workers import number_of_workers
from losslab.data_building import checked_dataset, datasets_of, is_data_module

READ_AGAIN = ("data.in_memory=", "data.augment", "data.num_workers=")
"""Options of data whose samples are read again in each epoch."""


class Again:
    """Function that returns what was given; a Dataset is not copied."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.__name__ = type(value).__name__
        self.__signature__ = inspect.Signature()

    def __call__(self) -> Any:
        """Return it."""
        return self.value


def given_datasets(data: Any) -> Mapping[str, Any] | None:
    """Return Datasets by split, if data are any, or a sequence of items; not for ``(X, y)``.

    Raises:
        UserError: if data are several Datasets.
    """
    if is_data_module(data):
        return datasets_of(data)
    if isinstance(data, tuple | list) and data and isinstance(data[0], Dataset | DataLoader):
        raise UserError(
            f"data must be one Dataset, got {len(data)}: give that of all samples, which losslab "
            "splits, or a LightningDataModule, which has its own splits"
        )
    if isinstance(data, DataLoader):
        data = data.dataset
    is_sequence = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    plain = isinstance(data, tuple | np.ndarray | Tensor) or (
        isinstance(data, list) and len(data) == 2
    )
    return (
        {"train": checked_dataset(data)}
        if isinstance(data, Dataset) or (is_sequence and not plain)
        else None
    )


def source_to_stream(
    datasets: Mapping[str, Any], options: Sequence[str]
) -> tuple[DatasetSource, bool]:
    """Return what reads Datasets, and whether it is to read them again in each epoch.

    Raises:
        UserError: if an item is invalid.
    """
    with _item_errors():
        source = DatasetSource(datasets)
        asked = source.has_masks or any(each.startswith(READ_AGAIN) for each in options)
        changing = "it is random" if source.draws() else ""
        fits = Choice("auto", len(source), source.shape(), changing).in_memory
    return source, asked or not fits


def streamed_options(data: Any) -> list[str]:
    """Return the options that choose data that are kept as they were given."""
    value = data.dataset if isinstance(data, DataLoader) else data
    return ["data=dataset", f"data._target_={given.keep(type(value).__name__, Again(value))}"]


def small_model(source: DatasetSource, model: Any, options: Sequence[str]) -> list[str]:
    """Return the option for the default model, if none is given and inputs are not images."""
    is_chosen = isinstance(model, str) or any(each.startswith("model=") for each in options)
    return [] if is_chosen or len(source.shape()) == 3 else ["model=mlp"]


def arrays_of(source: DatasetSource, datasets: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Read all items, and return their arrays with those of the splits, if there are several.

    Raises:
        UserError: if an item is invalid.
    """
    with _item_errors():
        content = scan_again(source, workers=0, moments=False, keep=True)
        assert content.inputs is not None
        columns = Columns(content.found, source)
        arrays = {"inputs": content.inputs.numpy(), "targets": columns.targets()}
        more = {name: columns.values(name) for name in ("weight", "group")}
    arrays |= {name: values for name, values in more.items() if values is not None}
    if len(datasets) > 1:
        arrays["split"] = np.repeat(list(datasets), [len(each) for each in datasets.values()])
    return arrays


def targets_of(source: DatasetSource) -> NDArray[Any] | None:
    """Return all targets, ``(n,)`` or ``(n, K)``; ``None`` for masks.

    Raises:
        UserError: if an item is invalid.
    """
    if source.has_masks:
        return None
    with _item_errors():
        content = scan(source, workers=number_of_workers("auto"), moments=True)
        return Columns(content.found, source).targets()


@contextmanager
def _item_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UserError(f"data: {error}") from error
