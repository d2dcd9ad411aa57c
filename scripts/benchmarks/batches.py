"""Losses that compare all pairs of points or samples, compared with peers."""

import statistics
from pathlib import Path

import torch

from benchmarks.page import put
from benchmarks.peers import of_batches
from benchmarks.timing import in_turn, peak_memory, ratio
from losslab.runtime import keep_freed_memory

HEAD = (
    "| loss | batch | ours, ms | peer, ms | peer / ours (quartiles) | ours, MB | peer, MB |",
    "|---|---|---|---|---|---|---|",
)


def batches(rounds: int, keep: bool, page: Path | None) -> None:
    """Measure value and gradient of pairwise losses and of peers, in ms of CPU time."""
    torch.set_num_threads(1)
    if keep:
        keep_freed_memory()
    print(*HEAD, sep="\n")
    rows = []
    for name, batch, pair, ours, peers in of_batches():
        calls = {"ours": ours, **peers}
        times = in_turn(calls, *pair, rounds)
        time = {key: f"{statistics.median(spent) * 1e3:.1f}" for key, spent in times.items()}
        held = {key: f"{peak_memory(call, *pair) / 1e6:.1f}" for key, call in calls.items()}
        for peer in peers:
            rows.append(
                f"| {name} | {batch} | {time['ours']} | {peer} {time[peer]} "
                f"| {ratio(times['ours'], times[peer])} | {held['ours']} | {held[peer]} |"
            )
            print(rows[-1], flush=True)
    if page:
        put(page, "batches", [*HEAD, *rows])
