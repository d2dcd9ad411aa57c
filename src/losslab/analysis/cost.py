"""Cost of a loss and of its runs, as the records say it."""

import statistics as plain
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losslab.analysis.comparison_groups import Row

LEAST = 0.01
"""Milliseconds or megabytes below which the exact cost does not matter."""


@dataclass(frozen=True)
class Cost:
    """Median cost over the runs of a row; ``None`` for what no run recorded."""

    loss_ms: float | None
    """Milliseconds of forward and backward of the loss on one batch."""
    loss_mb: float | None
    """Megabytes that the loss keeps for its backward."""
    step_ms: float | None
    """Milliseconds per training step."""
    run_mb: float | None
    """Peak memory of the run in megabytes."""

    @property
    def of_loss(self) -> str:
        """Cost of the loss as text: ``0.21 ms, 1.3 MB``."""
        return _joined(_with_unit(self.loss_ms, "ms"), _with_unit(self.loss_mb, "MB"))

    @property
    def of_run(self) -> str:
        """Cost of the run, of which that of the loss is a part: ``of 2.4 ms per step``."""
        step = f"of {_with_unit(self.step_ms, 'ms')} per step" if self.step_ms is not None else ""
        memory = f"run {_with_unit(self.run_mb, 'MB')}" if self.run_mb is not None else ""
        return _joined(step, memory)

    def __str__(self) -> str:
        return f"{self.of_loss} {self.of_run}".strip()


NO_COST = Cost(None, None, None, None)


def cost(row: Row) -> Cost | None:
    """Return the median cost of a row's finished runs; ``None`` if none recorded the loss's."""
    found = [_recorded(run.record) for run in row.done]
    values = {
        name: [value for each in found if (value := each.get(name)) is not None]
        for name in Cost.__dataclass_fields__
    }
    if not values["loss_ms"]:
        return None
    return Cost(**{name: plain.median(own) if own else None for name, own in values.items()})


def _recorded(record: Mapping[str, Any]) -> Mapping[str, float | None]:
    return record.get("cost") or {}


def _joined(*texts: str) -> str:
    return ", ".join(text for text in texts if text)


def _with_unit(value: float | None, unit: str) -> str:
    """Format with two digits: ``0.21 ms``, ``545 MB``, ``below 0.01 MB``."""
    if value is None:
        return ""
    if value < LEAST:
        return f"below {LEAST} {unit}"
    return f"{value:.2g} {unit}" if value < 100 else f"{value:.0f} {unit}"
