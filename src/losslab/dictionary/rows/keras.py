"""Losses of Keras."""

from losslab.dictionary.row import Row
from losslab.dictionary.rows.common import (
    CLASSES,
    EITHER,
    LABELS,
    MASKS,
    SEQUENCES,
    SOFT,
    UNEQUAL,
    VALUES,
    Options,
)

_KERAS: Options = {"reduction": {"sum_over_batch_size": {}}}
_LOGITS: Options = {"from_logits": {True: {}}, **_KERAS}
_PROBABILITIES: Options = {"from_logits": {False: {}}, **_KERAS}
_DEFAULT: Options = {"from_logits": False}
_SATURATED: Options = {
    "edge": "logits of 40 on the wrong side",
    "theirs_there": "vanishing gradient",
}
KERAS = (
    Row(
        "keras.losses.SparseCategoricalCrossentropy",
        CLASSES,
        "cross_entropy",
        options={**_LOGITS, "ignore_class": "ignore_index"},
        defaults=_DEFAULT,
        example={"from_logits": True, "ignore_class": 3},
    ),
    Row(
        "keras.losses.SparseCategoricalCrossentropy",
        CLASSES,
        "cross_entropy",
        options=_PROBABILITIES,
        front=("OnSoftmax",),
        **_SATURATED,
    ),
    Row(
        "keras.losses.CategoricalCrossentropy",
        SOFT,
        "categorical_cross_entropy",
        options={**_LOGITS, "label_smoothing": "label_smoothing"},
        defaults=_DEFAULT,
        example={"from_logits": True, "label_smoothing": 0.1},
    ),
    Row(
        "keras.losses.CategoricalCrossentropy",
        SOFT,
        "categorical_cross_entropy",
        options={**_PROBABILITIES, "label_smoothing": "label_smoothing"},
        example={"label_smoothing": 0.1},
        front=("OnSoftmax",),
    ),
    Row(
        "keras.losses.BinaryCrossentropy",
        LABELS,
        "bce",
        options={**_LOGITS, "label_smoothing": {0: {}}},
        defaults=_DEFAULT,
        example={"from_logits": True},
    ),
    Row(
        "keras.losses.BinaryCrossentropy",
        LABELS,
        "bce",
        options={**_PROBABILITIES, "label_smoothing": {0: {}}},
        front=("OnSigmoid",),
        **_SATURATED,
    ),
    Row(
        "keras.losses.BinaryFocalCrossentropy",
        LABELS,
        "focal",
        options={
            **_LOGITS,
            "gamma": "gamma",
            "alpha": "alpha",
            "apply_class_balancing": {True: {}},
            "label_smoothing": {0: {}},
        },
        defaults={**_DEFAULT, "apply_class_balancing": False, "alpha": 0.25},
        example={"from_logits": True, "apply_class_balancing": True, "alpha": 0.375, "gamma": 1.5},
        note="alpha weighs positives, and nothing without apply_class_balancing; theirs clips "
        "probabilities at 1e-7, from logits too",
        **_SATURATED,
    ),
    Row(
        "keras.losses.BinaryFocalCrossentropy",
        LABELS,
        "focal",
        options={
            **_LOGITS,
            "from_logits": EITHER,
            "gamma": "gamma",
            "alpha": {0.25: {}},
            "apply_class_balancing": {False: {}},
            "label_smoothing": {0: {}},
        },
        example={"from_logits": True, "gamma": 1.5},
        note="from_logits=False reads probabilities, ours logits",
    ),
    Row(
        "keras.losses.CategoricalFocalCrossentropy",
        CLASSES,
        "focal",
        options={**_LOGITS, "gamma": "gamma", "alpha": {0.25: {}}, "label_smoothing": {0: {}}},
        defaults=_DEFAULT,
        example={"from_logits": True, "gamma": 1.5},
        front=("WithOneHotTargets",),
        factor="0.25",
        note="alpha multiplies every class and balances nothing; its default is 0.25",
        **_SATURATED,
    ),
    Row(
        "keras.losses.Hinge",
        LABELS,
        "hinge",
        options=_KERAS,
        note="targets 0 and 1, or -1 and 1, as ours",
    ),
    Row("keras.losses.SquaredHinge", LABELS, "hinge", options=_KERAS, sets={"squared": True}),
    Row(
        "keras.losses.CategoricalHinge",
        CLASSES,
        "hinge",
        front=("WithOneHotTargets",),
        why="the score of the target's class enters the largest of the others as 0",
        edge="all scores negative",
        theirs_there="another value",
    ),
    Row("keras.losses.MeanSquaredError", VALUES, "mse", options=_KERAS),
    Row("keras.losses.MeanAbsoluteError", VALUES, "mae", options=_KERAS),
    Row(
        "keras.losses.Huber",
        VALUES,
        "huber",
        options={**_KERAS, "delta": "delta"},
        example={"delta": 0.4},
    ),
    Row(
        "keras.losses.Dice",
        MASKS,
        "dice",
        options={**_KERAS, "axis": {None: {}}},
        sets={"per_image": False},
        front=("OnSigmoid",),
        edge="an empty mask",
        theirs_there="vanishing gradient",
        note="the batch is one large image; 1e-7 is added to the denominator only",
    ),
    Row(
        "keras.losses.Tversky",
        MASKS,
        "tversky",
        options={**_KERAS, "axis": {None: {}}, "alpha": "fn_weight", "beta": "fp_weight"},
        defaults={"alpha": 0.5, "beta": 0.5},
        sets={"per_image": False},
        example={"alpha": 0.2, "beta": 0.7},
        front=("OnSigmoid",),
        note="alpha weighs false negatives, although its documentation says false positives; the "
        "batch is one large image",
    ),
    Row(
        "keras.losses.CTC",
        SEQUENCES,
        "ctc",
        why="its mean is not over labels, and steps and labels end where the tensors and the zeros "
        "do",
        **UNEQUAL,
    ),
)
