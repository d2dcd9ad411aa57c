"""Rows of a stack: which run is in which row, and which rows share an objective."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, Protocol, TypeVar

import torch

from losslab.lockstep.objective import Values, can_be_mapped
from losslab.lockstep.passes import Unstackable
from losslab.lockstep.stacked_run import StackedRun
from losslab.modules.cost import LossCall, loss_cost, memory_cost

SAVE_EVERY = 60.0
"""Seconds after which the runs of a stack are saved, so that one that is killed loses no more."""
SAVE_SHARE = 0.02
"""Largest share of the time that is spent on saving them."""


class Block(Protocol):
    """Block of consecutive rows whose runs have the same objective."""

    rows: slice


RunT = TypeVar("RunT", bound=StackedRun)
BlockT = TypeVar("BlockT", bound=Block)


class StackedRuns(Generic[RunT, BlockT]):
    """Runs in the rows of a stack, ordered so that those with the same objective are adjacent.

    Runs that diverge or stop early leave the stack without affecting the others.

    Attributes:
        members: the runs in the stack, one per row.
        blocks: rows with the same objective.
        refused: runs whose loss cannot be stacked, with the reason; they are not in the stack.
        publish: function that is called whenever the runs have been saved.
    """

    members: list[RunT]
    blocks: list[BlockT]
    publish: Callable[[], None] | None = None

    def __init__(self) -> None:
        self.members, self.blocks = [], []
        self.refused: list[tuple[RunT, str]] = []
        self._mapped: dict[str, bool] = {}
        self._next_save = time.monotonic() + SAVE_EVERY

    def make_block(self, members: Sequence[RunT], first: int, *, mapped: bool) -> BlockT:
        """Create the object that computes the objective of these runs.

        Args:
            members: runs with the same objective.
            first: row of the first of them.
            mapped: whether the loss is mapped over the rows.
        """
        raise NotImplementedError

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order, in everything that is stacked."""
        raise NotImplementedError

    def arrange(self, members: Sequence[RunT]) -> None:
        """Set the rows of the stack and find those that share an objective."""
        self.members, self.blocks = list(members), []
        first = 0
        for key, same in itertools.groupby(members, key=lambda member: member.objective):
            alike = list(same)
            self.blocks.append(self.make_block(alike, first, mapped=self._mapped.get(key, False)))
            first += len(alike)

    def drop(self, members: Sequence[RunT]) -> None:
        """Remove runs from the stack."""
        if not members:
            return
        rows = [row for row, member in enumerate(self.members) if member not in members]
        if rows:
            self.keep(rows)
        self.arrange([self.members[row] for row in rows])

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time steps of all runs, and add an equal share to the time of each."""
        members, began = self.members, time.perf_counter()
        yield
        share = (time.perf_counter() - began) / len(members)
        for member in members:
            member.timer.add(share)

    def save_if_due(self, members: Sequence[RunT]) -> None:
        """Write the checkpoints of the runs' last epochs, at most every :data:`SAVE_EVERY`."""
        began = time.monotonic()
        if began < self._next_save:
            return
        for member in members:
            member.writer.save()
        if self.publish:
            self.publish()
        ended = time.monotonic()
        self._next_save = ended + max(SAVE_EVERY, (ended - began) / SAVE_SHARE)

    def note_costs(self, device: torch.device, call: Callable[[int], LossCall | None]) -> None:
        """Record the cost of the runs; those with the same objective share that of the loss.

        Args:
            device: device of the stack.
            call: function that returns the loss of the run in a row.
        """
        memory = memory_cost(device)
        for block in self.blocks:
            of_loss = loss_cost(partial(call, block.rows.start))
            for member in self.members[block.rows]:
                member.writer.note({"cost": member.timer.cost() | memory | of_loss})

    def try_losses(self, evaluate: Callable[[BlockT], tuple[Values, Values]]) -> None:
        """Determine which losses can be mapped over rows, and drop runs that cannot be stacked.

        Args:
            evaluate: function that returns components and diagnostics of a block on an example.
        """
        for block in self.blocks:
            members = self.members[block.rows]

            def evaluated(
                mapped: bool, members: Sequence[RunT] = members, block: BlockT = block
            ) -> tuple[Values, Values]:
                return evaluate(self.make_block(members, block.rows.start, mapped=mapped))

            loss = members[0].components.module.loss
            try:
                mapped = can_be_mapped(loss, len(members), evaluated)
            except Unstackable as reason:
                self.refused += [(member, str(reason)) for member in members]
            else:
                self._mapped[members[0].objective] = mapped
        self.drop([member for member, _ in self.refused])
        self.arrange(self.members)
