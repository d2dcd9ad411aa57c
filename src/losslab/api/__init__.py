"""From Python: ``losslab.compare``, ``train``, ``load`` and ``lr_find``."""

from losslab.api.compare import compare, load, train
from losslab.api.rates import lr_find
from losslab.api.result import Result

__all__ = ["Result", "compare", "load", "lr_find", "train"]
