"""Which run stands in which row of a stack, and which rows share an objective."""

import itertools
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from losslab.lockstep.objective import Values, can_be_mapped
from losslab.lockstep.stack import Unstackable
from losslab.lockstep.stacked_run import StackedRun


class Sharing(Protocol):
    """Consecutive rows whose runs have the same objective."""

    rows: slice


Run = TypeVar("Run", bound=StackedRun)
Share = TypeVar("Share", bound=Sharing)


class StackedRuns(Generic[Run, Share]):
    """Runs in the rows of a stack, those with the same objective side by side.

    Runs that end, because they diverge or stop early, leave the stack; the others do not notice.

    Attributes:
        members: the runs in the stack, a row each.
        shares: rows with the same objective.
        refused: runs whose loss cannot take part, with the reason; they are not in the stack.
    """

    members: list[Run]
    shares: list[Share]

    def __init__(self) -> None:
        self.members, self.shares = [], []
        self.refused: list[tuple[Run, str]] = []
        self._mapped: dict[str, bool] = {}

    def share(self, members: Sequence[Run], first: int, *, mapped: bool) -> Share:
        """What computes the objective of these runs.

        Args:
            members: with the same objective.
            first: the row of the first of them.
            mapped: whether the loss is mapped over the rows.
        """
        raise NotImplementedError

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order, in all that is stacked."""
        raise NotImplementedError

    def arrange(self, members: Sequence[Run]) -> None:
        """Let these be the rows, and find which of them share an objective."""
        self.members, self.shares = list(members), []
        first = 0
        for key, same in itertools.groupby(members, key=lambda member: member.objective):
            alike = list(same)
            self.shares.append(self.share(alike, first, mapped=self._mapped.get(key, False)))
            first += len(alike)

    def drop(self, members: Sequence[Run]) -> None:
        """Take runs out of the stack."""
        if not members:
            return
        rows = [row for row, member in enumerate(self.members) if member not in members]
        if rows:
            self.keep(rows)
        self.arrange([self.members[row] for row in rows])

    def try_losses(self, evaluate: Callable[[Share], tuple[Values, Values]]) -> None:
        """Find out which losses can be mapped over rows, and which cannot take part at all.

        Args:
            evaluate: gives components and diagnostics of a share's rows on an example.
        """
        for share in self.shares:
            members = self.members[share.rows]

            def evaluated(
                mapped: bool, members: Sequence[Run] = members, share: Share = share
            ) -> tuple[Values, Values]:
                return evaluate(self.share(members, share.rows.start, mapped=mapped))

            loss = members[0].components.module.loss
            try:
                mapped = can_be_mapped(loss, len(members), evaluated)
            except Unstackable as reason:
                self.refused += [(member, str(reason)) for member in members]
            else:
                self._mapped[members[0].objective] = mapped
        self.drop([member for member, _ in self.refused])
        self.arrange(self.members)
