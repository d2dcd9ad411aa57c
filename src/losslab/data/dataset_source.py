"""Samples of torch Datasets: what an item is, and its conversion to tensors."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.config.errors import described
from losslab.data.content import digest
from losslab.data.files import Changes
from losslab.data.raw import IGNORED
from losslab.data.source import Sample, Source, reading, seed_sample
from losslab.rng import global_state

COLUMNS = ("input", "target", "weight", "group")
UNLABELLED = 255
"""Value of mask pixels that are ignored, as in Pascal VOC; so is :data:`IGNORED`."""
LOOKED_AT = 8
"""Samples that are read twice, to find random transforms."""


class Item(NamedTuple):
    """What is kept of an item of a Dataset besides its input.

    Attributes:
        target: its target; of a mask, the mask itself, or its numbers of pixels per class, the
            last of which is that of ignored pixels.
        more: weight and group, if it has them.
    """

    target: Any
    more: tuple[Any, ...]


class DatasetSource(Source):
    """Samples that torch Datasets read.

    Args:
        datasets: Datasets by split.

    Attributes:
        keeps_masks: whether a look at a sample keeps its mask, and not only its numbers of pixels.
    """

    def __init__(self, datasets: Mapping[str, Any]) -> None:
        self.keeps_masks = False
        self._datasets = list(datasets.values())
        self._ends = np.cumsum([len(each) for each in self._datasets])
        self.name = type(self._datasets[0]).__name__
        self._of = [
            f"{type(each).__name__}{f' ({name})' if len(datasets) > 1 else ''}"
            for name, each in datasets.items()
        ]
        if not len(self):
            raise ValueError(f"{self.name} must have samples, got none")
        with reading():
            seed_sample(0, None, 0)
            inputs, target, *_ = self._item(0)
        self.has_masks = _is_mask(inputs, target)
        self._shape = tuple(_input(inputs, self.label(0)).shape)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def shape(self) -> tuple[int, ...]:
        """Return the shape of the first input."""
        return self._shape

    def label(self, index: int) -> str:
        """Return the number of a sample in its Dataset."""
        part, place = self._place(index)
        return f"sample {place} of {self._of[part]}"

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read an input and, if targets are masks, its mask."""
        item = self._item(index)
        label = self.label(index)
        mask = _mask(item[1], label) if self.has_masks else None
        return _input(item[0], label), mask

    def look(self, index: int, changes: Changes, *, decode: bool) -> Sample:
        """Read an item as it is in evaluation, and find its hash and targets."""
        with reading():
            seed_sample(0, None, index)
            item = self._item(index)
        return self._looked(index, item, decode=decode)

    def _looked(self, index: int, item: Sequence[Any], *, decode: bool) -> Sample:
        label = self.label(index)
        inputs = _input(item[0], label)
        target: Any = _mask(item[1], label) if self.has_masks else _target(item[1], label)
        if self.has_masks and tuple(target.shape) != self._shape[1:]:
            raise ValueError(
                f"{label} has a mask of shape {tuple(target.shape)}, others have {self._shape[1:]}"
            )
        more = [_plain(each) for each in item[2:]]
        for name, each in zip(COLUMNS[2:], more, strict=False):
            if each.size != 1:
                raise ValueError(f"the {name} of {label} must be one value, got shape {each.shape}")
        parts = [np.asarray(inputs), np.asarray(target), *more]
        if self.has_masks and not self.keeps_masks:
            target = _pixels_per_class(target)
        found = Item(target, tuple(each.item() for each in more))
        return Sample(digest(*parts), inputs if decode else None, found)

    def key(self) -> Hashable:
        """Return the Datasets themselves."""
        return tuple(_Same(each) for each in self._datasets)

    def draws(self) -> bool:
        """Return whether reading draws random numbers from the global generators.

        Raises:
            ValueError: if it draws from others, which cannot be repeated.
        """
        found = False
        for index in np.linspace(0, len(self) - 1, min(LOOKED_AT, len(self))).astype(int).tolist():
            digests = []
            for _ in range(2):
                with reading():
                    seed_sample(0, None, index)
                    before = _states()
                    item = self._item(index)
                    found |= before != _states()
                digests.append(self._looked(index, item, decode=False).digest)
            if digests[0] != digests[1]:
                raise ValueError(
                    f"{self.label(index)} differs each time it is read: draw random numbers from "
                    "the global generators of torch, numpy or random, which are seeded per sample, "
                    "and not from a generator of its own"
                )
        return found

    def _place(self, index: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._ends, index, side="right"))
        return part, index - (int(self._ends[part - 1]) if part else 0)

    def _item(self, index: int) -> Sequence[Any]:
        part, place = self._place(index)
        try:
            item = self._datasets[part][place]
        except Exception as error:  # the user's Dataset may raise anything
            raise ValueError(f"{self.label(index)} cannot be read: {described(error)}") from error
        if not isinstance(item, tuple | list) or not 2 <= len(item) <= len(COLUMNS):
            several = f" of {len(item)}" if isinstance(item, tuple | list) else ""
            raise ValueError(
                f"{self.label(index)} must be (input, target), and may have a weight and a group, "
                f"got {type(item).__name__}{several}"
            )
        return item


