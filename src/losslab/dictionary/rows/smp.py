"""Losses of segmentation_models_pytorch."""

from collections.abc import Mapping
from typing import Any

from losslab.dictionary.row import Row, Scaled
from losslab.dictionary.rows.common import CLASS_MASKS, MASKS, REDUCTION, UNEQUAL, Options


def _smp(
    name: str,
    ours: str,
    options: Options,
    example: Options,
    *,
    defaults: Mapping[str, Any] = {},
    sets: Mapping[str, Any] = {},
    note: str = "the batch is one large image",
) -> list[Row]:
    """List a region-based loss of segmentation_models_pytorch, of masks and of classes."""
    return [
        Row(
            f"segmentation_models_pytorch.losses.{name}",
            reads,
            ours,
            options={
                "mode": {mode: {}},
                "from_logits": {True: {}},
                "smooth": "smooth",
                "ignore_index": "ignore_index",
                "log_loss": {False: {}},
                **options,
            },
            sets={**sets, "per_image": False},
            defaults=defaults,
            example={**example, "mode": mode, "smooth": 0.1},
            edge="an empty mask" if reads == MASKS else "",
            theirs_there="vanishing gradient" if reads == MASKS else "",
            note=note,
        )
        for reads, mode in ((MASKS, "binary"), (CLASS_MASKS, "multiclass"))
    ]


SMP = (
    *_smp("DiceLoss", "dice", {"smooth": Scaled("smooth", 2)}, {}),
    *_smp("JaccardLoss", "tversky", {}, {}, sets={"fp_weight": 1.0, "fn_weight": 1.0}),
    *_smp(
        "TverskyLoss",
        "tversky",
        {"alpha": "fp_weight", "beta": "fn_weight", "gamma": {1: {}}},
        {"alpha": 0.2, "beta": 0.7},
        defaults={"alpha": 0.5, "beta": 0.5, "gamma": 1.0},
        note="alpha weighs false positives; the batch is one large image",
    ),
    Row(
        "segmentation_models_pytorch.losses.TverskyLoss",
        MASKS,
        "focal_tversky",
        options={
            "mode": {"binary": {}},
            "alpha": "fp_weight",
            "beta": "fn_weight",
            "gamma": "exponent",
            "smooth": "smooth",
        },
        defaults={"alpha": 0.5, "beta": 0.5, "gamma": 1.0},
        sets={"per_image": False},
        example={"mode": "binary", "alpha": 0.2, "beta": 0.7, "gamma": 0.75},
        edge="a perfect mask",
        theirs_there="NaN gradient",
        note="gamma is the exponent itself; with several classes theirs is a power of their mean",
    ),
    Row(
        "segmentation_models_pytorch.losses.FocalLoss",
        MASKS,
        "focal",
        options={
            "mode": {"binary": {}},
            "from_logits": {True: {}},
            "alpha": "alpha",
            "gamma": "gamma",
            "ignore_index": "ignore_index",
            "reduction": REDUCTION,
            "normalized": {False: {}},
        },
        example={"mode": "binary", "alpha": 0.375, "gamma": 0.5},
        edge="logits of 40 on the right side",
        theirs_there="NaN gradient",
        note="alpha weighs positives; a gamma below 1 makes no NaN in ours",
    ),
    Row(
        "segmentation_models_pytorch.losses.FocalLoss",
        CLASS_MASKS,
        "focal",
        options={"mode": {"multiclass": {}}},
        example={"mode": "multiclass"},
        why="it is one-vs-rest of sigmoids, ours a softmax; with one-hot masks it is ours",
        **UNEQUAL,
    ),
    Row(
        "segmentation_models_pytorch.losses.SoftBCEWithLogitsLoss",
        MASKS,
        "bce",
        options={"pos_weight": "pos_weight", "reduction": REDUCTION, "smooth_factor": {None: {}}},
        example={"pos_weight": 3.0},
        note="pixels of its ignore_index, -100, count in its mean",
    ),
    Row(
        "segmentation_models_pytorch.losses.SoftCrossEntropyLoss",
        CLASS_MASKS,
        "cross_entropy",
        options={"smooth_factor": "label_smoothing", "reduction": REDUCTION},
        example={"smooth_factor": 0.1},
        edge="half of the targets ignored",
        theirs_there="another value",
        note="ignored pixels count in its mean, not in ours; its default None fails",
    ),
)
