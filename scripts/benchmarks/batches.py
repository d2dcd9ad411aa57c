"""Losses that compare all points or samples of a batch with all, beside peers."""

import statistics

import torch

from benchmarks.peers import of_batches
from benchmarks.timing import in_turn, ratio
from losslab.allocator import keep_freed_memory


def batches(rounds: int, keep: bool) -> None:
    """Value and gradient of losses that compare all with all, and of peers, in ms of CPU time."""
    torch.set_num_threads(1)
    if keep:
        keep_freed_memory()
    print("| loss | batch | ours | peer | peer / ours (quartiles) |")
    print("|---|---|---|---|---|")
    for name, batch, pair, ours, peers in of_batches():
        times = in_turn({"ours": ours, **peers}, *pair, rounds)
        middle = {key: f"{statistics.median(spent) * 1e3:.1f}" for key, spent in times.items()}
        for peer in peers:
            against = ratio(times["ours"], times[peer])
            cells = f"| {name} | {batch} | {middle['ours']} | {peer} {middle[peer]} | {against} |"
            print(cells, flush=True)