class _Same:
    """Key that is equal only for the same object."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _states() -> list[Any]:
    """Return the states of the global generators."""
    import random  # noqa: PLC0415

    of_numpy = np.random.get_state()
    return [global_state().numpy().tobytes(), random.getstate(), str(of_numpy)]


def _plain(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)


def _input(value: Any, label: str) -> Tensor:
    """Convert an input to float32."""
    array = None if isinstance(value, Mapping | str | bytes) else _plain(value)
    if array is None or array.dtype.kind not in "biuf" or hasattr(value, "getbands"):
        raise ValueError(
            f"the input of {label} must be a tensor or an array of numbers, got "
            f"{type(value).__name__}: convert it in __getitem__, an image by "
            "torchvision.transforms.v2.functional.to_image"
        )
    return torch.from_numpy(array.astype(np.float32)).reshape(array.shape or (1,))


def _target(value: Any, label: str) -> Any:
    """Return a target as a plain value or an array ``(K,)``."""
    array = _plain(value)
    if array.ndim > 1 or array.dtype.kind not in "biufU":
        shape = f" of shape {array.shape}" if array.ndim else ""
        raise ValueError(
            f"the target of {label} must be a class, a value, several of them, or a mask of the "
            f"size of the image, got {type(value).__name__}{shape}"
        )
    return array if array.ndim else array.item()


def _pixels_per_class(mask: Tensor) -> Tensor:
    """Count the pixels of each class that a mask may have, then those that are ignored."""
    ignored = mask == IGNORED
    return torch.cat([torch.bincount(mask[~ignored].flatten()), ignored.sum().reshape(1)])


def _is_mask(inputs: Any, target: Any) -> bool:
    """Return whether a target is a mask: one number per pixel of an image."""
    image, mask = np.shape(inputs), np.shape(target)
    return len(image) == 3 and len(mask) in (2, 3) and mask[-2:] == image[-2:]


def _mask(value: Any, label: str) -> Tensor:
    """Convert a mask to class indices, int64 ``(H, W)``, or :data:`IGNORED`."""
    mask = torch.from_numpy(np.array(_plain(value)))
    mask = mask[0] if mask.ndim == 3 and len(mask) == 1 else mask
    whole = mask.long()
    whole = whole.where(whole != UNLABELLED, IGNORED)
    wrong = (whole < 0) & (whole != IGNORED)
    if mask.ndim != 2 or bool((mask != mask.round()).any() if mask.is_floating_point() else False):
        raise ValueError(
            f"the mask of {label} must be class indices of shape (H, W), got {mask.dtype} of shape "
            f"{tuple(mask.shape)}"
        )
    if bool(wrong.any()):
        raise ValueError(f"the mask of {label} must be >= 0, got {int(whole[wrong][0])}")
    return whole
