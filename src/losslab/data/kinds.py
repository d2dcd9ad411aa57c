"""Kinds of targets: how each is checked, corrupted, counted and described.

A data set has one kind of target, named by ``Raw.target_kind``. Everything that depends on the kind
is in its class, so that a new kind is one class here and one entry of :data:`KINDS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from losslab.data import checks, corruption
from losslab.data.batches import Split
from losslab.data.corruption import CorruptionOptions
from losslab.data.raw import IGNORED, KindName, Raw
from losslab.rng import Purpose

Rng = Callable[[Purpose], torch.Generator]
"""Function that returns the random generator for a purpose."""

MOST_LISTED = 20
"""Maximum number of classes whose counts are listed one by one."""


class TargetKind(ABC):
    """Base class of the kinds of targets; an instance belongs to one data set.

    Args:
        targets: converted targets of the whole data set; not kept.
        outputs: number of network outputs.
        class_names: names of the classes or labels.
    """

    name: ClassVar[KindName]
    """Public name, as in ``data.target_kind``."""
    corruptions: ClassVar[tuple[str, ...]] = ()
    """Supported corruptions of the targets, by the names of their options."""
    single_label: ClassVar[bool] = False
    """Whether each sample has exactly one class; then the split is stratified by class."""
    numeric: ClassVar[bool] = False
    """Whether targets are quantities, which can be standardized."""
    ignorable: ClassVar[bool] = False
    """Whether targets may be marked as ignored."""

    def __init__(self, targets: Tensor, outputs: int, class_names: list[str] | None) -> None:
        self.outputs = outputs
        self.class_names = class_names

    @staticmethod
    def convert(raw: Raw) -> tuple[Tensor, int]:
        """Check and convert the targets, and return them with the number of network outputs.

        By default they become float32 of shape ``(n, K)``, with one output per column.

        Raises:
            ValueError: if the targets are invalid.
        """
        targets = raw.targets
        targets = (targets.unsqueeze(1) if targets.ndim == 1 else targets).float()
        return targets, targets.shape[1]

    def corrupt(self, split: Split, options: CorruptionOptions, rng: Rng) -> Split:
        """Apply the supported corruptions, each with its own random generator."""
        return split

    def counts(self, targets: Tensor) -> Tensor | None:
        """Count the samples per class or label (pixels, for masks), or return ``None``."""
        return None

    def rarest(self, targets: Tensor) -> int | None:
        """Return the class with the fewest samples; ``None`` unless samples have one each."""
        return None

    def ignores(self, targets: Tensor) -> bool:
        """Return whether losses and metrics leave out some of the targets."""
        return self.ignorable and bool((targets == IGNORED).any())

    @abstractmethod
    def describe(self, targets: Tensor) -> str:
        """Return one readable line about the targets of the training split."""

    def _describe_counts(self, what: str, counts: list[int]) -> str:
        if self.outputs > MOST_LISTED:
            return f"{self.outputs} {what} in training: {min(counts)} to {max(counts)} samples each"
        return f"{what} in training: {_listed(self._names(counts), counts)}"

    def _names(self, counts: Sequence[object]) -> Sequence[str]:
        return self.class_names or list(map(str, range(len(counts))))


class Classes(TargetKind):
    """One class index per sample, ``(n,)`` int64."""

    name = "classes"
    corruptions = ("label_noise", "imbalance")
    single_label = True

    def __init__(self, targets: Tensor, outputs: int, class_names: list[str] | None) -> None:
        super().__init__(targets, outputs, class_names)
        self.rare = corruption.rarest_half(targets, outputs)

    @staticmethod
    def convert(raw: Raw) -> tuple[Tensor, int]:
        """Require class indices of at least two classes."""
        targets, classes = raw.targets, _number_of_classes(raw)
        if targets.ndim != 1 or targets.is_floating_point():
            raise ValueError(
                "targets must be class indices of shape (n,), "
                f"got {targets.dtype} of shape {tuple(targets.shape)}"
            )
        _require_range("class indices in [0, C) with C >= 2 classes", targets, classes)
        return targets.long(), classes

    def corrupt(self, split: Split, options: CorruptionOptions, rng: Rng) -> Split:
        """Remove samples of the rarest classes, and replace labels among the remaining samples."""
        kept = corruption.imbalance(
            split.targets,
            options.imbalance,
            self.rare,
            rng(Purpose.IMBALANCE),
            names=self.class_names,
        )
        targets = corruption.label_noise(
            split.targets,
            options.label_noise,
            self.outputs,
            rng(Purpose.LABEL_NOISE),
            among=kept,
        )
        return split._replace(targets=targets).take(kept)

    def counts(self, targets: Tensor) -> Tensor:
        """Count the samples per class."""
        return torch.bincount(targets, minlength=self.outputs)

    def rarest(self, targets: Tensor) -> int:
        """Return the class with the fewest samples; ties go to the first class."""
        return int(self.counts(targets).argmin())

    def describe(self, targets: Tensor) -> str:
        """List the classes with their numbers of samples."""
        return self._describe_counts("classes", self.counts(targets).tolist())


class MultiLabel(TargetKind):
    """Several 0/1 labels per sample, ``(n, K)`` float32; -100 is a label that is not known."""

    name = "multilabel"
    corruptions = ("label_noise",)
    ignorable = True

    @staticmethod
    def convert(raw: Raw) -> tuple[Tensor, int]:
        """Require labels that are 0, 1 or ignored."""
        targets, outputs = TargetKind.convert(raw)
        wrong = targets[(targets != 0) & (targets != 1) & (targets != IGNORED)]
        if len(wrong):
            raise ValueError(
                f"targets must be 0 or 1, or {IGNORED} for a label that is not known, to be "
                f"multilabel, got {float(wrong[0]):g}"
            )
        return targets, outputs

    def corrupt(self, split: Split, options: CorruptionOptions, rng: Rng) -> Split:
        """Flip labels; one that is not known stays so."""
        targets = corruption.flipped_labels(
            split.targets, options.label_noise, rng(Purpose.LABEL_NOISE)
        )
        targets = targets.where(split.targets != IGNORED, IGNORED)
        return split._replace(targets=targets)

    def counts(self, targets: Tensor) -> Tensor:
        """Count the samples that have each label."""
        return (targets == 1).sum(0)

    def describe(self, targets: Tensor) -> str:
        """List the labels with their numbers of samples."""
        ignored = (targets == IGNORED).double().mean().item()
        more = f"; {ignored:.2%} of the labels are not known and ignored" if ignored else ""
        return self._describe_counts("labels", self.counts(targets).tolist()) + more


class Values(TargetKind):
    """Real numbers, ``(n, K)`` float32."""

    name = "values"
    corruptions = ("outliers",)
    numeric = True

    def corrupt(self, split: Split, options: CorruptionOptions, rng: Rng) -> Split:
        """Turn samples into outliers."""
        inputs, targets = corruption.outliers(
            split.inputs,
            split.targets,
            options.outliers,
            options.outlier_size,
            rng(Purpose.OUTLIERS),
            kind=options.outlier_kind,
        )
        return split._replace(inputs=inputs, targets=targets)

    def describe(self, targets: Tensor) -> str:
        """Return the mean and the standard deviation of all values."""
        mean, sd = targets.mean(), targets.std()
        return f"targets in training: {self.outputs} per sample, mean {mean:.4g}, SD {sd:.4g}"


class Masks(TargetKind):
    """One class index per pixel, ``(n, H, W)`` int64; 0 is the background, -100 is ignored."""

    name = "masks"
    ignorable = True

    @staticmethod
    def convert(raw: Raw) -> tuple[Tensor, int]:
        """Require masks of the images' size; two classes need one network output."""
        inputs, targets, classes = raw.inputs, raw.targets, _number_of_classes(raw)
        shape = (len(inputs), *inputs.shape[2:])
        if targets.is_floating_point() or inputs.ndim != 4 or tuple(targets.shape) != shape:
            raise ValueError(
                f"targets must be masks of integers, {shape} for inputs {tuple(inputs.shape)}, "
                f"got {targets.dtype} of shape {tuple(targets.shape)}"
            )
        _require_range(
            "masks of class indices in [0, C) with C >= 2 classes, 0 being the background",
            targets[targets != IGNORED],
            classes,
        )
        return targets.long(), 1 if classes == 2 else classes

    def counts(self, targets: Tensor) -> Tensor:
        """Count the pixels per class, without ignored ones."""
        return torch.bincount(targets[targets != IGNORED], minlength=max(2, self.outputs))

    def _ignored(self, targets: Tensor) -> float:
        """Return the fraction of the pixels that are ignored."""
        return (targets == IGNORED).double().mean().item()

    def describe(self, targets: Tensor) -> str:
        """List the classes with their fractions of the pixels."""
        counts = self.counts(targets)
        shares = [f"{share:.2%}" for share in (counts / counts.sum()).tolist()]
        ignored = self._ignored(targets)
        more = f", without the {ignored:.2%} of all that are ignored" if ignored else ""
        return f"pixels in training: {_listed(self._names(shares), shares)}{more}"


