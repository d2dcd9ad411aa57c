"""Your own torch Datasets: map-style, of ``(input, target)`` and optionally weight and group."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data import checks, targets
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.content import Content
from losslab.data.dataset_source import COLUMNS, DatasetSource, Item
from losslab.data.memory import Choice, InMemory
from losslab.data.raw import StandardizeTargets
from losslab.data.scan import scan
from losslab.data.splits import NAMES
from losslab.data.streaming import StreamedInputs
from losslab.data.workers import number_of_workers


class FromDatasets(InMemoryData):
    """Data of torch Datasets, whose items are ``(input, target[, weight, group])``.

    Inputs are tensors or arrays of one shape. Targets are class indices, strings, values, several
    0/1 labels, or masks ``(H, W)`` of class indices, in which 255 and -100 are ignored. All items
    are read once before training, which finds targets, means and errors. What a Dataset draws from
    the global generators of torch, NumPy and Python is a function of (seed, epoch, sample) in
    training, and the same in each epoch in validation and test.

    Args:
        datasets: Datasets by split; without validation or test, these are drawn from training.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"`` or ``"auto"``.
        standardize: whether to standardize inputs with means and standard deviations of the
            training split.
        standardize_targets: whether to train on standardized values.
        in_memory: whether items are read once and kept, which random ones cannot be; ``"auto"``
            keeps the others if they take at most an eighth of the machine's memory.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if an item is invalid.
    """

    def __init__(
        self,
        datasets: Mapping[str, Any],
        *,
        target_kind: str = "auto",
        standardize: bool = True,
        standardize_targets: StandardizeTargets = True,
        in_memory: InMemory = "auto",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_choice("target_kind", target_kind, targets.ASKED)
        checks.require_choice("in_memory", in_memory, (True, False, "auto"))
        checks.require_choice("standardize", standardize, (True, False))
        self.datasets = dict(datasets)
        self.asked_kind = target_kind
        self.standardize, self.standardize_targets = standardize, standardize_targets
        self.in_memory = in_memory

    @property
    def title(self) -> str:
        """Name of the Dataset of the training split."""
        return type(next(iter(self.datasets.values()))).__name__

    def load(self) -> Raw:
        """Read all items once, and keep their inputs if they fit into memory."""
        source = DatasetSource(self.datasets)
        choice = self._choice(source)
        source.keeps_masks = choice.in_memory
        workers = number_of_workers(self.num_workers)
        streamed = not choice.in_memory
        content = scan(
            source, workers=workers, moments=self.standardize and streamed, keep=not streamed
        )
        inputs: Any = content.inputs
        if streamed:
            inputs = StreamedInputs(
                source, workers=workers, content=content, masks=source.has_masks
            )
        return self._raw(source, inputs, content, choice.notes)

    def reads_again(self) -> bool:
        """Return whether items are read again in each epoch."""
        return not self._choice(DatasetSource(self.datasets)).in_memory

    def _choice(self, source: DatasetSource) -> Choice:
        changing = f"{source.name} draws random numbers" if source.draws() else ""
        return Choice(self.in_memory, len(source), source.shape(), changing)

    def _raw(
        self, source: DatasetSource, inputs: Any, content: Content, notes: tuple[str, ...]
    ) -> Raw:
        found: list[Item] = content.found
        columns = Columns(found, source)
        more: dict[str, Any] = {"standardize_targets": self.standardize_targets}
        if source.has_masks:
            read: Tensor = columns.masks(in_memory=content.inputs is not None)
            more["target_kind"] = "masks"
        else:
            kind = self.asked_kind
            target = targets.read_targets(f"targets of {source.name}", columns.targets(), kind)
            read, more["target_kind"], more["class_names"] = target
        weights, groups = columns.values("weight"), columns.values("group")
        sizes = [len(part) for part in self.datasets.values()]
        places = torch.tensor([NAMES.index(name) for name in self.datasets])
        return Raw(
            inputs,
            read,
            fixed=places.repeat_interleave(torch.tensor(sizes)),
            groups=None if groups is None else targets.read_groups("group", groups),
            weights=None if weights is None else targets.read_weights("weight", weights),
            standardize=self.standardize,
            notes=notes,
            **more,
        )


class Columns:
    """Targets, weights and groups of all items."""

    def __init__(self, items: Sequence[Item], source: DatasetSource) -> None:
        self._items, self._source = items, source
        for index, item in enumerate(items):
            if len(item.more) != len(items[0].more):
                raise ValueError(
                    f"{source.label(index)} has {len(item.more) + 2} parts, others have "
                    f"{len(items[0].more) + 2}"
                )

    def targets(self) -> NDArray[Any]:
        """Return targets, ``(n,)`` or ``(n, K)``."""
        shape = np.shape(self._items[0].target)
        for index, item in enumerate(self._items):
            if np.shape(item.target) != shape:
                raise ValueError(
                    f"{self._source.label(index)} has a target of shape {np.shape(item.target)}, "
                    f"others have {shape}"
                )
        return np.array([item.target for item in self._items])

    def masks(self, *, in_memory: bool) -> Tensor:
        """Return masks ``(n, H, W)`` or, if they are streamed, their numbers of pixels per class.

        The last number is that of ignored pixels.
        """
        found = [item.target for item in self._items]
        if in_memory:
            return torch.stack(found)
        classes = max(2, *(len(numbers) - 1 for numbers in found))
        counts = torch.zeros(len(found), classes + 1, dtype=torch.int64)
        for row, numbers in zip(counts, found, strict=True):
            row[: len(numbers) - 1] = numbers[:-1]
            row[-1] = numbers[-1]
        return counts

    def values(self, name: str) -> NDArray[Any] | None:
        """Return the weights or groups, if items have them."""
        place = COLUMNS.index(name) - 2
        if len(self._items[0].more) <= place:
            return None
        return np.array([item.more[place] for item in self._items])
