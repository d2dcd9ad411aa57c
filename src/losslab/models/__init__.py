"""Networks. None keeps running statistics, so that many replicas can be trained at once."""

from losslab.models.cnn import CNN
from losslab.models.mlp import MLP

__all__ = ["CNN", "MLP"]
