"""Limits of the number of batches, as Lightning's ``limit_val_batches`` sets them."""

import itertools
from collections.abc import Iterator
from typing import Any


def limited_count(batches: int, limit: float | None) -> int:
    """Return how many of a split's batches are read.

    Args:
        batches: number of batches of the split.
        limit: an integer is a number of batches and a float a fraction of them; ``None`` for all.

    Example:
        >>> limited_count(6, 2), limited_count(6, 0.5), limited_count(6, 1), limited_count(6, 1.0)
        (2, 3, 1, 6)
    """
    if limit is None:
        return batches
    return min(batches, limit if isinstance(limit, int) else int(batches * limit))


class FirstBatches:
    """The first batches of a loader, which has all its other attributes.

    Example:
        >>> list(FirstBatches(["a", "b", "c"], 2))
        ['a', 'b']
    """

    def __init__(self, loader: Any, count: int) -> None:
        self._loader, self._count = loader, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(self._loader, self._count)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the loader, such as its sampler."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._loader, name)
