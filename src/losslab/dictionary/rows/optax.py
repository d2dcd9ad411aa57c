"""Losses of optax."""

from losslab.dictionary.row import Row, Scaled
from losslab.dictionary.rows.common import (
    CLASS_MASKS,
    CLASSES,
    LABELS,
    MASKS,
    SEQUENCES,
    SOFT,
    VALUES,
)

_MEAN = ("Averaged",)
OPTAX = (
    Row("optax.losses.squared_error", VALUES, "mse", front=_MEAN),
    Row("optax.losses.l2_loss", VALUES, "mse", front=_MEAN, factor="0.5"),
    Row(
        "optax.losses.huber_loss",
        VALUES,
        "huber",
        options={"delta": "delta"},
        example={"delta": 0.4},
        front=_MEAN,
    ),
    Row("optax.losses.sigmoid_binary_cross_entropy", LABELS, "bce", front=_MEAN),
    Row(
        "optax.losses.sigmoid_focal_loss",
        LABELS,
        "focal",
        options={"alpha": "alpha", "gamma": "gamma"},
        example={"alpha": 0.375, "gamma": 1.5},
        front=_MEAN,
        note="alpha weighs positives; alpha=None is alpha=null of ours",
    ),
    Row(
        "optax.losses.softmax_cross_entropy_with_integer_labels",
        CLASSES,
        "cross_entropy",
        front=_MEAN,
    ),
    Row("optax.losses.softmax_cross_entropy", SOFT, "categorical_cross_entropy", front=_MEAN),
    Row(
        "optax.losses.hinge_loss",
        LABELS,
        "hinge",
        front=("WithSignedTargets", "Averaged"),
        note="targets 0 count as 0, in ours as -1",
    ),
    Row(
        "optax.losses.multiclass_hinge_loss",
        CLASSES,
        "hinge",
        front=_MEAN,
        note="the multi-class hinge of Crammer and Singer",
    ),
    Row(
        "optax.losses.binary_dice_loss",
        MASKS,
        "dice",
        options={"smooth": Scaled("smooth", 2), "apply_sigmoid": {True: {}}},
        defaults={"smooth": 1.0},
        example={"smooth": 0.3},
        front=_MEAN,
        note="its smooth, 1 by default, counts twice",
    ),
    Row(
        "optax.losses.dice_loss",
        CLASS_MASKS,
        "tversky",
        options={
            "alpha": "fp_weight",
            "beta": "fn_weight",
            "smooth": "smooth",
            "apply_softmax": {True: {}},
            "reduction": {"mean": {}},
        },
        defaults={"alpha": 0.5, "beta": 0.5, "smooth": 1.0},
        example={"alpha": 0.2, "beta": 0.7, "smooth": 0.3},
        front=("WithOneHotTargets", "Averaged"),
        note="alpha weighs false positives; channels last",
    ),
    Row(
        "optax.losses.ctc_loss",
        SEQUENCES,
        "ctc",
        why="its mean is not over labels, and a sequence without an alignment costs about 1e5",
        edge="fewer steps than labels",
        theirs_there="another value",
    ),
)
