"""Losses of overlap between a predicted and a true mask."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from losslab.losses.base import (
    InverseLink,
    Loss,
    Reduction,
    TargetFormat,
    require_at_least,
    require_choice,
    require_elements,
)
from losslab.losses.functional import segmentation as functional
from losslab.losses.functional.classification import binary_focal_sums
from losslab.losses.functional.segmentation import Region

Empty = Literal["soft", "skip"]


class OverlapLoss(Loss):
    """What the losses of overlap share: layouts, regions, empty targets and the reduction.

    A region is one class of one image, or one class of the whole batch. A subclass gives the loss
    of a region with foreground, :meth:`overlap`, and may change that of one without.

    Args:
        per_image: whether each image is judged by itself, or the batch as one large image.
        include_background: whether class 0 counts; for class indices only, masks have none.
        smooth: added to numerator and denominator. 0 is safe: empty targets have their own rule.
        ignore_index: pixels whose target has this value count nowhere.
        empty: what a region without foreground costs. ``"soft"``: the mean of its probabilities,
            so that the gradient removes false positives. ``"skip"``: nothing, and it is left out
            of the mean.
        reduction: ``"mean"`` over the regions that count, ``"sum"``, or ``"none"``: ``(N, K)``
            per image and ``(K,)`` per batch, 0 for a region that does not count.

    Shape:
        Masks: prediction and target both ``(N, K, *)`` with K masks, K = 1 for one foreground; or
        both ``(N, *)`` with at most three dimensions, one mask. Classes: logits ``(N, C, *)`` with
        integer indices ``(N, *)``, C >= 2.

    Raises:
        ValueError: if an option is out of range or the shapes fit neither layout.
        TypeError: if class indices are not integers.
    """

    accepts = (TargetFormat.BINARY_MASKS, TargetFormat.CLASS_MASKS)
    inverse_link: ClassVar[InverseLink | None] = "softmax"
    minimum = 0.0
    power = 1
    """The power of the probabilities in a region's errors."""

    def __init__(
        self,
        *,
        per_image: bool = True,
        include_background: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        empty: Empty = "soft",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_at_least("smooth", smooth, 0)
        require_choice("empty", empty, ("soft", "skip"))
        self.per_image = per_image
        self.include_background = include_background
        self.smooth = smooth
        self.ignore_index = ignore_index
        self.empty = empty

    def overlap(self, region: Region) -> Tensor:
        """The loss of each region that has foreground: ``(N, K)`` or ``(K,)``."""
        raise NotImplementedError

    def cost_of_empty(self, region: Region) -> Tensor:
        """The loss of each region that has none, under ``empty="soft"``."""
        return functional.foreground_level(region)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        if self.reduction == "mean":
            require_elements(prediction)
        return self.reduce_regions(*self.judged(self.regions(prediction, target)))

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """How many regions have an empty target, and how many pixels are ignored, if any may be."""
        region = self.regions(prediction.detach(), target)
        empty = functional.empty_target(region) & functional.has_pixels(region)
        diagnostics = {"empty_targets": empty.sum().float()}
        if self.ignore_index is not None:
            diagnostics["ignored_pixels"] = (target == self.ignore_index).sum().float()
        return diagnostics

    def regions(self, prediction: Tensor, target: Tensor) -> Region:
        """What the pixels of each region sum to."""
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
        """The pixels that are not ignored; ``None`` where none is."""
        return None if self.ignore_index is None else target != self.ignore_index

    @property
    def first_class(self) -> int:
        """The first class index that counts."""
        return 0 if self.include_background else 1

    def judged(self, region: Region) -> tuple[Tensor, Tensor]:
        """The loss of each region, 0 where it does not count, and whether it counts."""
        values, counts = self.overlap(region), functional.has_pixels(region)
        empty = functional.empty_target(region)
        if self.empty == "skip":
            return torch.where(empty, 0, values), counts & ~empty
        return torch.where(empty, self.cost_of_empty(region), values), counts

    def reduce_regions(self, values: Tensor, counts: Tensor) -> Tensor:
        """Reduce the loss of the regions that count; that of others is 0."""
        if self.reduction == "mean":
            return values.sum() / self.mean_divisor(counts)
        return self.reduce(values)

    def mean_divisor(self, counts: Tensor) -> Tensor:
        """What the mean divides by: the number of regions that count."""
        return counts.sum().clamp(min=1)


class DiceLoss(OverlapLoss):
    r"""Dice loss: one minus the overlap of two masks, in units of their mean size.

    .. math:: \ell = \operatorname{mean}_r \left(
        1 - \frac{2 \sum p t + s}{\sum p^k + \sum t^k + s} \right)

    over regions r (see ``per_image``), with p the sigmoid of a mask's logits or the softmax over
    classes. A region without foreground costs the mean of :math:`p^k` (see ``empty``).

    Args:
        power: k, 1 or 2.
        per_image: whether each image is judged by itself, or the batch as one large image.
        include_background: whether class 0 counts; for class indices only, masks have none.
        smooth: s. 0 is safe: empty targets have their own rule.
        ignore_index: pixels whose target has this value count nowhere.
        empty: what a region without foreground costs. ``"soft"``: the mean of :math:`p^k`, so
            that the gradient removes false positives. ``"skip"``: nothing, and it is left out of
            the mean.
        reduction: ``"mean"`` over the regions that count, ``"sum"``, or ``"none"``: ``(N, K)``
            per image and ``(K,)`` per batch, 0 for a region that does not count.

    Shape:
        Masks: prediction and target both ``(N, K, *)`` with K masks, K = 1 for one foreground; or
        both ``(N, *)`` with at most three dimensions, one mask. Classes: logits ``(N, C, *)`` with
        integer indices ``(N, *)``, C >= 2.

    Raises:
        ValueError: if an option is out of range or the shapes fit neither layout.
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
        *,
        per_image: bool = True,
        include_background: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        empty: Empty = "soft",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            per_image=per_image,
            include_background=include_background,
            smooth=smooth,
            ignore_index=ignore_index,
            empty=empty,
            reduction=reduction,
        )
        require_choice("power", power, (1, 2))
        self.power = power

    def overlap(self, region: Region) -> Tensor:
        """The loss of each region that has foreground."""
        return functional.dice(region, self.smooth)


class TverskyLoss(OverlapLoss):
    r"""Tversky loss: overlap with a price of its own for false positives and false negatives.

    .. math:: \ell = \operatorname{mean}_r \left(
        1 - \frac{TP + s}{TP + w_{fp} FP + w_{fn} FN + s} \right),
        \quad TP = \sum p t,\; FP = \sum p (1 - t),\; FN = \sum (1 - p) t

    over regions r, as in :class:`DiceLoss`. Weights 0.5 and 0.5 give Dice (whose ``smooth`` is
    twice as large), 1 and 1 give Jaccard. More ``fn_weight`` raises recall.

    Args:
        fp_weight: price of a false positive, at least 0; the papers call it alpha.
        fn_weight: price of a false negative, above 0; the papers call it beta.
        per_image: whether each image is judged by itself, or the batch as one large image.
        include_background: whether class 0 counts; for class indices only, masks have none.
        smooth: s. 0 is safe: empty targets have their own rule.
        ignore_index: pixels whose target has this value count nowhere.
        empty: what a region without foreground costs. ``"soft"``: the mean of its probabilities,
            so that the gradient removes false positives. ``"skip"``: nothing, and it is left out
            of the mean.
        reduction: ``"mean"`` over the regions that count, ``"sum"``, or ``"none"``: ``(N, K)``
            per image and ``(K,)`` per batch, 0 for a region that does not count.

    Shape:
        As :class:`DiceLoss`.

    Raises:
        ValueError: if an option is out of range or the shapes fit neither layout.
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
        *,
        per_image: bool = True,
        include_background: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        empty: Empty = "soft",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            per_image=per_image,
            include_background=include_background,
            smooth=smooth,
            ignore_index=ignore_index,
            empty=empty,
            reduction=reduction,
        )
        require_at_least("fp_weight", fp_weight, 0)
        # without a price on misses, a mask that predicts nothing would be 0 / 0
        require_at_least("fn_weight", fn_weight, 0, strict=True)
        self.fp_weight = fp_weight
        self.fn_weight = fn_weight

    def overlap(self, region: Region) -> Tensor:
        """The loss of each region that has foreground."""
        return functional.tversky(region, self.fp_weight, self.fn_weight, self.smooth)