class StreamedMasks(Masks):
    """Masks that are read with their images: in memory is how many pixels each has of a class.

    Targets are these numbers, ``(n, C + 1)``, the last of which counts ignored pixels.
    """

    @staticmethod
    def convert(raw: Raw) -> tuple[Tensor, int]:
        """Return the numbers; two classes need one network output."""
        classes = raw.targets.shape[1] - 1
        return raw.targets, 1 if classes == 2 else classes

    def counts(self, targets: Tensor) -> Tensor:
        """Count the pixels per class, without ignored ones."""
        return targets[:, :-1].sum(0)

    def ignores(self, targets: Tensor) -> bool:
        """Return whether some pixels are ignored."""
        return bool(targets[:, -1].any())

    def _ignored(self, targets: Tensor) -> float:
        return float(targets[:, -1].sum() / targets.sum())


class Boxes(TargetKind):
    """Boxes of an image, ``(n, M, 5)`` float32: class, then corners x1, y1, x2, y2 in pixels.

    The class of rows that pad images with fewer than M boxes is -1. One box per image of a single
    class may be given as ``(n, 4)``.
    """

    name = "boxes"
    corruptions = ("outliers", "edge_noise")

    @staticmethod
    def convert(raw: Raw) -> tuple[Tensor, int]:
        """Require known classes, and corners in order."""
        inputs, targets = raw.inputs, raw.targets.float()
        if targets.ndim == 2 and targets.shape[1] == 4:
            targets = torch.cat([torch.zeros(len(targets), 1), targets], dim=1).unsqueeze(1)
        if len(inputs.shape) != 4 or targets.ndim != 3 or targets.shape[2] != 5:
            raise ValueError(
                "targets must be boxes of images, (n, M, 5), got inputs of shape "
                f"{tuple(inputs.shape)} and targets of shape {tuple(raw.targets.shape)}"
            )
        labels, low, high = targets.split([1, 2, 2], dim=2)
        classes = len(raw.class_names or []) or max(1, int(labels.max()) + 1)
        known = (labels[..., 0] >= -1) & (labels[..., 0] < classes)
        wrong = ~known | (labels != labels.round())[..., 0]
        wrong |= (labels[..., 0] >= 0) & (low >= high).any(dim=2)
        if bool(wrong.any()):
            sample, row = wrong.nonzero()[0].tolist()
            shown = ", ".join(f"{value:g}" for value in targets[sample, row].tolist())
            raise ValueError(
                f"targets must be boxes (class, x1, y1, x2, y2) with x1 < x2, y1 < y2 and classes "
                f"in [0, {classes}), or -1 for padding, got ({shown}) in sample {sample}"
            )
        return targets, classes

    def corrupt(self, split: Split, options: CorruptionOptions, rng: Rng) -> Split:
        """Move edges, and replace boxes by random ones."""
        height, width = split.inputs.shape[-2:]
        size, targets = (height, width), split.targets
        if options.edge_noise > 0:
            noise = rng(Purpose.EDGE_NOISE)
            targets = corruption.edge_noise(targets, options.edge_noise, size, noise)
        targets = corruption.random_boxes(targets, options.outliers, size, rng(Purpose.OUTLIERS))
        return split._replace(targets=targets)

    def counts(self, targets: Tensor) -> Tensor:
        """Count the boxes per class."""
        labels = targets[..., 0]
        return torch.bincount(labels[labels >= 0].long(), minlength=self.outputs)

    def describe(self, targets: Tensor) -> str:
        """Return the number of boxes in total, per image and per class, and their sizes."""
        real = targets[..., 0] >= 0
        least, most = real.sum(dim=1).aminmax()
        numbers = f"{least}" if least == most else f"{least} to {most}"
        line = f"boxes in training: {real.sum()}, {numbers} per image"
        if real.any():
            boxes = targets[real]
            low, high = (boxes[:, 3:] - boxes[:, 1:3]).aminmax()
            line += f", sides of {low:.3g} to {high:.3g} pixels"
        counts = self.counts(targets).tolist()
        return line if self.outputs == 1 else f"{line}; {_listed(self._names(counts), counts)}"


