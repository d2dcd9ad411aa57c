"""Element-wise loss formulas without state, reduction or shape checks."""

from losslab.losses.functional.adversarial import gradient_penalty
from losslab.losses.functional.boxes import box_iou, ciou, diou, giou, iou
from losslab.losses.functional.class_vectors import (
    angular_margin,
    center,
    cosine_margin,
    cosines,
    proxy_anchor,
)
from losslab.losses.functional.classification import (
    binary_cross_entropy,
    binary_focal,
    binary_hinge,
    crammer_singer_hinge,
    softmax_cross_entropy,
    softmax_focal,
    sparse_softmax_cross_entropy,
    weston_watkins_hinge,
)
from losslab.losses.functional.information import (
    cross_entropy,
    entropy,
    kl_divergence,
    self_information,
)
from losslab.losses.functional.metric import (
    angular_pairs,
    pairwise_distance,
    triplet_hinge_sums,
    triplet_softplus_sums,
)
from losslab.losses.functional.paired import info_nce, siglip
from losslab.losses.functional.points import nearest_distance, nearest_squared_distance
from losslab.losses.functional.ranking import ordered_pairs, pairwise_hinge, pairwise_logistic
from losslab.losses.functional.regression import (
    absolute_error,
    huber,
    root_mean_squared_error,
    smooth_l1,
    squared_error,
)
from losslab.losses.functional.reinforcement import clipped_surrogate, td_target
from losslab.losses.functional.segmentation import dice, tversky
from losslab.losses.functional.sequence import ctc, equal_shares, framewise
from losslab.losses.functional.transport import exact_transport_cost, sinkhorn_cost

__all__ = [
    "absolute_error",
    "angular_margin",
    "angular_pairs",
    "binary_cross_entropy",
    "binary_focal",
    "binary_hinge",
    "box_iou",
    "center",
    "ciou",
    "clipped_surrogate",
    "cosine_margin",
    "cosines",
    "crammer_singer_hinge",
    "cross_entropy",
    "ctc",
    "dice",
    "diou",
    "entropy",
    "equal_shares",
    "exact_transport_cost",
    "framewise",
    "giou",
    "gradient_penalty",
    "huber",
    "info_nce",
    "iou",
    "kl_divergence",
    "nearest_distance",
    "nearest_squared_distance",
    "ordered_pairs",
    "pairwise_distance",
    "pairwise_hinge",
    "pairwise_logistic",
    "proxy_anchor",
    "root_mean_squared_error",
    "self_information",
    "siglip",
    "sinkhorn_cost",
    "smooth_l1",
    "softmax_cross_entropy",
    "softmax_focal",
    "sparse_softmax_cross_entropy",
    "squared_error",
    "td_target",
    "triplet_hinge_sums",
    "triplet_softplus_sums",
    "tversky",
    "weston_watkins_hinge",
]
