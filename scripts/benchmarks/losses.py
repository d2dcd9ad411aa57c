"""Each loss beside its peers and beside the least a loss can do."""

import statistics

import torch
from torch import Tensor

from benchmarks.peers import SIZES, pairs
from benchmarks.timing import in_turn, ratio
from losslab.allocator import keep_freed_memory


def losses(rounds: int, keep: bool) -> None:
    """Value and gradient of each loss and its peers in turn, in ns an element of CPU time.

    The floor is what it takes to read logits and target and to write a gradient.
    """
    torch.set_num_threads(1)
    if keep:
        keep_freed_memory()
    print("| loss | elements | dtype | floor | ours | peer | peer / ours (quartiles) |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            for name, batch, ours, peers in pairs():
                prediction, target = batch(size, dtype)
                calls = {"ours": ours, **peers, "floor": floor}
                times = in_turn(calls, prediction, target, rounds)
                for peer in peers or ["-"]:
                    print(row(name, size, dtype, times, peer), flush=True)


def floor(prediction: Tensor, target: Tensor) -> Tensor:
    """The least a loss can do: one pass over its inputs that writes one output."""
    return torch.add(prediction.flatten()[: target.numel()], target.flatten())


def row(name: str, size: int, dtype: torch.dtype, times: dict[str, list[float]], peer: str) -> str:
    """A row of the table."""
    kind = str(dtype).removeprefix("torch.")
    middle = {key: f"{statistics.median(spent) / size * 1e9:.2f}" for key, spent in times.items()}
    cells = f"| {name} | {size} | {kind} | {middle['floor']} | {middle['ours']} |"
    if peer == "-":
        return f"{cells} - | - |"
    return f"{cells} {peer} {middle[peer]} | {ratio(times['ours'], times[peer])} |"
