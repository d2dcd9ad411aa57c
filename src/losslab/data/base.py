"""Base class of the data sets: splits, standardization, corruption, fingerprints and batches."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, TypedDict

import pytorch_lightning as pl
import torch
from torch import Tensor

from losslab.data import checks, corruption, splits
from losslab.data.augmentation import Augmentation, Transform
from losslab.data.batches import Batches, Split
from losslab.data.kinds import TargetKind, convert_targets, require_supported
from losslab.data.raw import KindName, Raw, Sampling, checked_weights, require_finite
from losslab.data.source import TensorSource
from losslab.data.standardization import TargetScaling, imputed_inputs, standardized_inputs
from losslab.data.streaming import StreamedBatches, StreamedInputs, batches_of
from losslab.rng import Purpose, generator

__all__ = ["InMemoryData", "Options", "Raw"]


class Options(TypedDict, total=False):
    """Options of every data set; see :class:`InMemoryData`."""

    batch_size: int
    seed: int
    split_seed: int | None
    test_split_seed: int | None
    val_fraction: float
    test_fraction: float
    label_noise: float
    imbalance: float
    outliers: float
    outlier_size: float
    outlier_kind: corruption.OutlierKind
    pixel_outliers: float
    edge_noise: float
    corrupt_val: bool
    augment: Sequence[Transform]
    num_workers: int | Literal["auto"]


class InMemoryData(pl.LightningDataModule):
    """Base class of the data sets; subclasses implement :meth:`load`.

    Inputs are a tensor or, if they do not fit into memory, are read when they are needed, see
    :mod:`losslab.data.streaming`.

    The split (stratified by class, or by whole groups), each corruption, and the order of each
    epoch's batches have separate random generators derived from the seed. Options are checked on
    construction, before any file is read; what depends on the data is checked by :meth:`setup`.

    Args:
        batch_size: samples per batch, over all processes together.
        seed: seed of the run; decides the order of batches and, without ``split_seed``, the rest.
        split_seed: seed of split, synthetic data and corruptions, to keep them fixed while ``seed``
            varies.
        test_split_seed: seed of the test split, which is then the same for all ``seed``; training
            and validation still follow from ``seed``. For data that seeds divide anew.
        val_fraction: fraction of the samples to be divided that goes to validation.
        test_fraction: fraction of them that goes to test.
        label_noise: fraction of training labels replaced by another class (flipped, for several
            labels per sample).
        imbalance: fraction of its training samples that each class of the rarest half keeps, see
            :func:`~losslab.data.corruption.rarest_half`; the rarest classes are those of the whole
            data set.
        outliers: fraction of the training samples of a regression that become outliers, or of the
            training boxes that are replaced by random ones.
        outlier_size: shift of an outlier, in the unit of the target.
        outlier_kind: ``"vertical"`` or ``"leverage"``, see
            :func:`~losslab.data.corruption.outliers`.
        pixel_outliers: fraction of the pixels of training images set to black or white, see
            :func:`~losslab.data.corruption.pixel_outliers`.
        edge_noise: standard deviation of noise on the edges of training boxes, as a fraction of the
            box's width or height.
        corrupt_val: whether to corrupt validation like training. Test is never corrupted.
        augment: transforms of each training sample, drawn anew in each epoch, the same for all
            losses at a seed; see :class:`~losslab.data.augmentation.Augmentation`.
        num_workers: processes that read and augment samples ahead, for each split that does;
            ``"auto"`` for one per core, or none for samples in memory. Results do not depend on it.

    Attributes, after :meth:`setup`:
        train, val, test: the splits, on the CPU; inputs are float32, classes int64, others float32.
        test_index: index of each test sample among all samples of :meth:`load`, int64 ``(n,)``. If
            samples are generated, it identifies a sample only for the same ``data_seed``.
        sampling: what differs between seeds, see :data:`~losslab.data.raw.Sampling`.
        input_shape: shape of one input.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"``, ``"masks"`` or ``"boxes"``.
        target_scaling: means and standard deviations with which the splits' values are
            standardized, ``None`` if they are in their own unit.
        outputs: number of classes, values or labels; 1 for masks of one foreground class; for boxes
            the number of classes.
        class_names: their names, or ``None``.
        class_counts: number of training samples per class (per label, those that have it; pixels,
            for masks; boxes, for boxes), after corruption; ``None`` for values.
        rarest: class with the fewest training samples; ``None`` for other targets than classes.
        ignores: whether pixels or labels are ignored, see :data:`~losslab.data.raw.IGNORED`.
        notes: what reading changed or left out, see :class:`~losslab.data.raw.Raw`.

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

    fresh_per_seed: ClassVar[bool] = False
    """Whether each seed draws new samples, as a generator does, or divides the same ones."""
    own_test: ClassVar[bool] = False
    """Whether the files include a test split, so that ``test_fraction`` is ignored."""

    sampling: Sampling
    train: Split
    val: Split
    test: Split
    test_index: Tensor
    input_shape: tuple[int, ...]
    target_kind: KindName
    target_scaling: TargetScaling | None
    outputs: int
    class_names: list[str] | None
    class_counts: Tensor | None
    rarest: int | None
    ignores: bool
    notes: tuple[str, ...]
    _kind: TargetKind
    _contents: str

    def __init__(
        self,
        *,
        batch_size: int = 64,
        seed: int = 0,
        split_seed: int | None = None,
        test_split_seed: int | None = None,
        val_fraction: float = 0.2,
        test_fraction: float = 0.2,
        label_noise: float = 0.0,
        imbalance: float = 1.0,
        outliers: float = 0.0,
        outlier_size: float = 30.0,
        outlier_kind: corruption.OutlierKind = "vertical",
        pixel_outliers: float = 0.0,
        edge_noise: float = 0.0,
        corrupt_val: bool = False,
        augment: Sequence[Transform] = (),
        num_workers: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        checks.require_whole("batch_size", batch_size, 1)
        checks.require_whole("seed", seed, 0)
        if split_seed is not None:
            checks.require_whole("split_seed", split_seed, 0)
        if test_split_seed is not None:
            checks.require_whole("test_split_seed", test_split_seed, 0)
            if self.fresh_per_seed:
                raise ValueError(
                    "test_split_seed must be null for data that are generated anew for each seed, "
                    f"got {test_split_seed}"
                )
        checks.require_open_share("val_fraction", val_fraction)
        checks.require_open_share("test_fraction", test_fraction)
        if not self.own_test and val_fraction + test_fraction >= 1:
            raise ValueError(
                "val_fraction + test_fraction must be below 1, "
                f"got {val_fraction:g} + {test_fraction:g}"
            )
        self.batch_size = batch_size
        self.seed = seed
        self.split_seed = split_seed
        self.test_split_seed = test_split_seed
        self.data_seed = seed if split_seed is None else split_seed
        """Seed of everything random except the order of batches."""
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.corruption = corruption.CorruptionOptions(
            label_noise=label_noise,
            imbalance=imbalance,
            outliers=outliers,
            outlier_size=outlier_size,
            outlier_kind=outlier_kind,
            pixel_outliers=pixel_outliers,
            edge_noise=edge_noise,
            corrupt_val=corrupt_val,
        )
        self.smallest_batch = 1
        """Fewest training samples that the network needs in a batch, see :class:`Batches`."""
        self.augment = Augmentation(augment) if augment else None
        if num_workers != "auto":
            checks.require_whole("num_workers", num_workers, 0)
        self.num_workers = num_workers
        self._streamed: list[StreamedBatches] = []
        self._ready = False
        self._fingerprint: str | None = None

    # --- to be implemented by subclasses ------------------------------------------------------

    def load(self) -> Raw:
        """Return all samples, read from files or generated from ``self.data_seed``."""
        raise NotImplementedError(f"{type(self).__name__} must implement load() -> Raw")

    def reads_again(self) -> bool:
        """Return whether samples are read from their files again in each epoch."""
        return False

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
        self.sampling = self._sampling(raw)
        self.notes = raw.notes
        self._require_fitting_corruption(raw, streamed=isinstance(whole.inputs, StreamedInputs))
        places = self._divided(raw, whole)
        self.test_index = places[splits.TEST]
        parts = [whole.take(index) for index in places]
        if raw.impute:
            if self.augment is not None:
                raise ValueError("augment does not support missing values: set impute=refuse")
            parts = imputed_inputs(parts)
        if self.augment is not None or isinstance(whole.inputs, StreamedInputs):
            parts[0] = self._drawn_anew(whole, places[splits.TRAIN])
        if raw.standardize is not False:
            parts = standardized_inputs(parts, raw.standardize)
        scaling = None
        if raw.standardize_targets and self._kind.numeric:
            scaling = TargetScaling.of(parts[0].targets)  # of the clean targets
        if scaling is not None and raw.standardize_targets == "data":
            parts, scaling = list(map(scaling.standardized, parts)), None
        self.train, self.val, self.test = parts
        self.train = self._corrupted(self.train, splits.TRAIN)
        if self.corruption.corrupt_val:
            self.val = self._corrupted(self.val, splits.VAL)
        self._count()
        self.target_scaling = scaling
        if scaling is not None:
            parts = [self.train, self.val, self.test]
            self.train, self.val, self.test = map(scaling.standardized, parts)
        self._ready = True

    def split_samples(self) -> tuple[Tensor, Tensor, Tensor]:
        """Load the samples and return which of them are in training, validation and test.

        Two seeds' splits share a sample if and only if they share its index, unless each seed draws
        new samples.
        """
        raw = self.load()
        return self._divided(raw, self._describe(raw))

    def _divided(self, raw: Raw, whole: Split) -> tuple[Tensor, Tensor, Tensor]:
        """Return the indices of the samples of each split."""
        if self.test_split_seed is not None and _has_own_test(raw):
            raise ValueError(
                "test_split_seed must be null for data with a test split of their own, "
                f"got {self.test_split_seed}"
            )
        return splits.draw(
            whole.size,
            labels=whole.targets if self._kind.single_label and not raw.whole_classes else None,
            groups=whole.targets if raw.whole_classes else raw.groups,
            fixed=raw.fixed,
            held_out=raw.held_out,
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            seed=self.data_seed,
            test_seed=self.test_split_seed,
            names=self.class_names,
        )

    def _sampling(self, raw: Raw) -> Sampling:
        if self.split_seed is not None or self.test_split_seed is not None:
            return "fixed_test"
        if self.fresh_per_seed:
            return "fresh"
        return "fixed_test" if _has_own_test(raw) else "redrawn"

    def _describe(self, raw: Raw) -> Split:
        """Check and convert the samples, and determine their kind and sizes."""
        if isinstance(raw.inputs, Tensor):  # those that are streamed have been checked
            require_finite("inputs", raw.inputs, gaps=raw.impute)
        require_finite("targets", raw.targets)
        targets, self._kind = convert_targets(raw)
        self.target_kind = self._kind.name
        self.ignores = self._kind.ignores(targets)
        self.outputs = self._kind.outputs
        self.class_names = raw.class_names
        self.input_shape = tuple(raw.inputs.shape[1:])
        weights = None if raw.weights is None else checked_weights(raw.weights)
        inputs = raw.inputs.float() if isinstance(raw.inputs, Tensor) else raw.inputs
        return Split(inputs, targets, weights)

    def _drawn_anew(self, whole: Split, index: Tensor) -> Split:
        """Select training samples, whose transforms are drawn in each epoch from the run's seed."""
        if self.augment is not None and self._kind.name == "boxes":
            raise ValueError("augment does not move boxes: leave it out")
        inputs: Any = whole.inputs
        if isinstance(inputs, Tensor):
            masks = whole.targets if self._kind.name == "masks" else None
            inputs = StreamedInputs(
                TensorSource(inputs, masks),
                workers=0 if self.num_workers == "auto" else self.num_workers,
                masks=masks is not None,
            )
        inputs = inputs.using(augment=self.augment, seed=self.seed)
        return whole._replace(inputs=inputs).take(index)

    def _require_fitting_corruption(self, raw: Raw, *, streamed: bool) -> None:
        require_supported(self._kind, self.corruption)
        options = self.corruption
        if raw.whole_classes and (options.imbalance < 1 or options.label_noise > 0):
            raise ValueError(
                "imbalance and label_noise must be left out: the classes of training are not those "
                "of validation and test"
            )
        leverage = options.outliers > 0 and options.outlier_kind == "leverage"
        for name, used in (("pixel_outliers", options.pixel_outliers > 0), ("leverage", leverage)):
            if used and (streamed or self.augment is not None):
                raise ValueError(
                    f"{name} changes inputs in memory, before they are augmented: "
                    + ("set in_memory=true" if streamed else "leave out augment")
                )
        if self.corruption.pixel_outliers > 0 and len(self.input_shape) != 3:
            raise ValueError(
                "pixel_outliers needs images (channels, height, width), "
                f"got samples of shape {self.input_shape}"
            )

    def _corrupted(self, split: Split, part: int) -> Split:
        """Apply the corruptions, each with its own random generator."""
        if self.corruption.pixel_outliers > 0:
            rng = self._rng(Purpose.PIXEL_OUTLIERS, part)
            share = self.corruption.pixel_outliers
            split = split._replace(inputs=corruption.pixel_outliers(split.inputs, share, rng))
        return self._kind.corrupt(split, self.corruption, partial(self._rng, part=part))

    def _rng(self, purpose: Purpose, part: int) -> torch.Generator:
        seed = self.test_split_seed if part == splits.TEST else None
        return generator(self.data_seed if seed is None else seed, purpose, part)

    def _count(self) -> None:
        self.class_counts = self._kind.counts(self.train.targets)
        self.rarest = self._kind.rarest(self.train.targets)
        self._contents = self._kind.describe(self.train.targets)

    # --- fingerprints and description ---------------------------------------------------------

    def fingerprint(self) -> str:
        """Return a hash of the content of all three splits; cached."""
        if self._fingerprint is None:
            self._fingerprint = _digest(
                tensor
                for split in (self.train, self.val, self.test)
                for column in split.tensors()
                for tensor in ([column] if isinstance(column, Tensor) else column.identity())
            )
        return self._fingerprint

    def order_fingerprint(self) -> str:
        """Return a hash of the batch sizes and of the order of the first three epochs."""
        batches = Batches(self.train, self.batch_size, seed=self.seed, shuffle=True)
        size = self.batch_size if not self.merges_last else [self.batch_size, self.smallest_batch]
        return _digest([torch.tensor(size), *map(batches.order, range(3))])

    @property
    def merges_last(self) -> bool:
        """Whether the last training batch joins the one before it, since it is too small."""
        last = self.train.size % self.batch_size
        return self.train.size > self.batch_size and 0 < last < self.smallest_batch

    def sizes(self) -> dict[str, int]:
        """Return the number of samples per split."""
        return {name: getattr(self, name).size for name in splits.NAMES}

    @property
    def title(self) -> str:
        """Name of the data set in messages."""
        return type(self).__name__

    def describe(self) -> str:
        """Return a readable summary of the sizes, the training split, and what reading changed."""
        sizes = f"{self.train.size} training, {self.val.size} validation, {self.test.size} test"
        shape = " x ".join(map(str, self.input_shape))
        first = f"{self.title}: {sizes} samples of shape {shape}"
        return "\n".join([first, self._contents, *(f"read: {note}" for note in self.notes)])

    # --- Lightning's interface ----------------------------------------------------------------

    def train_dataloader(self) -> Batches:
        """Return the training batches, shuffled each epoch unless the trainer overfits a few."""
        # Lightning sets the attribute without declaring it
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        return self.batches(self.train, shuffle=not overfit, smallest=self.smallest_batch)

    def val_dataloader(self) -> Batches:
        """Return the batches of the validation split, in stored order."""
        return self.batches(self.val)

    def test_dataloader(self) -> Batches:
        """Return the batches of the test split, in stored order."""
        return self.batches(self.test)

    def batches(
        self,
        split: Split,
        *,
        shuffle: bool = False,
        trainer: pl.Trainer | None = None,
        smallest: int = 1,
    ) -> Batches:
        """Return the batches of a split, on the trainer's device and in its precision."""
        trainer = trainer or self.trainer
        placed: dict[str, Any] = {}
        if trainer is not None:
            placed = {
                "convert": trainer.precision_plugin.convert_input,
                "device": trainer.strategy.root_device,
                "rank": trainer.global_rank,
                "world_size": trainer.world_size,
            }
        made = batches_of(
            split, self.batch_size, seed=self.seed, shuffle=shuffle, smallest=smallest, **placed
        )
        if isinstance(made, StreamedBatches):
            self._streamed.append(made)
        return made

    def close(self) -> None:
        """End the worker processes that read samples."""
        for batches in self._streamed:
            batches.close()
        self._streamed = []

    def teardown(self, stage: str | None = None) -> None:
        """End the worker processes, which Lightning calls after training and test."""
        self.close()

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Return the batch itself if it is already on the device."""
        if batch[0].device == device:
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


def _has_own_test(raw: Raw) -> bool:
    """Return whether the files say which samples are test."""
    return raw.fixed is not None and not raw.redrawn and bool((raw.fixed == splits.TEST).any())


def _digest(tensors: Iterable[Tensor]) -> str:
    """Hash dtypes, shapes and content."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
