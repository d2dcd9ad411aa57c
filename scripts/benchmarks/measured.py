"""Measurement of one loss on one batch, compared with its peers."""

import csv
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.timing import quartiles

COLUMNS = (
    *("loss", "elements", "dtype", "library", "ns_per_element", "bytes_per_element"),
    *("time_by_ours", "first_quartile", "third_quartile"),
)


@dataclass(frozen=True)
class Measured:
    """Measurement of one loss on one batch: seconds per round and peak bytes, ours and peers."""

    name: str
    size: int
    dtype: str
    times: dict[str, list[float]]
    memory: dict[str, int]

    @property
    def peers(self) -> list[str]:
        """Return the names of the other libraries."""
        return [name for name in self.memory if name != "ours"]

    @property
    def nominal_size(self) -> int:
        """Return the nearest power of two, since batches of ten classes are slightly smaller."""
        return 2 ** round(math.log2(self.size))

    def quartiles(self, peer: str) -> list[float]:
        """Compute the quartiles of the peer's time divided by ours."""
        return quartiles(self.times["ours"], self.times[peer])

    def best(self) -> dict[str, Any]:
        """Return the ratio to the fastest peer as an entry of :mod:`benchmarks.guard`'s summary."""
        peer = min(self.peers, key=lambda name: statistics.median(self.times[name]))
        low, ratio, high = self.quartiles(peer)
        return {
            **{"loss": self.name, "elements": self.nominal_size, "dtype": self.dtype},
            **{"peer": peer, "ratio": ratio, "quartiles": [low, high]},
        }

    def rows(self) -> Iterator[list[Any]]:
        """Yield a row of ``COLUMNS`` for ours, for each peer, and for the floor, without memory."""
        for library, seconds in self.times.items():
            time = round(1e9 * statistics.median(seconds) / self.size, 3)
            held = round(self.memory[library] / self.size, 1) if library in self.memory else ""
            low, ratio, high = (round(each, 3) for each in self.quartiles(library))
            yield [self.name, self.size, self.dtype, library, time, held, ratio, low, high]


def write(found: Sequence[Measured], path: Path) -> None:
    """Write all measurements as a table of ``COLUMNS``."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row for one in found for row in one.rows())
