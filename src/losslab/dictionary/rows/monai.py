"""Losses of MONAI."""

from typing import Any

from losslab.dictionary.row import Choices, Row, Scaled
from losslab.dictionary.rows.common import (
    BOXES,
    CLASS_MASKS,
    EITHER,
    MASKS,
    MEAN_OR_NONE,
    REDUCTION,
    UNEQUAL,
    Options,
)

_BATCH: Choices = {True: {"per_image": False}, False: {}}
_EMPTY: Options = {"edge": "an empty mask", "theirs_there": "another value"}
_OF_EMPTY = "theirs is about 1 for an empty mask, ours the mean probability"
# each loss reads logits of masks, probabilities of masks (by default), and logits of classes
_VARIANTS: tuple[tuple[Options, Options], ...] = (
    ({"reads": MASKS, **_EMPTY}, {"sigmoid": True}),
    ({"reads": MASKS, "front": ("OnSigmoid",), **_EMPTY}, {}),
    (
        {"reads": CLASS_MASKS, "front": ("WithTargetChannel",)},
        {"softmax": True, "to_onehot_y": True, "include_background": False},
    ),
)


def _region(
    name: str, options: Options, defaults: Options, example: Options, **more: Any
) -> list[Row]:
    """List the variants of a region-based loss."""
    return [
        Row(
            theirs=f"monai.losses.{name}",
            options={
                **options,
                "sigmoid": {activated.get("sigmoid", False): {}},
                "softmax": {activated.get("softmax", False): {}},
                "include_background": "include_background",
                "to_onehot_y": EITHER,
                "batch": _BATCH,
                "smooth_nr": "smooth",
                "smooth_dr": "smooth",
                "reduction": {"mean": {}},
            },
            defaults={
                **defaults,
                "sigmoid": False,
                "softmax": False,
                "smooth_nr": 1e-5,
                "smooth_dr": 1e-5,
            },
            example={**example, "smooth_nr": 0.1, "smooth_dr": 0.1, **activated},
            **fields,
            **more,
        )
        for fields, activated in _VARIANTS
    ]


_DICE: Options = {"squared_pred": {True: {"power": 2}, False: {}}, "jaccard": {False: {}}}

MONAI = (
    *_region(
        "DiceLoss",
        _DICE,
        {},
        {"squared_pred": True, "batch": True},
        ours="dice",
        note=_OF_EMPTY,
    ),
    Row("monai.losses.BoxGIoULoss", BOXES, "giou", options={"reduction": REDUCTION}),
    Row(
        "monai.losses.DiceLoss",
        MASKS,
        "tversky",
        options={
            "sigmoid": {True: {}},
            "jaccard": {True: {}},
            "batch": _BATCH,
            "smooth_nr": Scaled("smooth", 0.5),
            "smooth_dr": Scaled("smooth", 0.5),
        },
        defaults={"sigmoid": False, "jaccard": False, "smooth_nr": 1e-5, "smooth_dr": 1e-5},
        sets={"fp_weight": 1.0, "fn_weight": 1.0},
        example={"sigmoid": True, "jaccard": True, "smooth_nr": 0.1, "smooth_dr": 0.1},
    ),
    *_region(
        "TverskyLoss",
        {"alpha": "fp_weight", "beta": "fn_weight"},
        {"alpha": 0.5, "beta": 0.5},
        {"alpha": 0.2, "beta": 0.7},
        ours="tversky",
        note=f"alpha weighs false positives; {_OF_EMPTY}",
    ),
    Row(
        "monai.losses.DiceCELoss",
        MASKS,
        "bce_dice",
        options={
            "squared_pred": {True: {"of.dice.power": 2}, False: {}},
            "jaccard": {False: {}},
            "sigmoid": {True: {}},
            "lambda_dice": "of.dice.weight",
            "lambda_ce": "of.bce.weight",
            "batch": {True: {"of.dice.per_image": False}, False: {}},
            "smooth_nr": "of.dice.smooth",
            "smooth_dr": "of.dice.smooth",
        },
        defaults={"sigmoid": False, "smooth_nr": 1e-5, "smooth_dr": 1e-5},
        example={"sigmoid": True, "lambda_ce": 0.3, "smooth_nr": 0.1, "smooth_dr": 0.1},
        note="with several channels theirs takes the softmax for cross-entropy, ours the sigmoid",
    ),
    Row(
        "monai.losses.FocalLoss",
        MASKS,
        "focal",
        options={
            "alpha": "alpha",
            "gamma": "gamma",
            "reduction": MEAN_OR_NONE,
            "use_softmax": {False: {}},
            "include_background": EITHER,
            "to_onehot_y": EITHER,
        },
        defaults={"use_softmax": False},
        example={"alpha": 0.375, "gamma": 1.5},
        note="alpha weighs positives; computed in float32; its sum averages over pixels first",
    ),
    Row(
        "monai.losses.FocalLoss",
        CLASS_MASKS,
        "focal",
        options={
            "alpha": {None: {}},
            "gamma": "gamma",
            "reduction": {"mean": {}},
            "use_softmax": {True: {}},
            "to_onehot_y": EITHER,
        },
        defaults={"use_softmax": False},
        example={"use_softmax": True, "to_onehot_y": True, "gamma": 1.5},
        front=("WithTargetChannel",),
        factor="1/C",
        note="computed in float32; a number alpha weighs class 0 by 1 - alpha and all others by "
        "alpha: give ours a list",
    ),
    Row(
        "monai.losses.GeneralizedDiceLoss",
        CLASS_MASKS,
        "dice",
        options={"softmax": {True: {}}, "to_onehot_y": EITHER},
        example={"softmax": True, "to_onehot_y": True},
        front=("WithTargetChannel",),
        why="it is one ratio of sums over the classes, each divided by the square of its size",
        **UNEQUAL,
    ),
    Row(
        "monai.losses.DiceFocalLoss",
        MASKS,
        "bce_dice",
        example={"sigmoid": True},
        why="bce_dice has cross-entropy beside Dice, not focal loss",
        **UNEQUAL,
    ),
    Row(
        "monai.losses.AsymmetricUnifiedFocalLoss",
        MASKS,
        "focal_tversky",
        front=("OnSigmoid",),
        why="it adds focal loss of the background to focal Tversky loss of the foreground",
        **UNEQUAL,
    ),
)
