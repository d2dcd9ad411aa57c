"""Losses of torch and torchvision."""

from losslab.dictionary.row import Row
from losslab.dictionary.rows.common import (
    BOXES,
    CLASSES,
    EITHER,
    EMBEDDINGS,
    IMAGES,
    LABELS,
    MEAN_OR_NONE,
    REDUCTION,
    SEQUENCES,
    SOFT,
    UNEQUAL,
    VALUES,
    Options,
)

_SMOOTHED: Options = {
    "label_smoothing": "label_smoothing",
    "weight": "weight",
    "reduction": REDUCTION,
}
_SMALL = {"label_smoothing": 0.1, "weight": [1.0, 2.0, 0.5, 3.0]}

_OVERLAP: Options = {
    "options": {"eps": {0: {}, 1e-7: {}}, "reduction": REDUCTION},
    "defaults": {"eps": 1e-7, "reduction": "none"},
    "example": {"eps": 0, "reduction": "mean"},
}

TORCH = (
    Row(
        "torch.nn.CrossEntropyLoss",
        CLASSES,
        "cross_entropy",
        options={**_SMOOTHED, "ignore_index": "ignore_index"},
        example={**_SMALL, "ignore_index": 3},
        edge="all targets ignored",
        theirs_there="NaN",
        note="the mean over no targets is 0 in ours",
    ),
    Row(
        "torch.nn.CrossEntropyLoss",
        SOFT,
        "categorical_cross_entropy",
        options={**_SMOOTHED, "weight": {None: {}}},
        example={"label_smoothing": 0.1},
        note="with weights, theirs divides by N, ours by the sum of the weights",
    ),
    Row(
        "torch.nn.NLLLoss",
        CLASSES,
        "cross_entropy",
        options={"weight": "weight", "ignore_index": "ignore_index", "reduction": REDUCTION},
        example={"weight": [1.0, 2.0, 0.5, 3.0]},
        front=("OnLogSoftmax",),
    ),
    Row(
        "torch.nn.KLDivLoss",
        SOFT,
        "categorical_cross_entropy",
        options={"reduction": {"batchmean": {}}},
        example={"reduction": "batchmean"},
        front=("OnLogSoftmax",),
        why="it is less by the entropy of the target: equal gradients, values that differ",
        **UNEQUAL,
    ),
    Row(
        "torch.nn.BCEWithLogitsLoss",
        LABELS,
        "bce",
        options={"pos_weight": "pos_weight", "reduction": REDUCTION},
        example={"pos_weight": 3.0},
    ),
    Row(
        "torch.nn.BCELoss",
        LABELS,
        "bce",
        options={"reduction": REDUCTION},
        front=("OnSigmoid",),
        edge="logits of 800 on the wrong side",
        theirs_there="vanishing gradient",
        note="theirs clamps logarithms at -100",
    ),
    Row(
        "torch.nn.MultiLabelSoftMarginLoss",
        LABELS,
        "bce",
        options={"reduction": MEAN_OR_NONE},
    ),
    Row(
        "torch.nn.SoftMarginLoss",
        LABELS,
        "bce",
        options={"reduction": REDUCTION},
        front=("WithSignedTargets",),
        edge="logits of 800 on the wrong side",
        theirs_there="infinite",
    ),
    Row(
        "torch.nn.MultiMarginLoss",
        CLASSES,
        "hinge",
        options={
            "margin": "margin",
            "p": {1: {"squared": False}, 2: {"squared": True}},
            "reduction": REDUCTION,
        },
        sets={"multiclass": "weston_watkins"},
        example={"margin": 0.7, "p": 2},
        factor="1/C",
    ),
    Row("torch.nn.MSELoss", VALUES, "mse", options={"reduction": MEAN_OR_NONE}),
    Row(
        "torch.nn.MSELoss",
        VALUES,
        "sse",
        options={"reduction": {"sum": {}}},
        defaults={"reduction": "mean"},
        example={"reduction": "sum"},
    ),
    Row("torch.nn.L1Loss", VALUES, "mae", options={"reduction": REDUCTION}),
    *(
        Row(
            f"torch.nn.{name}",
            IMAGES,
            "reconstruction",
            options={"reduction": REDUCTION},
            sets={"p": p},
        )
        for p, name in ((1, "L1Loss"), (2, "MSELoss"))
    ),
    Row(
        "torch.nn.HuberLoss",
        VALUES,
        "huber",
        options={"delta": "delta", "reduction": REDUCTION},
        example={"delta": 0.4},
        note="torch.nn.SmoothL1Loss(beta) is it divided by delta = beta",
    ),
    Row(
        "torch.nn.SmoothL1Loss",
        VALUES,
        "smooth_l1",
        options={"beta": "beta", "reduction": REDUCTION},
        example={"beta": 0.4},
    ),
    Row(
        "torch.nn.CTCLoss",
        SEQUENCES,
        "ctc",
        options={
            "blank": "blank",
            "reduction": {"mean": {}},
            "zero_infinity": EITHER,
        },
        example={"blank": 0},
        edge="fewer steps than labels",
        theirs_there="infinite",
        note="called with log-softmax (T, N, C); zero_infinity=True is as ours",
    ),
    Row(
        "torch.nn.MarginRankingLoss",
        "relevance",
        "margin_ranking",
        options={"margin": "margin", "reduction": REDUCTION},
        defaults={"margin": 0.0},
        example={"margin": 0.5},
        note="called with the pairs of different grade, which ours forms itself",
    ),
    Row(
        "torch.nn.TripletMarginLoss",
        EMBEDDINGS,
        "triplet",
        options={
            "margin": "margin",
            "p": {2: {}},
            "eps": {0: {}, 1e-6: {}},
            "swap": {False: {}},
            "reduction": REDUCTION,
        },
        defaults={"margin": 1.0},
        sets={"normalize": False},
        example={"margin": 0.5, "eps": 0},
        note="called with all triplets of the batch, which ours forms itself; theirs adds "
        "eps=1e-06 to each coordinate's difference",
    ),
    Row(
        "torch.nn.HingeEmbeddingLoss",
        LABELS,
        "hinge",
        front=("WithSignedTargets",),
        why="it reads distances: a positive target has the loss x, without a margin and a minimum",
        **UNEQUAL,
    ),
    Row(
        "torchvision.ops.sigmoid_focal_loss",
        LABELS,
        "focal",
        options={"alpha": {-1: {}}, "gamma": "gamma", "reduction": REDUCTION},
        defaults={"alpha": 0.25},
        example={"alpha": -1, "gamma": 1.5, "reduction": "mean"},
    ),
    Row(
        "torchvision.ops.sigmoid_focal_loss",
        LABELS,
        "focal",
        options={"alpha": "alpha", "gamma": "gamma", "reduction": REDUCTION},
        defaults={"alpha": 0.25},
        example={"alpha": 0.375, "gamma": 1.5, "reduction": "mean"},
        note="alpha weighs positives, 1 - alpha negatives",
    ),
    *(
        Row(
            f"torchvision.ops.{name}_box_iou_loss",
            BOXES,
            ours,
            **_OVERLAP,
            edge="two corners swapped",
            theirs_there="another value",
            note="ours puts corners in order; with eps=1e-7 of theirs, equal boxes of "
            "0.001 x 0.001 have a loss of 0.09",
        )
        for name, ours in (("generalized", "giou"), ("distance", "diou"))
    ),
    Row(
        "torchvision.ops.complete_box_iou_loss",
        BOXES,
        "ciou",
        **_OVERLAP,
        edge="predicted boxes without height",
        theirs_there="NaN gradient",
        note="points: theirs gives NaN",
    ),
)
