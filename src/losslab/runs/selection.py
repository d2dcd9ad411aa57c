"""Which epoch of a run is the best, and when a run stops."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from losslab.runs.record import Record

TieBreak = Callable[[], Mapping[str, float]]
"""Function that measures what decides between epochs with equal monitors, lower being better."""

Mode = Literal["min", "max"]

FLOAT32 = 1.2e-7
"""Relative rounding error of float32, in which networks compute and version 0.1 recorded."""


def order(value: float, reference: float, mode: Mode) -> int:
    """Return 1 if a value is better than another, 0 if they are equal up to rounding, else -1.

    NaN is worse than any number and equal to NaN.

    Example:
        >>> order(0.9, 0.8, "max"), order(0.9, 0.8, "min"), order(0.9, 0.9 + 1e-9, "max")
        (1, -1, 0)
        >>> order(0.9, float("nan"), "max")
        1
    """
    if math.isnan(value) or math.isnan(reference):
        return int(math.isnan(reference)) - int(math.isnan(value))
    if math.isclose(value, reference, rel_tol=FLOAT32):
        return 0
    return 1 if (value < reference) == (mode == "min") else -1


@dataclass(frozen=True)
class Selection:
    """Choice of a run's best epoch, and of its last one, from its record alone.

    Args:
        metric: monitored metric, without its split.
        mode, patience, min_epochs, max_seconds, choose, ties: see
            :class:`~losslab.runs.writer.RunWriter`.

    Raises:
        ValueError: if an option is out of range.
    """

    metric: str
    mode: Mode
    patience: int | None = None
    min_epochs: int = 0
    max_seconds: float | None = None
    choose: Literal["best", "last"] = "best"
    ties: Literal["later", "first"] = "later"

    def __post_init__(self) -> None:
        if self.choose not in ("best", "last"):
            raise ValueError(f"choose must be 'best' or 'last', got {self.choose!r}")
        if self.ties not in ("later", "first"):
            raise ValueError(f"ties must be 'later' or 'first', got {self.ties!r}")
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {self.mode!r}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 or None, got {self.patience!r}")

    def is_best(self, found: int) -> bool:
        """Return whether an epoch of this :meth:`order` becomes the best."""
        return found > 0 or (found == 0 and self.ties == "later")

    def order(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        record: Record,
        tie_break: TieBreak | None = None,
    ) -> tuple[int, dict[str, float]]:
        """Return 1 for an epoch better than the best, 0 for an equal one, and its tie-break."""
        best = record["best"]
        # an epoch that is repeated after a kill was the best before
        repeats = best is not None and best["epoch"] == epoch
        reference = None if best is None or repeats else best["metrics"]
        value = metrics[self.metric]
        if self.choose == "last":
            return 1 if reference is None or not math.isnan(value) else -1, {}
        if reference is not None:
            found = order(value, reference[self.metric], self.mode)
        else:
            found = 0 if repeats and record["improved"] not in (None, epoch) else 1
        if found < 0 or self.ties == "first" or tie_break is None:
            return found, {}
        broken = dict(tie_break())
        if reference is not None:
            for key, each in broken.items():
                found = found or order(each, reference.get(key, math.nan), "min")
        return found, broken

    def reason_to_stop(self, record: Record) -> str | None:
        """Return what ends the training after the last finished epoch, as the record calls it."""
        best, epochs = record["best"], record["epochs"]
        if best is None or epochs < self.min_epochs:
            return None
        improved = best["epoch"] if record["improved"] is None else record["improved"]
        if self.patience is not None and epochs - 1 - improved >= self.patience:
            return "patience"
        if self.max_seconds is not None and record["seconds"] >= self.max_seconds:
            return "max_time"
        return None
