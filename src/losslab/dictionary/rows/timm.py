"""Losses of timm."""

from losslab.dictionary.row import Choices, Row
from losslab.dictionary.rows.common import CLASSES, LABELS, SOFT

_NONE: Choices = {0: {}, None: {}}

TIMM = (
    Row(
        "timm.loss.LabelSmoothingCrossEntropy",
        CLASSES,
        "cross_entropy",
        options={"smoothing": "label_smoothing"},
        defaults={"smoothing": 0.1},
        example={"smoothing": 0.2},
    ),
    Row("timm.loss.SoftTargetCrossEntropy", SOFT, "categorical_cross_entropy"),
    Row(
        "timm.loss.BinaryCrossEntropy",
        LABELS,
        "bce",
        options={
            "smoothing": {0: {}},
            "smooth_dense": {False: {}},
            "pos_weight": "pos_weight",
            "sum_classes": {False: {}},
            "target_threshold": {None: {}},
        },
        example={"pos_weight": 3.0},
        note="smoothing concerns class indices only, which ours does not read",
    ),
    Row(
        "timm.loss.AsymmetricLossMultiLabel",
        LABELS,
        "focal",
        options={
            "gamma_neg": "gamma",
            "gamma_pos": "gamma",
            "clip": _NONE,
            "smoothing": {0: {}},
            "reduction": {"mean": {}},
        },
        defaults={"gamma_neg": 4, "gamma_pos": 1, "clip": 0.05, "reduction": "batchmean"},
        example={"gamma_neg": 1.5, "gamma_pos": 1.5, "clip": 0, "reduction": "mean"},
        edge="logits of 30 on the wrong side",
        theirs_there="vanishing gradient",
        note="without clip and with one gamma; computed in float32, logarithms of at least 1e-8",
    ),
    Row(
        "timm.loss.AsymmetricLossSingleLabel",
        CLASSES,
        "focal",
        options={"gamma_pos": "gamma", "gamma_neg": {0: {}}, "eps": {0: {}}},
        defaults={"gamma_pos": 1, "gamma_neg": 4, "eps": 0.1},
        example={"gamma_pos": 1.5, "gamma_neg": 0, "eps": 0},
        note="gamma_neg matters only with label smoothing, eps",
    ),
)