class Sequences(TargetKind):
    """Labels from 1 of a row of symbols, padded with 0, then the row's width; ``(n, L + 1)``."""

    name = "sequences"

    def describe(self, targets: Tensor) -> str:
        """Return the shortest and longest sequence and the total number of labels."""
        lengths = (targets[:, :-1] > 0).sum(1)
        shortest, longest = lengths.aminmax()
        return f"labels in training: {shortest} to {longest} per row, {lengths.sum()} in total"


class Relevance(TargetKind):
    """Grades of the documents of each query, ``(n, documents)``.

    If some are padding, ``(n, documents, 2)``: the grade, and 1 for a document or 0 for padding.
    """

    name = "relevance"

    def describe(self, targets: Tensor) -> str:
        """List the grades with their numbers of documents."""
        grades, counted = grades_of(targets)
        grades, counts = grades[counted].unique(return_counts=True)
        if len(grades) > MOST_LISTED:
            low, high = float(grades[0]), float(grades[-1])
            return f"grades in training: {len(grades)} different ones, {low:g} to {high:g}"
        names = [f"{grade:g}" for grade in grades.tolist()]
        return f"grades in training: {_listed(names, counts.tolist())}"


class Pairs(TargetKind):
    """Inputs of two parts, such as an image and its caption; ``(n,)`` int64.

    Pairs that have the same label belong to each other's parts, too.
    """

    name = "pairs"
    convert = staticmethod(Classes.convert)

    def describe(self, targets: Tensor) -> str:
        """Return the number of labels."""
        return f"labels of pairs in training: {len(targets.unique())} different ones"


