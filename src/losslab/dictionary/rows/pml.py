"""Losses of pytorch_metric_learning."""

from losslab.dictionary.row import Row
from losslab.dictionary.rows.common import EMBEDDINGS, UNEQUAL, Options

_PML: Options = {
    "swap": {False: {}},
    "triplets_per_anchor": {"all": {}},
    "reducer": {"MeanReducer": {}, "AvgNonZeroReducer": {"mean_over": "active"}},
}
PML = (
    Row(
        "pytorch_metric_learning.losses.TripletMarginLoss",
        EMBEDDINGS,
        "triplet",
        options={**_PML, "margin": "margin", "smooth_loss": {False: {}}},
        defaults={"margin": 0.05, "smooth_loss": False, "reducer": "AvgNonZeroReducer"},
        example={"margin": 0.3},
        note="its default reducer divides by the active triplets; MeanReducer() is mean_over=all",
    ),
    Row(
        "pytorch_metric_learning.losses.TripletMarginLoss",
        EMBEDDINGS,
        "triplet",
        options={**_PML, "margin": {0: {}}, "smooth_loss": {True: {"soft_margin": True}}},
        defaults={"margin": 0.05, "reducer": "AvgNonZeroReducer"},
        example={"margin": 0, "smooth_loss": True},
        note="ours has no margin beside the soft one",
    ),
    Row(
        "pytorch_metric_learning.losses.AngularLoss",
        "unit embeddings",
        "angular",
        options={"alpha": "angle"},
        defaults={"alpha": 40},
        example={"alpha": 40},
        note="theirs does not normalise negatives: equal for embeddings of length 1",
    ),
    Row(
        "pytorch_metric_learning.losses.ContrastiveLoss",
        EMBEDDINGS,
        "contrastive",
        why="it is linear in the distance, ours (the paper's) squared, and positive and negative "
        "pairs have means of their own",
        **UNEQUAL,
    ),
)
