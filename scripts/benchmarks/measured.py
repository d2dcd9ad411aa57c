"""Measurement of one loss on one batch, compared with its peers."""

import statistics
from dataclasses import dataclass

from benchmarks.timing import quartiles, ratio


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

    def quartiles(self, peer: str) -> list[float]:
        """Compute the quartiles of the peer's time divided by ours."""
        return quartiles(self.times["ours"], self.times[peer])

    def rows(self) -> list[str]:
        """Return one table row per peer, with values per element of the prediction."""
        time = {
            name: f"{statistics.median(s) / self.size * 1e9:.2f}" for name, s in self.times.items()
        }
        held = {name: f"{peak / self.size:.1f}" for name, peak in self.memory.items()}
        start = f"| {self.name} | {self.size} | {self.dtype} | {time['floor']} | {time['ours']} |"
        if not self.peers:
            return [f"{start} - | - | {held['ours']} | - |"]
        return [
            f"{start} {peer} {time[peer]} | {ratio(self.times['ours'], self.times[peer])} "
            f"| {held['ours']} | {held[peer]} |"
            for peer in self.peers
        ]
