"""The yardsticks that no loss owns, on torchmetrics."""

from losslab.metrics.probability import (
    brier_score,
    fit_temperature,
    predictive_entropy,
    to_probability,
)

__all__ = ["brier_score", "fit_temperature", "predictive_entropy", "to_probability"]
