"""From Python: ``losslab.compare``, ``train``, ``tune``, ``load`` and ``lr_find``."""

from losslab.api.compare import compare, load, train
from losslab.api.rates import lr_find
from losslab.api.result import Result
from losslab.api.tune import tune
from losslab.api.tuning_result import TuningResult

__all__ = ["Result", "TuningResult", "compare", "load", "lr_find", "train", "tune"]
