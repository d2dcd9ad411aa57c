"""Losses of kornia."""

from losslab.dictionary.row import Choices, Row
from losslab.dictionary.rows.common import (
    CLASS_MASKS,
    CLASSES,
    LABELS,
    MEAN_OR_NONE,
    REDUCTION,
    UNEQUAL,
)

_EPS: Choices = {0: {}, 1e-8: {}}

KORNIA = (
    Row(
        "kornia.losses.BinaryFocalLossWithLogits",
        LABELS,
        "focal",
        options={"alpha": "alpha", "gamma": "gamma", "reduction": REDUCTION},
        example={"alpha": 0.375, "gamma": 1.5, "reduction": "mean"},
        note="alpha weighs positives",
    ),
    Row(
        "kornia.losses.FocalLoss",
        CLASSES,
        "focal",
        options={"alpha": {None: {}}, "gamma": "gamma", "reduction": MEAN_OR_NONE},
        example={"alpha": None, "gamma": 1.5, "reduction": "mean"},
        factor="1/C",
        note="a number alpha weighs class 0 by 1 - alpha and all others by alpha: give ours a list",
    ),
    Row(
        "kornia.losses.TverskyLoss",
        CLASS_MASKS,
        "tversky",
        options={"alpha": "fp_weight", "beta": "fn_weight", "eps": _EPS},
        sets={"empty": "skip"},
        example={"alpha": 0.2, "beta": 0.7, "eps": 0},
        note="alpha weighs false positives; the mean is over an image's classes first",
    ),
    Row(
        "kornia.losses.DiceLoss",
        CLASS_MASKS,
        "dice",
        options={"average": {"macro": {}}, "eps": _EPS},
        defaults={"average": "micro"},
        sets={"empty": "skip"},
        example={"average": "macro", "eps": 0},
        note="the mean is over an image's classes first",
    ),
    Row(
        "kornia.losses.DiceLoss",
        CLASS_MASKS,
        "dice",
        options={"average": {"micro": {}}},
        why="its default average='micro' is one minus the mean probability of the true class",
        **UNEQUAL,
    ),
)