KINDS: dict[str, type[TargetKind]] = {
    kind.name: kind
    for kind in (Classes, Values, MultiLabel, Masks, Boxes, Sequences, Relevance, Pairs)
}


def grades_of(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the grades of documents, and a mask that is false for padding, each (n, documents).

    Example:
        >>> grades_of(torch.tensor([[[-1, 1], [2, 1], [0, 0]]]))
        (tensor([[-1,  2,  0]]), tensor([[ True,  True, False]]))
    """
    if targets.ndim == 3:
        return targets[..., 0], targets[..., 1] > 0
    return targets, torch.ones_like(targets, dtype=torch.bool)


def convert_targets(raw: Raw) -> tuple[Tensor, TargetKind]:
    """Return the checked and converted targets with their kind.

    Targets are kept unchanged if the number of outputs is given.

    Raises:
        ValueError: if there is no such kind or the targets are invalid.

    Example:
        >>> targets, kind = convert_targets(Raw(torch.zeros(3, 2), torch.tensor([0, 2, 1])))
        >>> kind.name, kind.outputs, kind.describe(targets)
        ('classes', 3, 'classes in training: 0 1, 1 1, 2 1')
    """
    name = raw.target_kind or ("values" if raw.targets.is_floating_point() else "classes")
    checks.require_choice("target_kind", name, tuple(KINDS))
    kind = KINDS[name]
    if kind is Masks and not isinstance(raw.inputs, Tensor):
        kind = StreamedMasks
    targets, outputs = kind.convert(raw) if raw.outputs is None else (raw.targets, raw.outputs)
    return targets, kind(targets, outputs, raw.class_names)


def require_supported(kind: TargetKind, options: CorruptionOptions) -> None:
    """Raise ``ValueError`` if a corruption of the targets is enabled that the kind lacks."""
    for option in options.of_targets():
        if option not in kind.corruptions:
            fitting = [name for name, each in KINDS.items() if option in each.corruptions]
            raise ValueError(
                f"{option} needs targets that are {' or '.join(fitting)}, got {kind.name}"
            )


def _number_of_classes(raw: Raw) -> int:
    return len(raw.class_names or []) or int(raw.targets.max()) + 1


def _require_range(expected: str, targets: Tensor, classes: int) -> None:
    low, high = int(targets.min()), int(targets.max())
    if classes < 2 or low < 0 or high >= classes:
        raise ValueError(f"targets must be {expected}, got {low} to {high} and {classes} classes")


def _listed(names: Iterable[object], counts: Iterable[object]) -> str:
    return ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
