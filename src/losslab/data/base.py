"""Base class of the data sets: splits, standardization, corruption, fingerprints and batches."""

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
    """Options of every data set; see :class:`InMemoryData`."""

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
    """Samples of a data set before splitting.

    Args:
        inputs: real numbers, ``(n, *)``.
        targets: class indices ``(n,)``, values ``(n, K)``, 0/1 labels ``(n, K)``, or masks
            ``(n, H, W)`` of class indices, where 0 is the background.
        target_kind: kind of the targets; by default integers ``(n,)`` are classes and floats are
            values.
        class_names: names of the classes or labels.
        fixed: 0, 1 or 2 ``(n,)``, to assign samples to training, validation or test; a split
            without samples is drawn from the training samples.
        groups: integers ``(n,)``; samples of one group stay in the same split.
        weights: sample weights ``(n,)``.
        standardize: whether to standardize the inputs with the training split's means and standard
            deviations: per column, per channel of ``(n, C, H, W)``, or else overall. A mask
            ``(F,)`` selects columns.
        standardize_targets: whether to standardize values too.
        held_out: classes to exclude from training; their samples are divided among the splits that
            are drawn.
        outputs: number of network outputs, for other kinds of targets, which are kept unchanged.
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
    """Base class of the data sets, which fit into memory; subclasses implement :meth:`load`.

    The split (stratified by class, or by whole groups), each corruption, and the order of each
    epoch's batches have separate random streams derived from the seed. Options are checked on
    construction, before any file is read; what depends on the data is checked by :meth:`setup`.

    Args:
        batch_size: samples per batch, over all processes together.
        seed: seed of the run; decides the order of batches and, without ``split_seed``, the rest.
        split_seed: seed of split, synthetic data and corruptions, to keep them fixed while ``seed``
            varies.
        val_fraction: fraction of the samples to be divided that goes to validation.
        test_fraction: fraction of them that goes to test.
        label_noise: fraction of training labels replaced by another class (flipped, for several
            labels per sample).
        imbalance: fraction of its training samples that each class of the rarest half keeps, see
            :func:`~losslab.data.corruption.rarest_half`; the rarest classes are those of the whole
            data set.
        outliers: fraction of the training samples of a regression that become outliers.
        outlier_size: shift of an outlier, in the unit of the target.
        outlier_kind: ``"vertical"`` or ``"leverage"``, see
            :func:`~losslab.data.corruption.outliers`.
        pixel_outliers: fraction of the pixels of training images set to black or white, see
            :func:`~losslab.data.corruption.pixel_outliers`.
        corrupt_val: whether to corrupt validation like training. Test is never corrupted.

    Attributes, after :meth:`setup`:
        train, val, test: the splits, on the CPU; inputs are float32, classes int64, others float32.
        input_shape: shape of one input.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"`` or ``"masks"``.
        outputs: number of classes, values or labels; 1 for masks of one foreground class.
        class_names: their names, or ``None``.
        class_counts: number of training samples per class (per label, those that have it; pixels,
            for masks), after corruption; ``None`` for values.
        rarest: class with the fewest training samples; ``None`` for other targets than classes.

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
    """Whether the files include a test split, so that ``test_fraction`` is ignored."""

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
        """Seed of everything random except the order of batches."""
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

    # --- to be implemented by subclasses ------------------------------------------------------

    def load(self) -> Raw:
        """Return all samples, read from files or generated from ``self.data_seed``."""
        raise NotImplementedError(f"{type(self).__name__} must implement load() -> Raw")

    # --- from samples to splits ---------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Load, split, standardize and corrupt the samples; a second call does nothing.

        Raises:
            ValueError: if the samples are invalid, cannot be split, or do not support a corruption.
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
        """Determine kind and sizes, and check the samples."""
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
        supported = {
            "label_noise": (self.label_noise > 0, ("classes", "multilabel")),
            "imbalance": (self.imbalance < 1, ("classes",)),
            "outliers": (self.outliers > 0, ("values",)),
        }
        for option, (enabled, kinds) in supported.items():
            if enabled and self.target_kind not in kinds:
                raise ValueError(
                    f"{option} needs targets that are {' or '.join(kinds)}, got {self.target_kind}"
                )
        if self.pixel_outliers > 0 and len(self.input_shape) != 3:
            raise ValueError(
                "pixel_outliers needs images (channels, height, width), "
                f"got samples of shape {self.input_shape}"
            )

    def _corrupted(self, split: Split, part: int, rare: Tensor | None) -> Split:
        """Apply the corruptions, each from its own random stream."""
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

    # --- fingerprints and description ---------------------------------------------------------

    def fingerprint(self) -> str:
        """Return a hash of the content of all three splits; cached."""
        if self._fingerprint is None:
            self._fingerprint = _digest(
                tensor for split in (self.train, self.val, self.test) for tensor in split.tensors()
            )
        return self._fingerprint

    def order_fingerprint(self) -> str:
        """Return a hash of the batch size and of the order of the first three epochs."""
        batches = Batches(self.train, self.batch_size, seed=self.seed, shuffle=True)
        return _digest([torch.tensor(self.batch_size), *map(batches.order, range(3))])

    def describe(self) -> str:
        """Return a readable summary of the sizes and of the training split."""
        sizes = f"{self.train.size} training, {self.val.size} validation, {self.test.size} test"
        shape = " x ".join(map(str, self.input_shape))
        return f"{type(self).__name__}: {sizes} samples of shape {shape}\n{self._contents()}"

    def _contents(self) -> str:
        if self.class_counts is None:
            mean, sd = self.train.targets.mean(), self.train.targets.std()
            return f"targets in training: {self.outputs} per sample, mean {mean:.4g}, SD {sd:.4g}"
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

    # --- Lightning's interface ----------------------------------------------------------------

    def train_dataloader(self) -> Batches:
        """Return the training batches, shuffled each epoch unless the trainer overfits a few."""
        # Lightning sets the attribute without declaring it
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        return self.batches(self.train, shuffle=not overfit)

    def val_dataloader(self) -> Batches:
        """Return the batches of the validation split, in stored order."""
        return self.batches(self.val)

    def test_dataloader(self) -> Batches:
        """Return the batches of the test split, in stored order."""
        return self.batches(self.test)

    def batches(
        self, split: Split, *, shuffle: bool = False, trainer: pl.Trainer | None = None
    ) -> Batches:
        """Return the batches of a split, on the trainer's device and in its precision."""
        trainer = trainer or self.trainer
        if trainer is None:
            return Batches(split, self.batch_size, seed=self.seed, shuffle=shuffle)
        return Batches(
            # convert once: Lightning's loops convert each batch, but other readers do not
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
        """Return the batch itself if it is already on the device."""
        return _transferred(self, batch, device, dataloader_idx)


class ValThenTest(pl.LightningDataModule):
    """Data module whose test loaders are the given splits of a data set, in that order.

    Args:
        data: data set, after ``setup``.
        splits: any of ``"train"``, ``"val"`` and ``"test"``.

    Raises:
        ValueError: if a split has another name.
    """

    def __init__(self, data: InMemoryData, splits: Iterable[str] = ("val", "test")) -> None:
        super().__init__()
        self.data = data
        self.splits = tuple(splits)
        for split in self.splits:
            checks.require_choice("split", split, ("train", "val", "test"))

    def test_dataloader(self) -> list[Batches]:
        """Return one loader per split, each in stored order."""
        return [
            self.data.batches(getattr(self.data, split), trainer=self.trainer)
            for split in self.splits
        ]

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Return the batch itself if it is already on the device."""
        return _transferred(self, batch, device, dataloader_idx)


def require_finite(name: str, values: Tensor) -> None:
    """Raise ``ValueError`` if a value is NaN or infinite, naming the first such sample."""
    if len(values) == 0:
        raise ValueError(f"{name} must hold samples, got shape {tuple(values.shape)}")
    broken = ~torch.isfinite(values).flatten(1 if values.ndim > 1 else 0)
    if bool(broken.any()):
        first = int(broken.reshape(len(values), -1).any(1).nonzero()[0])
        raise ValueError(
            f"{name} must be finite numbers, got {int(broken.sum())} that are not finite, "
            f"the first in sample {first}"
        )


def _transferred(
    module: pl.LightningDataModule, batch: Any, device: torch.device, dataloader_idx: int
) -> Any:
    if batch[0].device == device:
        return batch
    return pl.LightningDataModule.transfer_batch_to_device(module, batch, device, dataloader_idx)


def _require_classes(targets: Tensor, classes: int) -> Tensor:
    """Check class indices and convert them to int64."""
    if targets.ndim != 1 or targets.is_floating_point():
        raise ValueError(
            "targets must be class indices of shape (n,), "
            f"got {targets.dtype} of shape {tuple(targets.shape)}"
        )
    if classes < 2 or int(targets.min()) < 0 or int(targets.max()) >= classes:
        raise ValueError(
            f"targets must be class indices in [0, C) with C >= 2 classes, got "
            f"{int(targets.min())} to {int(targets.max())} and {classes} classes"
        )
    return targets.long()


def _require_masks(targets: Tensor, inputs: Tensor, classes: int) -> Tensor:
    """Check masks and convert them to int64."""
    shape = (len(inputs), *inputs.shape[2:])
    if targets.is_floating_point() or inputs.ndim != 4 or tuple(targets.shape) != shape:
        raise ValueError(
            f"targets must be masks of integers, {shape} for inputs {tuple(inputs.shape)}, "
            f"got {targets.dtype} of shape {tuple(targets.shape)}"
        )
    if classes < 2 or int(targets.min()) < 0 or int(targets.max()) >= classes:
        raise ValueError(
            "targets must be masks of class indices in [0, C) with C >= 2 classes, 0 being the "
            f"background, got {int(targets.min())} to {int(targets.max())} and {classes} classes"
        )
    return targets.long()


def _require_weights(weights: Tensor) -> Tensor:
    """Check sample weights and convert them to float32."""
    require_finite("weight", weights)
    if bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise ValueError(
            f"weight must be >= 0, and > 0 for some sample, got {float(weights.min()):g} "
            f"to {float(weights.max()):g}"
        )
    return weights.float()


def _standardized_inputs(parts: list[Split], columns: bool | Tensor) -> list[Split]:
    """Standardize the inputs of all splits with the training split's means and deviations."""
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
    """Compute means and standard deviations, with 1 for the deviation of a constant."""
    exact = values.double()  # float32 would turn a constant of 1e6 into noise
    mean, scale = exact.mean(dims, keepdim=True), exact.std(dims, correction=0, keepdim=True)
    return mean.float(), torch.where(scale > 0, scale, 1).float()


def _digest(tensors: Iterable[Tensor]) -> str:
    """Hash dtypes, shapes and content."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