class FocalTverskyLoss(TverskyLoss):
    r"""Focal Tversky loss: a power of each class's Tversky loss, summed over the classes.

    .. math:: \ell = \operatorname{mean}_n \sum_c \ell_{\mathrm{Tversky}, n, c}^{\;e}

    The paper writes :math:`e = 1 / \gamma`. An exponent below 1 has an infinite slope at a perfect
    mask; the gradient there is 0. Exponent 1 is the Tversky loss (times the number of classes).

    Args:
        exponent: e, above 0.
        fp_weight: price of a false positive, at least 0.
        fn_weight: price of a false negative, above 0.
        per_image: whether each image is judged by itself, or the batch as one large image.
        include_background: whether class 0 counts; for class indices only, masks have none.
        smooth: s of the Tversky loss.
        ignore_index: pixels whose target has this value count nowhere.
        empty: what a region without foreground costs. ``"soft"``: the mean of its probabilities to
            the exponent. ``"skip"``: nothing, and an image with no other region is left out of the
            mean.
        reduction: ``"mean"`` over the images with a region that counts (sum over classes),
            ``"sum"``, or ``"none"``: ``(N, K)`` per image and ``(K,)`` per batch.

    Shape:
        As :class:`DiceLoss`.

    Raises:
        ValueError: if an option is out of range or the shapes fit neither layout.
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
        *,
        per_image: bool = True,
        include_background: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        empty: Empty = "soft",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            fp_weight,
            fn_weight,
            per_image=per_image,
            include_background=include_background,
            smooth=smooth,
            ignore_index=ignore_index,
            empty=empty,
            reduction=reduction,
        )
        require_at_least("exponent", exponent, 0, strict=True)
        self.exponent = exponent

    def overlap(self, region: Region) -> Tensor:
        """The loss of each region that has foreground."""
        return functional.power_from_zero(super().overlap(region), self.exponent)

    def cost_of_empty(self, region: Region) -> Tensor:
        """The loss of each region that has none, under ``empty="soft"``."""
        return functional.power_from_zero(super().cost_of_empty(region), self.exponent)

    def mean_divisor(self, counts: Tensor) -> Tensor:
        """What the mean divides by: the images (1 for the batch) with a region that counts."""
        return counts.any(dim=-1).sum().clamp(min=1)


class BCEDiceLoss(DiceLoss):
    r"""Weighted sum of binary cross-entropy and Dice loss.

    .. math:: \ell = w_{bce} \operatorname{mean}_i \mathrm{BCE}_i + w_{dice}\, \mathrm{Dice}

    Both parts read sigmoid probabilities; several classes are taken one against all. The
    cross-entropy of a region is the mean over its counted pixels, whatever the reduction then does
    with regions, so that the two parts keep their relation.

    Args:
        bce_weight: weight of the cross-entropy, at least 0.
        dice_weight: weight of the Dice loss, at least 0.
        per_image: whether each image is judged by itself, or the batch as one large image.
        include_background: whether class 0 counts; for class indices only, masks have none.
        power: k of the Dice loss, 1 or 2.
        smooth: s of the Dice loss.
        ignore_index: pixels whose target has this value count nowhere.
        empty: what a region without foreground costs in the Dice part; see :class:`DiceLoss`.
        reduction: as :class:`DiceLoss`, for each part.

    Shape:
        As :class:`DiceLoss`.

    Raises:
        ValueError: if an option is out of range or the shapes fit neither layout.
        TypeError: if class indices are not integers.

    Source:
        Isensee et al., "nnU-Net", 2018, sum of cross-entropy and Dice.

    Example:
        >>> logits, mask = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1, 0, 1]])
        >>> BCEDiceLoss(bce_weight=0.0)(logits, mask) == DiceLoss()(logits, mask)
        tensor(True)
    """

    inverse_link = "sigmoid"

    def __init__(
        self,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        *,
        per_image: bool = True,
        include_background: bool = True,
        power: int = 1,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        empty: Empty = "soft",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            power,
            per_image=per_image,
            include_background=include_background,
            smooth=smooth,
            ignore_index=ignore_index,
            empty=empty,
            reduction=reduction,
        )
        require_at_least("bce_weight", bce_weight, 0)
        require_at_least("dice_weight", dice_weight, 0)
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        terms = self.components(prediction, target)
        return terms["bce"] + terms["dice"]

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The weighted parts, ``bce`` and ``dice``."""
        if self.reduction == "mean":
            require_elements(prediction)
        logits, masks, counted = self.masks(prediction, target)
        region = functional.mask_regions(
            logits, masks, counted, self.power, per_image=self.per_image
        )
        bce = self.cross_entropy(logits, masks, counted) / region.counted.clamp(min=1)
        return {
            "bce": self.bce_weight * self.reduce_regions(bce, functional.has_pixels(region)),
            "dice": self.dice_weight * self.reduce_regions(*self.judged(region)),
        }

    def cross_entropy(self, logits: Tensor, masks: Tensor, counted: Tensor | None) -> Tensor:
        """The sum of each region."""
        kept = logits.shape[:2]
        weights = []
        if counted is not None:  # the negative weight leaves out what is ignored
            weights = [logits.new_ones(()), counted.float()]
        sums = binary_focal_sums(logits, masks, 0.0, *weights, rows=kept.numel()).view(kept)
        return sums if self.per_image else sums.sum(dim=0)

    def regions(self, prediction: Tensor, target: Tensor) -> Region:
        """What the pixels of each region sum to, classes taken one against all."""
        masks = self.masks(prediction, target)
        return functional.mask_regions(*masks, self.power, per_image=self.per_image)

    def masks(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits and masks, ``(N, K, *)``, and the counted pixels."""
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
    """``(N, *)`` of at most three dimensions as ``(N, 1, *)``; ``(N, K, H, W)`` as it is."""
    return values.unsqueeze(1) if values.dim() < 4 else values


def _require_class_indices(prediction: Tensor, target: Tensor) -> None:
    """Raise unless the target holds the class indices of the prediction's pixels."""
    shape = tuple(prediction.shape)
    pixels = (*shape[:1], *shape[2:])
    if len(shape) < 2 or shape[1] < 2 or tuple(target.shape) != pixels:
        raise ValueError(
            f"target must be masks of the prediction's shape {shape}, or class indices {pixels} "
            f"of two or more classes, got {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.dtype == torch.bool:
        raise TypeError(f"target must hold integer class indices, got {target.dtype}")
