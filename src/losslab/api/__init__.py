"""Comparisons of losses from Python: :func:`compare`, :func:`train`, :func:`tune`, :func:`load`."""

from losslab.api.compare import compare, load, train
from losslab.api.result import Result
from losslab.api.tune import tune
from losslab.api.tuning_result import TuningResult

__all__ = ["Result", "TuningResult", "compare", "load", "train", "tune"]
