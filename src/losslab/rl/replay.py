"""Experience to learn from more than once."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Transitions(NamedTuple):
    """Transitions (s, a, r, s'), one a row."""

    observations: Tensor
    """float32 ``(B, *)``."""
    actions: Tensor
    """int64 ``(B,)``."""
    rewards: Tensor
    """float32 ``(B,)``."""
    next_observations: Tensor
    """float32 ``(B, *)``, at an episode's end its final observation."""
    terminated: Tensor
    """bool ``(B,)``; an episode cut by a time limit is not terminated."""


class ReplayBuffer:
    """The last transitions, up to a capacity; the oldest go first.

    Args:
        capacity: transitions at most.
        shape: the shape of an observation.

    Raises:
        ValueError: if the capacity is below 1.

    Example:
        >>> buffer = ReplayBuffer(capacity=3, shape=())
        >>> for number in range(4):
        ...     row = torch.tensor([float(number)])
        ...     buffer.add(Transitions(row, row.long(), row, row + 1, row > 9))
        >>> len(buffer), sorted(buffer.all().observations.tolist())
        (3, [1.0, 2.0, 3.0])
    """

    def __init__(self, capacity: int, shape: tuple[int, ...]) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be >= 1, got {capacity!r}")
        self.capacity = capacity
        self._rows = Transitions(
            torch.zeros(capacity, *shape),
            torch.zeros(capacity, dtype=torch.int64),
            torch.zeros(capacity),
            torch.zeros(capacity, *shape),
            torch.zeros(capacity, dtype=torch.bool),
        )
        self.added = 0
        """How many were ever added."""

    @property
    def numbers(self) -> int:
        """How many it holds when it is full."""
        return sum(rows.numel() for rows in self._rows)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, transitions: Transitions) -> None:
        """Keep these, in their order.

        Raises:
            ValueError: if they are more than the capacity, or of other shapes.
        """
        count = len(transitions.rewards)
        if count > self.capacity:
            raise ValueError(f"transitions must be at most {self.capacity}, got {count}")
        first = self.added % self.capacity
        places: slice | Tensor = slice(first, first + count)
        if first + count > self.capacity:
            places = torch.arange(self.added, self.added + count) % self.capacity
        for name, kept, new in zip(Transitions._fields, self._rows, transitions, strict=True):
            if new.shape != (count, *kept.shape[1:]):
                raise ValueError(
                    f"{name} must have shape {(count, *kept.shape[1:])}, got {tuple(new.shape)}"
                )
            kept[places] = new
        self.added += count

    def sample(self, count: int, generator: torch.Generator) -> Transitions:
        """So many rows, each drawn evenly from all, with replacement.

        Raises:
            ValueError: if the buffer is empty.
        """
        if not self.added:
            raise ValueError("the buffer must hold transitions to sample, got none")
        rows = torch.randint(len(self), (count,), generator=generator)
        return Transitions(*(kept.index_select(0, rows) for kept in self._rows))

    def all(self) -> Transitions:
        """All rows, in the order of their places."""
        return Transitions(*(kept[: len(self)] for kept in self._rows))

    def state_dict(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        rows = {name: rows.clone() for name, rows in self.all()._asdict().items()}
        return {"added": self.added, "capacity": self.capacity, "rows": rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold what the state holds.

        Raises:
            ValueError: if it is of another capacity.
        """
        if state["capacity"] != self.capacity:
            raise ValueError(f"capacity must be {state['capacity']}, got {self.capacity}")
        self.added = state["added"]
        for name, kept in self._rows._asdict().items():
            kept[: len(self)] = state["rows"][name]
