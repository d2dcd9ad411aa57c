"""Which rows of a table lead by a metric, and which are worse than another."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.pairs import Pair
from losslab.metrics.labels import Metric


@dataclass(frozen=True)
class Standing:
    """Leading and beaten rows by one metric, as labels in the order of the table."""

    pairs: tuple[Pair, ...]
    """All pairs that were compared by the metric."""
    leading: tuple[str, ...]
    """Rows with common seeds that no other row is significantly better than."""
    beaten: Mapping[str, Pair]
    """The other rows, with the comparison with the first row that is better."""

    @property
    def inner(self) -> list[Pair]:
        """Pairs of leading rows."""
        return [pair for pair in self.pairs if {pair.a, pair.b} <= set(self.leading)]

    @property
    def undecided(self) -> list[Pair]:
        """Pairs of leading rows that are not equivalent within a margin."""
        return [pair for pair in self.inner if not pair.equivalent]

    @property
    def open(self) -> list[Pair]:
        """All pairs about which nothing was decided."""
        return [pair for pair in self.pairs if not (pair.equivalent or pair.preferred)]

    @property
    def mutually_equivalent(self) -> list[str]:
        """Leading rows, the best first, that are all equivalent to each other within the margin."""
        equal = {frozenset((pair.a, pair.b)) for pair in self.inner if pair.equivalent}
        for first in self.leading:
            rows = [first]
            for row in self.leading:
                if all(frozenset((row, other)) in equal for other in rows):
                    rows.append(row)
            if len(rows) > 1:
                return rows
        return []

    @property
    def contradictory(self) -> list[Pair]:
        """Pairs of which one row has the better values and the other fails less often."""
        return [pair for pair in self.inner if pair.contradictory]

    @property
    def equivalent(self) -> bool:
        """Return whether all leading rows are equivalent within a margin."""
        couples = itertools.combinations(self.leading, 2)
        return len(self.inner) == len(list(couples)) > 0 and not self.undecided


def standing(table: ComparisonTable, metric: Metric | None = None) -> Standing:
    """Find the leading and the beaten rows of a table.

    A row is beaten if the values or the failures favour another row. Rows that are equivalent
    within the margin do not beat each other.

    Args:
        table: the comparison.
        metric: a primary metric. Default: the first.
    """
    pairs = table.pairs_of(metric or table.primary_metrics[0])
    beaten: dict[str, Pair] = {}
    order = {row.label: place for place, row in enumerate(table.rows)}
    for pair in sorted(pairs, key=lambda pair: order.get(str(pair.preferred), len(order))):
        if pair.preferred is not None and not pair.equivalent:
            beaten.setdefault(pair.other(pair.preferred), pair)
    compared = {label for pair in pairs if pair.seeds for label in (pair.a, pair.b)}
    leading = tuple(label for label in order if label in compared and label not in beaten)
    in_order = {label: beaten[label] for label in order if label in beaten}
    return Standing(tuple(pairs), leading or tuple(order)[:1], in_order)
