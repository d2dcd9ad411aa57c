"""The yardsticks that no loss owns, on torchmetrics."""

from losslab.metrics.decisions import best_f1_threshold, binary_f1
from losslab.metrics.probability import (
    brier_score,
    fit_temperature,
    predictive_entropy,
    to_probability,
)
from losslab.metrics.weights import weight_summary

__all__ = [
    "best_f1_threshold",
    "binary_f1",
    "brier_score",
    "fit_temperature",
    "predictive_entropy",
    "to_probability",
    "weight_summary",
]
