"""In-memory data sets; each is a subclass that implements :meth:`InMemoryData.load`."""

from losslab.data.base import InMemoryData, Raw
from losslab.data.batches import Batches, Split

__all__ = ["Batches", "InMemoryData", "Raw", "Split"]
