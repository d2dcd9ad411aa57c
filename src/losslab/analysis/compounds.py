"""Sums of losses in a table, and the rows whose loss is one of their components."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import Settings
from losslab.analysis.pairs import Pair
from losslab.analysis.search import tuned_keys
from losslab.metrics.labels import Metric

DETECTION = "losslab.losses.DetectionLoss"
FEWEST_WEIGHTS = 3
"""Number of weights from which a curve over the weight is drawn."""


@dataclass(frozen=True, eq=False)
class Compound:
    """Row whose loss is a sum, with the rows of its components alone."""

    row: Row
    parts: Mapping[str, tuple[Row, ...]]
    """Rows by component; several if it was run with other tuned options, none if it was not."""

    @property
    def missing(self) -> list[str]:
        """Components that were not run alone; those of a detector's loss cannot be."""
        if self.row.settings.get("loss._target_") == DETECTION:
            return []
        return [name for name, rows in self.parts.items() if not rows]

    def pairs(self, table: ComparisonTable, metric: Metric) -> dict[str, Pair | None]:
        """Return the comparison with each part, by its label; ``None`` if there is none.

        The sum is ``a`` of each pair.
        """
        own = self.row.label
        found = {
            pair.other(own): pair if pair.a == own else pair.swapped
            for pair in table.pairs_of(metric)
            if own in (pair.a, pair.b)
        }
        return {row.label: found.get(row.label) for rows in self.parts.values() for row in rows}


def compounds(table: ComparisonTable) -> list[Compound]:
    """Return the sums of losses in a table, in its order.

    A part has the component's options, and all other settings of the sum. What a tuning chose for
    the sum or for the part may differ.
    """
    components = {row.label: component_names(row.settings) for row in table.rows}
    if not any(components.values()):
        return []
    losses = {row.label: _Loss.of_row(row) for row in table.rows}

    def alone(row: Row, name: str) -> tuple[Row, ...]:
        part = losses[row.label].component(name)
        return tuple(other for other in table.rows if part.equals(losses[other.label]))

    return [
        Compound(row, {name: alone(row, name) for name in components[row.label]})
        for row in table.rows
        if components[row.label]
    ]


def weight_key(component: str) -> str:
    """Return the setting that holds the weight of a component."""
    return f"loss.of.{component}.weight"


def component_names(settings: Settings) -> list[str]:
    """Return the names of the components of a sum, in the order given; none of another loss.

    Example:
        >>> component_names({"loss.of.bce.weight": 1, "loss.of.dice.loss.power": 1, "seed": 0})
        ['bce', 'dice']
    """
    keys = (key.split(".") for key in settings if key.startswith("loss.of."))
    return list(dict.fromkeys(name for _, _, name, *_ in keys))


@dataclass(frozen=True, eq=False)
class WeightSweep:
    """Sums of the same losses that differ in the weight of one of them, by that weight."""

    component: str
    sums: Mapping[float, Compound]

    @property
    def name(self) -> str:
        """Names of the losses with the weights that all sums share: ``0.5bce + dice``."""
        first = next(iter(self.sums.values()))
        weights = {name: first.row.settings.get(weight_key(name), 1) for name in first.parts}
        weights[self.component] = 1
        return " + ".join(f"{'' if w == 1 else f'{w:g}'}{name}" for name, w in weights.items())

    @property
    def parts(self) -> list[Row]:
        """Rows whose loss is a component alone."""
        rows = (row for each in self.sums.values() for part in each.parts.values() for row in part)
        return list({row.label: row for row in rows}.values())


def weight_sweeps(table: ComparisonTable) -> list[WeightSweep]:
    """Return the sums of a table that differ in one weight only, if it has three values or more.

    A sweep over two weights has one for each value of the other.
    """
    found: dict[Any, dict[float, Compound]] = {}
    for compound in compounds(table):
        settings = {k: v for k, v in compound.row.settings.items() if k != "choices.loss"}
        for name in compound.parts:
            key = weight_key(name)
            weight = settings.get(key)  # absent if it follows a schedule
            if isinstance(weight, int | float):
                rest = tuple(sorted(item for item in settings.items() if item[0] != key))
                found.setdefault((name, rest), {})[weight] = compound
    return [
        WeightSweep(name, dict(sorted(sums.items())))
        for (name, _), sums in found.items()
        if len(sums) >= FEWEST_WEIGHTS
    ]


@dataclass(frozen=True)
class _Loss:
    """Loss of a row, or a component of it, and how it was trained."""

    options: Mapping[str, Any]
    """Options of the loss."""
    others: Mapping[str, Any]
    """Other settings."""
    tuned: frozenset[str]
    """Options and settings that a tuning chose."""

    @classmethod
    def of_row(cls, row: Row) -> "_Loss":
        options = _under(row.settings, "loss.")
        others = {
            key: value
            for key, value in row.settings.items()
            if key != "choices.loss" and not key.startswith("loss.")
        }
        tuned = (key.removeprefix("loss.") for key in tuned_keys(row.runs[0]))
        return cls(options, others, frozenset(tuned))

    def component(self, name: str) -> "_Loss":
        """Return a component of a sum, trained as the sum was."""
        prefix = f"of.{name}.loss."
        tuned = (key.removeprefix(prefix) for key in self.tuned)
        return _Loss(_under(self.options, prefix), self.others, frozenset(tuned))

    def equals(self, other: "_Loss") -> bool:
        """Return whether losses and settings are equal, except for what was tuned."""
        free = self.tuned | other.tuned
        return all(
            one.get(key) == two.get(key)
            for one, two in ((self.options, other.options), (self.others, other.others))
            for key in {*one, *two} - free
        )


def _under(settings: Settings, prefix: str) -> dict[str, Any]:
    return {
        key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)
    }
