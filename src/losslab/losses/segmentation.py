"""Region-based losses of the overlap between predicted and true masks."""

import inspect
from typing import ClassVar, Literal, TypedDict, Unpack

import torch
from torch import Tensor

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    divide,
    require_at_least,
    require_choice,
    sum_terms,
)
from losslab.losses.class_targets import Weights, computing, weights
from losslab.losses.functional import segmentation as functional
from losslab.losses.functional.classification import binary_cross_entropy
from losslab.losses.functional.fused import KernelOptions, RegionKernel, fused
from losslab.losses.functional.segmentation import Region
from losslab.losses.links import InverseLink

Empty = Literal["soft", "skip"]


class RegionOptions(TypedDict, total=False):
    """Types of the options of all region-based losses, for type checkers."""

    weight: Weights
    per_image: bool
    include_background: bool
    smooth: float
    ignore_index: int | None
    empty: Empty
    reduction: Reduction


class OverlapLoss(Loss):
    """Base class of the region-based losses; declares their common options, shapes and errors.

    A region is one class of one image, or one class of the whole batch. Subclasses define
    :meth:`overlap`, the loss of regions with foreground, and may override :meth:`empty_cost`, that
    of regions without. A subclass whose ``__init__`` takes ``**options`` has these options in its
    signature.

    Args:
        weight: one number per class or mask. The mean divides by the weights of its regions.
        per_image: whether to compute the overlap per image, or over the batch as one large image.
        include_background: whether class 0 is a region; applies to class indices only, since masks
            have no background class.
        smooth: s, added to numerator and denominator. 0 is safe, since empty targets are handled
            separately.
        ignore_index: target value of pixels to ignore.
        empty: loss of a region without foreground. ``"soft"``: the mean of its probabilities (to
            the power k, where a loss has one), whose gradient removes false positives.
            ``"skip"``: 0, and the region is excluded from the mean.
        reduction: ``"mean"`` over the included regions, ``"sum"``, or ``"none"``: ``(N, K)`` per
            image or ``(K,)`` per batch, 0 for excluded regions. Regions whose pixels are all
            ignored are excluded.

    Shape:
        Masks: prediction and target both ``(N, K, *)`` with K masks, K = 1 for one foreground; or
        both ``(N, *)`` with at most three dimensions, one mask. Classes: logits ``(N, C, *)`` with
        integer indices ``(N, *)``, C >= 2.

    Raises:
        ValueError: if an option is out of range or the shapes match neither layout.
        TypeError: if class indices are not integers.
    """

    accepts = (TargetFormat.BINARY_TARGETS, TargetFormat.CLASS_MASKS)
    per_class = ("weight",)
    inverse_link: ClassVar[InverseLink | None] = "softmax"
    minimum = 0.0
    power = 1
    """Exponent k of the probabilities."""
    weight: Tensor | None
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        """Set the signature of a subclass, with the common options in place of ``**options``."""
        super().__init_subclass__()
        own = list(inspect.signature(cls.__init__).parameters.values())[1:]
        named = [each for each in own if each.kind is not each.VAR_KEYWORD]
        if len(named) < len(own):
            common = inspect.signature(OverlapLoss.__init__).parameters
            names = ("self", *(each.name for each in named))
            named += [each for name, each in common.items() if name not in names]
        cls.__signature__ = inspect.Signature(named)

    def __init__(
        self,
        *,
        weight: Weights = None,
        per_image: bool = True,
        include_background: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        empty: Empty = "soft",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weights("weight", weight))
        require_at_least("smooth", smooth, 0)
        require_choice("empty", empty, ("soft", "skip"))
        self.per_image = per_image
        self.include_background = include_background
        self.smooth = smooth
        self.ignore_index = ignore_index
        self.empty = empty

    def overlap(self, region: Region) -> Tensor:
        """Compute the loss of regions with foreground, ``(N, K)`` or ``(K,)``."""
        raise NotImplementedError

    def empty_cost(self, region: Region) -> Tensor:
        """Compute the loss of regions without foreground for ``empty="soft"``."""
        return functional.foreground_level(region)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        self.require_reducible(prediction)
        if self.reduction == "none":
            return self.reduce_regions(*self.region_losses(self.regions(prediction, target)))
        return self.sum_regions(prediction, target, mean=self.reduction == "mean")[0]

    def kernel_options(self) -> KernelOptions | None:
        """Return the options by which a kernel computes :meth:`overlap`; ``None`` for no kernel.

        They apply to the class that defines them and not to its subclasses, which may override
        something else.
        """
        return None

    def sum_regions(
        self, prediction: Tensor, target: Tensor, *, mean: bool
    ) -> tuple[Tensor, Tensor]:
        """Compute the sum of the regions, or their mean, and what the mean divides by."""

        def definition(prediction: Tensor, target: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
            total, count = sum_terms(*self.terms(prediction, target), None)
            return (divide(total, count) if mean else total), count

        of_classes = prediction.shape != target.shape
        if of_classes:
            _require_class_indices(prediction, target)
        else:
            prediction, target = _with_channels(prediction), _with_channels(target)
        kernel = self._kernel(prediction, of_classes, mean)
        if kernel is None:
            return definition(prediction, target)
        counted = self.counted(target)
        constants = (target,) if counted is None else (target, counted)
        total, count = fused(kernel, definition, prediction, *constants)
        return total, count

    def _kernel(self, prediction: Tensor, of_classes: bool, mean: bool) -> RegionKernel | None:
        """Return the kernel with all options and weights, if this class has one."""
        options = self.kernel_options() if "kernel_options" in vars(type(self)) else None
        if options is None:
            return None
        first = self.first_class if of_classes else 0
        options = options._replace(
            squared=self.power == 2,
            per_image=self.per_image,
            skip=self.empty == "skip",
            mean=mean,
            first_class=first,
        )
        weight = self.weight_of(prediction.shape[1] - first)
        if weight is not None:
            weight = torch.cat([weight.new_zeros(first), weight])
            weight = weight.to(prediction.device, torch.float32)
        return RegionKernel(options, of_classes, weight)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Count the regions with an empty target and, with ``ignore_index``, the ignored pixels."""
        region = self.regions(prediction.detach(), target)
        empty = functional.empty_target(region) & functional.has_pixels(region)
        diagnostics = {"empty_targets": empty.sum().float()}
        if self.ignore_index is not None:
            diagnostics["ignored_pixels"] = (target == self.ignore_index).sum().float()
        return diagnostics

    def regions(self, prediction: Tensor, target: Tensor) -> Region:
        """Sum over the pixels of each region."""
        if prediction.shape == target.shape:
            prediction, target = _with_channels(prediction), _with_channels(target)
            counted = self.counted(target)
            return functional.mask_regions(
                prediction, target, counted, self.power, per_image=self.per_image
            )
        _require_class_indices(prediction, target)
        counted = self.counted(target)
        region = functional.class_regions(
            prediction, target, counted, self.power, per_image=self.per_image
        )
        return Region(*(sums[..., self.first_class :] for sums in region))

    def counted(self, target: Tensor) -> Tensor | None:
        """Return a mask of the pixels to include, or ``None`` if there is no ``ignore_index``."""
        return None if self.ignore_index is None else target != self.ignore_index

    @property
    def first_class(self) -> int:
        """Index of the first class that is a region."""
        return 0 if self.include_background else 1

    def region_losses(self, region: Region) -> tuple[Tensor, Tensor]:
        """Compute the loss of each region, 0 for excluded ones, and a mask of the included ones."""
        values, included = self.overlap(region), functional.has_pixels(region)
        empty = functional.empty_target(region)
        if self.empty == "skip":
            return torch.where(empty, 0, values), included & ~empty
        return torch.where(empty, self.empty_cost(region), values), included

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the losses of the regions; each included one adds 1."""
        values, included = self.region_losses(self.regions(prediction, target))
        return self.weighted(values), self.counts(included, values)

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the sum over the regions of a batch, and the count of the included ones.

        Raises:
            ValueError: if there are sample weights, but regions of the whole batch.
        """
        self.require_images(weights)
        if weights is None:
            return self.sum_regions(prediction, target, mean=False)
        return super().total(prediction, target, weights)

    def require_images(self, weights: Tensor | None) -> None:
        """Raise ``ValueError`` if images have weights, but no losses of their own."""
        if weights is not None and not self.per_image:
            raise ValueError("sample weights need per_image=True, got per_image=False")

    def reduce_regions(self, values: Tensor, included: Tensor) -> Tensor:
        """Apply the reduction to the losses of all regions, which are 0 for excluded ones."""
        return self.reduce_counted(self.weighted(values), self.counts(included, values))

    def weighted(self, values: Tensor) -> Tensor:
        """Multiply the values of regions, ``(N, K)`` or ``(K,)``, by the weights of the classes."""
        weight = self.weight_of(values.shape[-1])
        return values if weight is None else values * computing(weight, values)

    def weight_of(self, regions: int) -> Tensor | None:
        """Return the weight of each of the regions of an image."""
        if self.weight is None:
            return None
        left_out = self.first_class
        if self.weight.dim() == 1 and len(self.weight) not in (regions, regions + left_out):
            raise ValueError(
                f"weight must hold one number per class, {regions + left_out} in total, got "
                f"{len(self.weight)}"
            )
        return self.weight.expand(regions) if self.weight.dim() == 0 else self.weight[-regions:]

    def counts(self, included: Tensor, like: Tensor) -> Tensor:
        """Return what is counted for the mean: the included regions, by weight."""
        return included if self.weight is None else self.weighted(included.to(like.dtype))


class DiceLoss(OverlapLoss):
    r"""Dice loss: one minus the overlap of two masks relative to their mean size.

    .. math:: \ell = \operatorname{mean}_r \left(
        1 - \frac{2 \sum p t + s}{\sum p^k + \sum t^k + s} \right)

    over regions r (see ``per_image``), with p the sigmoid of a mask's logits or the softmax over
    classes. The loss of a region without foreground is the mean of :math:`p^k` (see ``empty``).

    Args:
        power: k, 1 or 2.
        **options: see :class:`~losslab.losses.segmentation.OverlapLoss`.

    Shape:
        As :class:`~losslab.losses.segmentation.OverlapLoss`: masks ``(N, K, *)`` or ``(N, *)``
        with targets of the same shape, or logits ``(N, C, *)`` with class indices ``(N, *)``.

    Raises:
        ValueError: if an option is out of range or the shapes match neither layout.
        TypeError: if class indices are not integers.

    Source:
        Milletari, Navab, Ahmadi, "V-Net", 2016 (k = 2); Drozdzal et al., "The Importance of Skip
        Connections in Biomedical Image Segmentation", 2016 (k = 1).

    Example:
        >>> logits = torch.tensor([[[[9.0, -9.0], [-9.0, 9.0]]]])
        >>> mask = torch.tensor([[[[1, 0], [0, 1]]]])
        >>> DiceLoss()(logits, mask) < 1e-3
        tensor(True)
        >>> round(DiceLoss()(torch.zeros(1, 1, 2, 2), mask * 0).item(), 3)  # an empty target
        0.5
    """

    def __init__(
        self,
        power: int = 1,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(**options)
        require_choice("power", power, (1, 2))
        self.power = power

    def overlap(self, region: Region) -> Tensor:
        """Compute the loss of regions with foreground."""
        return functional.dice(region, self.smooth)

    def kernel_options(self) -> KernelOptions:
        """Return the options by which a kernel computes the overlap."""
        if self.power == 2:
            return KernelOptions(0, 0, 1, 2, self.smooth)
        return KernelOptions(1, 1, 0, 2, self.smooth)


class TverskyLoss(OverlapLoss):
    r"""Tversky loss: overlap with separate weights of false positives and false negatives.

    .. math:: \ell = \operatorname{mean}_r \left(
        1 - \frac{TP + s}{TP + w_{fp} FP + w_{fn} FN + s} \right),
        \quad TP = \sum p t,\; FP = \sum p (1 - t),\; FN = \sum (1 - p) t

    over regions r, as in :class:`DiceLoss`. Weights 0.5 and 0.5 give Dice (whose ``smooth`` is
    twice as large), 1 and 1 give Jaccard. A larger ``fn_weight`` raises recall.

    Args:
        fp_weight: weight of false positives, at least 0; alpha in the papers.
        fn_weight: weight of false negatives, above 0; beta in the papers.
        **options: see :class:`~losslab.losses.segmentation.OverlapLoss`.

    Shape:
        As :class:`DiceLoss`.

    Raises:
        ValueError: if an option is out of range or the shapes match neither layout.
        TypeError: if class indices are not integers.

    Source:
        Salehi, Erdogmus, Gholipour, "Tversky loss function for image segmentation using 3D fully
        convolutional deep networks", 2017.

    Example:
        >>> logits, mask = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1, 0, 1]])
        >>> torch.equal(TverskyLoss(0.5, 0.5)(logits, mask), DiceLoss()(logits, mask))
        True
    """

    def __init__(
        self,
        fp_weight: float = 0.3,
        fn_weight: float = 0.7,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(**options)
        require_at_least("fp_weight", fp_weight, 0)
        # with weight 0, an empty prediction would give 0 / 0
        require_at_least("fn_weight", fn_weight, 0, strict=True)
        self.fp_weight = fp_weight
        self.fn_weight = fn_weight

    def overlap(self, region: Region) -> Tensor:
        """Compute the loss of regions with foreground."""
        return functional.tversky(region, self.fp_weight, self.fn_weight, self.smooth)

    def kernel_options(self) -> KernelOptions:
        """Return the options by which a kernel computes the overlap."""
        return KernelOptions(self.fp_weight, self.fn_weight, 0, 1, self.smooth)


class FocalTverskyLoss(TverskyLoss):
    r"""Focal Tversky loss: a power of each class's Tversky loss, summed over the classes.

    .. math:: \ell = \operatorname{mean}_n \sum_c \ell_{\mathrm{Tversky}, n, c}^{\;e}

    The paper writes :math:`e = 1 / \gamma`. An exponent below 1 has an infinite slope at a perfect
    mask; the gradient is set to 0 there. Exponent 1 gives the Tversky loss (times the number of
    classes).

    Args:
        exponent: e, above 0.
        fp_weight: weight of false positives, at least 0.
        fn_weight: weight of false negatives, above 0.
        empty: as in :class:`~losslab.losses.segmentation.OverlapLoss`, with the mean probability
            of ``"soft"`` raised to the exponent.
        weight: one number per class or mask, by which it is multiplied in the sum.
        reduction: ``"mean"`` over the images with an included region, of the sum over classes;
            ``"sum"``, or ``"none"``: ``(N, K)`` per image or ``(K,)`` per batch.
        **options: see :class:`~losslab.losses.segmentation.OverlapLoss`.

    Shape:
        As :class:`DiceLoss`.

    Raises:
        ValueError: if an option is out of range or the shapes match neither layout.
        TypeError: if class indices are not integers.

    Source:
        Abraham, Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net for
        Lesion Segmentation", 2019 (exponent 0.75).

    Example:
        >>> logits, mask = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1, 0, 1]])
        >>> plain = TverskyLoss(fp_weight=0.3, fn_weight=0.7)(logits, mask)
        >>> torch.equal(FocalTverskyLoss(exponent=1.0)(logits, mask), plain)
        True
    """

    def __init__(
        self,
        exponent: float = 0.75,
        fp_weight: float = 0.3,
        fn_weight: float = 0.7,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(fp_weight, fn_weight, **options)
        require_at_least("exponent", exponent, 0, strict=True)
        self.exponent = exponent

    def overlap(self, region: Region) -> Tensor:
        """Compute the loss of regions with foreground."""
        return functional.power_from_zero(super().overlap(region), self.exponent)

    def kernel_options(self) -> KernelOptions:
        """Return the options by which a kernel computes the overlap."""
        return super().kernel_options()._replace(exponent=self.exponent, count_images=True)

    def empty_cost(self, region: Region) -> Tensor:
        """Compute the loss of regions without foreground for ``empty="soft"``."""
        return functional.power_from_zero(super().empty_cost(region), self.exponent)

    def counts(self, included: Tensor, like: Tensor) -> Tensor:
        """Return what is counted for the mean: the images with an included region."""
        return included.any(dim=-1)


class BCEDiceLoss(DiceLoss):
    r"""Weighted sum of binary cross-entropy and Dice loss of regions, with the same options.

    Runs of earlier versions with ``loss=bce_dice`` have this class; it is now a
    :class:`~losslab.losses.compound.SumLoss` of ``bce`` and ``dice``.

    .. math:: \ell = w_{bce} \operatorname{mean}_i \mathrm{BCE}_i + w_{dice}\, \mathrm{Dice}

    Both components use sigmoid probabilities, one-vs-rest for several classes. The cross-entropy of
    a region is the mean over its pixels for every reduction, which keeps the ratio of the two
    components.

    Args:
        bce_weight: weight of the cross-entropy, at least 0.
        dice_weight: weight of the Dice loss, at least 0.
        power: k of the Dice loss, 1 or 2.
        empty: loss of a region without foreground in the Dice component; see
            :class:`~losslab.losses.segmentation.OverlapLoss`.
        **options: see :class:`~losslab.losses.segmentation.OverlapLoss`.

    Shape:
        As :class:`DiceLoss`.

    Raises:
        ValueError: if an option is out of range or the shapes match neither layout.
        TypeError: if class indices are not integers.

    Source:
        Isensee et al., "nnU-Net", 2018, sum of cross-entropy and Dice.

    Example:
        >>> logits, mask = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1, 0, 1]])
        >>> torch.isclose(BCEDiceLoss(bce_weight=0.0)(logits, mask), DiceLoss()(logits, mask))
        tensor(True)
    """

    inverse_link = "sigmoid"

    def __init__(
        self,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        *,
        power: int = 1,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(power, **options)
        require_at_least("bce_weight", bce_weight, 0)
        require_at_least("dice_weight", dice_weight, 0)
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        components = self.components(prediction, target)
        return components["bce"] + components["dice"]

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted components, ``bce`` and ``dice``."""
        self.require_reducible(prediction)
        bce, dice = self.component_losses(prediction, target)
        return {
            "bce": self.bce_weight * self.reduce_regions(*bce),
            "dice": self.dice_weight * self.reduce_regions(*dice),
        }

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the sum over the regions of a batch, and the count of the included ones.

        With ``empty="skip"`` the Dice component is averaged over fewer regions than the
        cross-entropy; its sum is scaled to the count of the latter, so that one batch is exact,
        but not the union of several.
        """
        self.require_images(weights)
        (bce, count), (dice, kept) = (
            sum_terms(self.weighted(values), self.counts(included, values), weights)
            for values, included in self.component_losses(prediction, target)
        )
        if self.reduction != "sum":
            dice = divide(dice, kept) * count
        return self.bce_weight * bce + self.dice_weight * dice, count

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the losses of the regions; each one with pixels adds 1."""
        (bce, included), (dice, _) = self.component_losses(prediction, target)
        values = self.weighted(self.bce_weight * bce + self.dice_weight * dice)
        return values, self.counts(included, values)

    def component_losses(
        self, prediction: Tensor, target: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Compute cross-entropy and Dice loss of each region, with masks of the included ones."""
        logits, masks, counted = self.masks(prediction, target)
        region = functional.mask_regions(
            logits, masks, counted, self.power, per_image=self.per_image
        )
        bce = self.cross_entropy(logits, masks, counted) / region.counted.clamp(min=1)
        return (bce, functional.has_pixels(region)), self.region_losses(region)

    def cross_entropy(self, logits: Tensor, masks: Tensor, counted: Tensor | None) -> Tensor:
        """Compute the cross-entropy of each region, summed over its pixels."""
        elements = binary_cross_entropy(logits, masks)
        if counted is not None:
            elements = elements.where(counted, 0)
        sums = elements.flatten(2).sum(dim=-1)
        return sums if self.per_image else sums.sum(dim=0)

    def regions(self, prediction: Tensor, target: Tensor) -> Region:
        """Sum over the pixels of each region, one-vs-rest for several classes."""
        masks = self.masks(prediction, target)
        return functional.mask_regions(*masks, self.power, per_image=self.per_image)

    def masks(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return logits and masks, ``(N, K, *)``, and a mask of the pixels to include."""
        if prediction.shape == target.shape:
            prediction, target = _with_channels(prediction), _with_channels(target)
            counted = self.counted(target)
            return prediction, target if counted is None else target.where(counted, 0), counted
        _require_class_indices(prediction, target)
        counted = self.counted(target)
        known = target if counted is None else target.where(counted, 0)
        masks = functional.one_hot(known, prediction.shape[1])
        kept = slice(self.first_class, None)
        prediction, masks = prediction[:, kept], masks[:, kept]
        if counted is not None:
            counted = counted.unsqueeze(1).expand_as(masks)
            masks = masks & counted
        return prediction, masks, counted


def _with_channels(values: Tensor) -> Tensor:
    """Add the mask dimension to ``(N, *)`` of at most three dimensions."""
    return values.unsqueeze(1) if values.dim() < 4 else values


def _require_class_indices(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` or ``TypeError`` unless the target holds class indices per pixel."""
    shape = tuple(prediction.shape)
    pixels = (*shape[:1], *shape[2:])
    if len(shape) < 2 or shape[1] < 2 or tuple(target.shape) != pixels:
        raise ValueError(
            f"target must be masks of the prediction's shape {shape}, or class indices {pixels} "
            f"of two or more classes, got {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.dtype == torch.bool:
        raise TypeError(f"target must hold integer class indices, got {target.dtype}")
