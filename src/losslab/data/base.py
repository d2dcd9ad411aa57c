"""From raw samples to split, corrupted, hashed batches: what every data set shares."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypedDict

import pytorch_lightning as pl
import torch
from torch import Tensor

from losslab.data import checks, corruption, splits
from losslab.data.batches import Batches, Split
from losslab.rng import Purpose, generator

TargetKind = Literal["classes", "values", "multilabel", "masks", "sequences", "relevance"]


class Options(TypedDict, total=False):
    """The options that every data set takes; :class:`InMemoryData` says what they mean."""

    batch_size: int
    seed: int
    split_seed: int | None
    val_fraction: float
    test_fraction: float
    label_noise: float
    imbalance: float
    outliers: float
    outlier_size: float
    outlier_kind: corruption.OutlierKind
    pixel_outliers: float
    corrupt_val: bool


@dataclass(frozen=True)
class Raw:
    """What a data set is before it is split.

    Args:
        inputs: ``(n, *)``, real numbers.
        targets: class indices ``(n,)``, values ``(n, K)``, 0/1 labels ``(n, K)``, or masks
            ``(n, H, W)`` of class indices, 0 the background.
        target_kind: which of them; by default integers ``(n,)`` are classes, floats values.
        class_names: a name for each class or label.
        fixed: 0, 1 or 2 ``(n,)`` for samples that belong to training, validation or test; a split
            that it leaves empty is drawn from the training samples.
        groups: integers ``(n,)``; no group is divided among splits.
        weights: sample weights ``(n,)``.
        standardize: whether inputs get mean 0 and standard deviation 1 by the training split's
            figures: a column, a channel of ``(n, C, H, W)``, or else all together. Or a mask
            ``(F,)`` of the columns that do.
        standardize_targets: the same for values.
        held_out: classes of which training gets no sample; theirs are divided among the splits
            that are drawn.
        outputs: the number of network outputs, for targets of another kind than these; such
            targets are kept as they are.
    """

    inputs: Tensor
    targets: Tensor
    target_kind: TargetKind | None = None
    class_names: list[str] | None = None
    fixed: Tensor | None = None
    groups: Tensor | None = None
    weights: Tensor | None = None
    standardize: bool | Tensor = False
    standardize_targets: bool = False
    held_out: tuple[int, ...] = ()
    outputs: int | None = None


class InMemoryData(pl.LightningDataModule):
    """A data set that fits into memory; a subclass has :meth:`load` and is complete.

    Everything that is drawn depends on the seed and on what is drawn: the split (stratified by
    class, or by whole groups), each corruption, and the order of each epoch's batches. Options are
    checked here, before a file is read; what depends on the data is checked by :meth:`setup`.

    Args:
        batch_size: samples in a batch, over all processes together.
        seed: the run's seed; decides the order of batches and, without ``split_seed``, the rest.
        split_seed: freezes split, synthetic data and corruptions while ``seed`` varies.
        val_fraction: the share of validation among the samples that are divided.
        test_fraction: the share of test among them.
        label_noise: the share of training labels replaced by another class (for several labels a
            sample: flipped).
        imbalance: the share of its training samples that each class of the rarest half keeps, see
            :func:`~losslab.data.corruption.rarest_half`; the whole data set says which are rarest.
        outliers: the share of training samples of a regression that lie off.
        outlier_size: how far, in the unit of the target.
        outlier_kind: ``"vertical"`` or ``"leverage"``, see
            :func:`~losslab.data.corruption.outliers`.
        pixel_outliers: the share of pixels of training images that are black or white, see
            :func:`~losslab.data.corruption.pixel_outliers`.
        corrupt_val: whether validation is corrupted as training is. Test never is.

    Attributes, after :meth:`setup`:
        train, val, test: the splits, on the CPU; inputs are float32, classes int64, others float32.
        input_shape: the shape of one input.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"`` or ``"masks"``.
        outputs: the number of classes, values or labels; 1 for masks of one foreground class.
        class_names: their names, where the data have some.
        class_counts: the training split's samples of each class (of each label, those that have
            it; of masks, pixels), after corruption; ``None`` for values.
        rarest: the class with the fewest training samples; ``None`` for others than classes.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> class TwoBlobs(InMemoryData):
        ...     def load(self):
        ...         targets = torch.arange(100) % 2
        ...         return Raw(targets.unsqueeze(1) + torch.randn(100, 2), targets)
        >>> data = TwoBlobs(batch_size=20)
        >>> data.setup()
        >>> data.train.size, data.input_shape, data.outputs
        (60, (2,), 2)
    """

    own_test: ClassVar[bool] = False
    """Whether the files bring a test split, so that ``test_fraction`` is not read."""

    train: Split
    val: Split
    test: Split
    input_shape: tuple[int, ...]
    target_kind: TargetKind
    outputs: int
    class_names: list[str] | None
    class_counts: Tensor | None
    rarest: int | None

    def __init__(
        self,
        *,
        batch_size: int = 64,
        seed: int = 0,
        split_seed: int | None = None,
        val_fraction: float = 0.2,
        test_fraction: float = 0.2,
        label_noise: float = 0.0,
        imbalance: float = 1.0,
        outliers: float = 0.0,
        outlier_size: float = 30.0,
        outlier_kind: corruption.OutlierKind = "vertical",
        pixel_outliers: float = 0.0,
        corrupt_val: bool = False,
    ) -> None:
        super().__init__()
        checks.require_whole("batch_size", batch_size, 1)
        checks.require_whole("seed", seed, 0)
        if split_seed is not None:
            checks.require_whole("split_seed", split_seed, 0)
        checks.require_open_share("val_fraction", val_fraction)
        checks.require_open_share("test_fraction", test_fraction)
        if not self.own_test and val_fraction + test_fraction >= 1:
            raise ValueError(
                "val_fraction + test_fraction must be below 1, "
                f"got {val_fraction:g} + {test_fraction:g}"
            )
        checks.require_number("label_noise", label_noise, 0, 1)
        checks.require_number("imbalance", imbalance, 0, 1)
        checks.require_number("outliers", outliers, 0, 1)
        checks.require_number("outlier_size", outlier_size)
        checks.require_choice("outlier_kind", outlier_kind, corruption.OUTLIER_KINDS)
        checks.require_number("pixel_outliers", pixel_outliers, 0, 1)
        checks.require_choice("corrupt_val", corrupt_val, (True, False))
        self.batch_size = batch_size
        self.seed = seed
        self.data_seed = seed if split_seed is None else split_seed
        """What every draw but the order of batches depends on."""
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.label_noise = label_noise
        self.imbalance = imbalance
        self.outliers = outliers
        self.outlier_size = outlier_size
        self.outlier_kind = outlier_kind
        self.pixel_outliers = pixel_outliers
        self.corrupt_val = corrupt_val
        self._ready = False
        self._fingerprint: str | None = None

    # --- what a data set says -----------------------------------------------------------------

    def load(self) -> Raw:
        """All samples, from files or, for synthetic data, drawn by ``self.data_seed``."""
        raise NotImplementedError(f"{type(self).__name__} must have a method load() -> Raw")

    # --- from samples to splits ---------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Load, split, standardise and corrupt; a second call does nothing.

        Raises:
            ValueError: if the samples are broken, cannot be split, or do not take a corruption.
        """
        if self._ready:
            return
        raw = self.load()
        whole = self._describe(raw)
        self._require_fitting_corruption()
        classes = whole.targets if self.target_kind == "classes" else None
        places = splits.draw(
            whole.size,
            labels=classes,
            groups=raw.groups,
            fixed=raw.fixed,
            held_out=raw.held_out,
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            seed=self.data_seed,
            names=self.class_names,
        )
        parts = [whole.take(index) for index in places]
        if raw.standardize is not False:
            parts = _standardized_inputs(parts, raw.standardize)
        if raw.standardize_targets and self.target_kind == "values":
            parts = _standardized_targets(parts)
        rare = None if classes is None else corruption.rarest_half(classes, self.outputs)
        self.train = self._corrupted(parts[0], splits.TRAIN, rare)
        self.val = self._corrupted(parts[1], splits.VAL, rare) if self.corrupt_val else parts[1]
        self.test = parts[2]
        self._count()
        self._ready = True

    def _describe(self, raw: Raw) -> Split:
        """Find kind and sizes, and check the samples."""
        require_finite("inputs", raw.inputs)
        require_finite("targets", raw.targets)
        kind = raw.target_kind or ("values" if raw.targets.is_floating_point() else "classes")
        targets = raw.targets
        if raw.outputs is not None:
            self.outputs = raw.outputs
        elif kind == "classes":
            self.outputs = len(raw.class_names or []) or int(targets.max()) + 1
            targets = _require_classes(targets, self.outputs)
        elif kind == "masks":
            classes = len(raw.class_names or []) or int(targets.max()) + 1
            targets = _require_masks(targets, raw.inputs, classes)
            self.outputs = 1 if classes == 2 else classes
        else:
            targets = (targets.unsqueeze(1) if targets.ndim == 1 else targets).float()
            self.outputs = targets.shape[1]
        self.target_kind = kind
        self.class_names = raw.class_names
        self.input_shape = tuple(raw.inputs.shape[1:])
        weights = None if raw.weights is None else _require_weights(raw.weights)
        return Split(raw.inputs.float(), targets, weights)

    def _require_fitting_corruption(self) -> None:
        wanted = {
            "label_noise": (self.label_noise > 0, ("classes", "multilabel")),
            "imbalance": (self.imbalance < 1, ("classes",)),
            "outliers": (self.outliers > 0, ("values",)),
        }
        for option, (asked, kinds) in wanted.items():
            if asked and self.target_kind not in kinds:
                raise ValueError(
                    f"{option} needs targets that are {' or '.join(kinds)}, got {self.target_kind}"
                )
        if self.pixel_outliers > 0 and len(self.input_shape) != 3:
            raise ValueError(
                "pixel_outliers needs images (channels, height, width), "
                f"got samples of shape {self.input_shape}"
            )

    def _corrupted(self, split: Split, part: int, rare: Tensor | None) -> Split:
        """The split as the options spoil it, each from its own stream."""
        inputs, targets, weights = split
        if self.pixel_outliers > 0:
            inputs = corruption.pixel_outliers(
                inputs, self.pixel_outliers, self._stream(Purpose.PIXEL_OUTLIERS, part)
            )
        if self.target_kind == "masks":
            return Split(inputs, targets, weights)
        if self.target_kind == "values":
            inputs, targets = corruption.outliers(
                inputs,
                targets,
                self.outliers,
                self.outlier_size,
                self._stream(Purpose.OUTLIERS, part),
                kind=self.outlier_kind,
            )
            return Split(inputs, targets, weights)
        if rare is None:
            targets = corruption.flipped_labels(
                targets, self.label_noise, self._stream(Purpose.LABEL_NOISE, part)
            )
            return Split(inputs, targets, weights)
        kept = corruption.imbalance(
            targets,
            self.imbalance,
            rare,
            self._stream(Purpose.IMBALANCE, part),
            names=self.class_names,
        )
        targets = corruption.label_noise(
            targets,
            self.label_noise,
            self.outputs,
            self._stream(Purpose.LABEL_NOISE, part),
            among=kept,
        )
        return Split(inputs, targets, weights).take(kept)

    def _stream(self, purpose: Purpose, part: int) -> torch.Generator:
        return generator(self.data_seed, purpose, part)

    def _count(self) -> None:
        self.class_counts = self.rarest = None
        if self.target_kind == "classes":
            self.class_counts = torch.bincount(self.train.targets, minlength=self.outputs)
            self.rarest = int(self.class_counts.argmin())
        elif self.target_kind == "multilabel":
            self.class_counts = self.train.targets.sum(0).long()
        elif self.target_kind == "masks":
            classes = max(2, self.outputs)
            self.class_counts = torch.bincount(self.train.targets.flatten(), minlength=classes)

    # --- what a run records and prints --------------------------------------------------------

    def fingerprint(self) -> str:
        """A hash of all three splits' content; the second call knows it."""
        if self._fingerprint is None:
            self._fingerprint = _digest(
                tensor for split in (self.train, self.val, self.test) for tensor in split.tensors()
            )
        return self._fingerprint

    def order_fingerprint(self) -> str:
        """A hash of the batches' size and of the first epochs' order."""
        batches = Batches(self.train, self.batch_size, seed=self.seed, shuffle=True)
        return _digest([torch.tensor(self.batch_size), *map(batches.order, range(3))])

    def describe(self) -> str:
        """Sizes, and what the training split holds, for a person to read."""
        sizes = f"{self.train.size} training, {self.val.size} validation, {self.test.size} test"
        shape = " x ".join(map(str, self.input_shape))
        return f"{type(self).__name__}: {sizes} samples of shape {shape}\n{self._contents()}"

    def _contents(self) -> str:
        if self.class_counts is None:
            mean, sd = self.train.targets.mean(), self.train.targets.std()
            return f"targets in training: {self.outputs} a sample, mean {mean:.4g}, SD {sd:.4g}"
        counts = self.class_counts.tolist()
        names = self.class_names or list(map(str, range(len(counts))))
        if self.target_kind == "masks":
            shares = (self.class_counts / self.class_counts.sum()).tolist()
            pairs = (f"{name} {share:.2%}" for name, share in zip(names, shares, strict=True))
            return f"pixels in training: {', '.join(pairs)}"
        what = "classes" if self.target_kind == "classes" else "labels"
        if self.outputs > 20:
            return f"{self.outputs} {what} in training: {min(counts)} to {max(counts)} samples each"
        pairs = (f"{name} {count}" for name, count in zip(names, counts, strict=True))
        return f"{what} in training: {', '.join(pairs)}"

    # --- what Lightning asks for --------------------------------------------------------------

    def train_dataloader(self) -> Batches:
        """Shuffled anew each epoch, except where the trainer is to learn a few batches by heart."""
        # Lightning sets the attribute without declaring it
        by_heart = getattr(self.trainer, "overfit_batches", 0) > 0
        return self.batches(self.train, shuffle=not by_heart)

    def val_dataloader(self) -> Batches:
        """The validation split, in stored order."""
        return self.batches(self.val)

    def test_dataloader(self) -> Batches:
        """The test split, in stored order."""
        return self.batches(self.test)

    def batches(
        self, split: Split, *, shuffle: bool = False, trainer: pl.Trainer | None = None
    ) -> Batches:
        """Batches of a split for a trainer, by default its own: on its device, in its precision."""
        trainer = trainer or self.trainer
        if trainer is None:
            return Batches(split, self.batch_size, seed=self.seed, shuffle=shuffle)
        return Batches(
            # once for all: Lightning's loops convert each batch, and who reads it elsewhere cannot
            trainer.precision_plugin.convert_input(split),
            self.batch_size,
            seed=self.seed,
            shuffle=shuffle,
            device=trainer.strategy.root_device,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """The batch itself where it is on the device already."""
        return _transferred(self, batch, device, dataloader_idx)


class ValThenTest(pl.LightningDataModule):
    """Some splits of a data set as the test loaders of one pass, in the order named.

    Args:
        data: the data set, after ``setup``.
        splits: of ``"train"``, ``"val"`` and ``"test"``.

    Raises:
        ValueError: if a split is another word.
    """

    def __init__(self, data: InMemoryData, splits: Iterable[str] = ("val", "test")) -> None:
        super().__init__()
        self.data = data
        self.splits = tuple(splits)
        for split in self.splits:
            checks.require_choice("split", split, ("train", "val", "test"))

    def test_dataloader(self) -> list[Batches]:
        """One loader a split, each in stored order."""
        return [
            self.data.batches(getattr(self.data, split), trainer=self.trainer)
            for split in self.splits
        ]

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """The batch itself where it is on the device already."""
        return _transferred(self, batch, device, dataloader_idx)


def require_finite(name: str, values: Tensor) -> None:
    """Raise ``ValueError`` if a value is NaN or infinite, naming the first sample that is."""
    if len(values) == 0:
        raise ValueError(f"{name} must hold samples, got shape {tuple(values.shape)}")
    broken = ~torch.isfinite(values).flatten(1 if values.ndim > 1 else 0)
    if bool(broken.any()):
        first = int(broken.reshape(len(values), -1).any(1).nonzero()[0])
        raise ValueError(
            f"{name} must be finite numbers, got {int(broken.sum())} that are not, "
            f"the first in sample {first}"
        )


def _transferred(
    module: pl.LightningDataModule, batch: Any, device: torch.device, dataloader_idx: int
) -> Any:
    if batch[0].device == device:
        return batch
    return pl.LightningDataModule.transfer_batch_to_device(module, batch, device, dataloader_idx)


def _require_classes(targets: Tensor, classes: int) -> Tensor:
    """Class indices as int64."""
    if targets.ndim != 1 or targets.is_floating_point():
        raise ValueError(
            "targets must be class indices of shape (n,), "
            f"got {targets.dtype} of shape {tuple(targets.shape)}"
        )
    if classes < 2 or int(targets.min()) < 0 or int(targets.max()) >= classes:
        raise ValueError(
            f"targets must be class indices from 0 on, of at least 2 classes, got "
            f"{int(targets.min())} to {int(targets.max())} and {classes} classes"
        )
    return targets.long()


def _require_masks(targets: Tensor, inputs: Tensor, classes: int) -> Tensor:
    """Masks as int64."""
    shape = (len(inputs), *inputs.shape[2:])
    if targets.is_floating_point() or inputs.ndim != 4 or tuple(targets.shape) != shape:
        raise ValueError(
            f"targets must be masks of integers, {shape} for inputs {tuple(inputs.shape)}, "
            f"got {targets.dtype} of shape {tuple(targets.shape)}"
        )
    if classes < 2 or int(targets.min()) < 0 or int(targets.max()) >= classes:
        raise ValueError(
            "targets must be masks of class indices from 0, the background, on, and of at least "
            f"2 classes, got {int(targets.min())} to {int(targets.max())} and {classes} classes"
        )
    return targets.long()


def _require_weights(weights: Tensor) -> Tensor:
    """Sample weights as float32."""
    require_finite("weight", weights)
    if bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise ValueError(
            f"weight must be >= 0, and > 0 somewhere, got {float(weights.min()):g} "
            f"to {float(weights.max()):g}"
        )
    return weights.float()


def _standardized_inputs(parts: list[Split], columns: bool | Tensor) -> list[Split]:
    """The splits with inputs scaled by the training split's means and deviations."""
    training = parts[0].inputs
    dims = {2: (0,), 4: (0, 2, 3)}.get(training.ndim, tuple(range(training.ndim)))
    mean, scale = _scale(training, dims)
    if isinstance(columns, Tensor):
        mean, scale = torch.where(columns, mean, 0), torch.where(columns, scale, 1)
    return [split._replace(inputs=(split.inputs - mean) / scale) for split in parts]


def _standardized_targets(parts: list[Split]) -> list[Split]:
    mean, scale = _scale(parts[0].targets, (0,))
    return [split._replace(targets=(split.targets - mean) / scale) for split in parts]


def _scale(values: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation; a constant keeps its deviation from the mean, which is 0."""
    exact = values.double()  # float32 would turn a constant of 1e6 into noise
    mean, scale = exact.mean(dims, keepdim=True), exact.std(dims, correction=0, keepdim=True)
    return mean.float(), torch.where(scale > 0, scale, 1).float()


def _digest(tensors: Iterable[Tensor]) -> str:
    """A hash of dtypes, shapes and content."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
