"""Data sets in memory; each is one class with one method, :meth:`InMemoryData.load`."""

from losslab.data.base import InMemoryData, Raw
from losslab.data.batches import Batches, Split

__all__ = ["Batches", "InMemoryData", "Raw", "Split"]
