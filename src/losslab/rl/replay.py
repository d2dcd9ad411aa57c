"""Replay buffer for off-policy training."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Transitions(NamedTuple):
    """Transitions (s, a, r, s'), one per row."""

    observations: Tensor
    """float32 ``(B, *)``."""
    actions: Tensor
    """int64 ``(B,)``."""
    rewards: Tensor
    """float32 ``(B,)``."""
    next_observations: Tensor
    """float32 ``(B, *)``, at the end of an episode its final observation."""
    terminated: Tensor
    """bool ``(B,)``, false if a time limit cut the episode."""


class ReplayBuffer:
    """Buffer of the latest transitions.

    Args:
        capacity: maximum number of transitions.
        shape: shape of an observation.

    Attributes:
        added: number of transitions ever added.

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

    @property
    def numel(self) -> int:
        """Number of elements that the full buffer holds."""
        return sum(rows.numel() for rows in self._rows)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, transitions: Transitions) -> None:
        """Add transitions in their order, replacing the oldest.

        Raises:
            ValueError: if they exceed the capacity, or have other shapes.
        """
        count = len(transitions.rewards)
        if count > self.capacity:
            raise ValueError(f"transitions must be at most {self.capacity}, got {count}")
        first = self.added % self.capacity
        positions: slice | Tensor = slice(first, first + count)
        if first + count > self.capacity:
            positions = torch.arange(self.added, self.added + count) % self.capacity
        for name, kept, new in zip(Transitions._fields, self._rows, transitions, strict=True):
            if new.shape != (count, *kept.shape[1:]):
                raise ValueError(
                    f"{name} must have shape {(count, *kept.shape[1:])}, got {tuple(new.shape)}"
                )
            kept[positions] = new
        self.added += count

    def sample(self, count: int, generator: torch.Generator) -> Transitions:
        """Draw this many transitions uniformly, with replacement.

        Raises:
            ValueError: if the buffer is empty.
        """
        if not self.added:
            raise ValueError("the buffer must hold transitions to sample, got none")
        rows = torch.randint(len(self), (count,), generator=generator)
        return Transitions(*(kept.index_select(0, rows) for kept in self._rows))

    def all(self) -> Transitions:
        """Return all transitions, in the order of their rows."""
        return Transitions(*(kept[: len(self)] for kept in self._rows))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the transitions for a checkpoint."""
        rows = {name: rows.clone() for name, rows in self.all()._asdict().items()}
        return {"added": self.added, "capacity": self.capacity, "rows": rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the transitions of a checkpoint.

        Raises:
            ValueError: if its buffer had another capacity.
        """
        if state["capacity"] != self.capacity:
            raise ValueError(f"capacity must be {state['capacity']}, got {self.capacity}")
        self.added = state["added"]
        for name, kept in self._rows._asdict().items():
            kept[: len(self)] = state["rows"][name]
