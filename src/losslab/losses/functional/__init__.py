"""The formulas, one value an element: no options kept, no reduction, no check of shapes."""

from losslab.losses.functional.classification import (
    binary_cross_entropy,
    binary_focal,
    binary_focal_sums,
    binary_hinge,
    binary_hinge_sums,
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
from losslab.losses.functional.regression import (
    absolute_error,
    huber,
    root_mean_squared_error,
    smooth_l1,
    squared_error,
)

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "binary_focal",
    "binary_focal_sums",
    "binary_hinge",
    "binary_hinge_sums",
    "crammer_singer_hinge",
    "cross_entropy",
    "entropy",
    "huber",
    "kl_divergence",
    "root_mean_squared_error",
    "self_information",
    "smooth_l1",
    "softmax_cross_entropy",
    "softmax_focal",
    "sparse_softmax_cross_entropy",
    "squared_error",
    "weston_watkins_hinge",
]
