"""Comparisons of losses from Python: ``losslab.compare``, ``losslab.train``, ``losslab.load``."""

from losslab.api.compare import compare, load, train
from losslab.api.result import Result

__all__ = ["Result", "compare", "load", "train"]
