"""Time and peak memory of each loss, compared with peers and a lower bound."""

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.figure import draw
from benchmarks.guard import summary
from benchmarks.measured import Measured, write
from benchmarks.page import show
from benchmarks.peers import SIZES, pairs
from benchmarks.timing import in_turn, peak_memory
from losslab.runtime import keep_freed_memory


def losses(rounds: int, keep: bool, page: Path | None, only: str | None) -> None:
    """Measure value and gradient of each loss and its peers in turn, on one thread.

    The floor is the time to read logits and target and to write a gradient.

    Args:
        rounds: number of rounds.
        keep: whether to keep freed memory.
        page: page to write the summary to, next to which all values and the figure are saved.
        only: loss to measure alone, without a figure; ``None`` for all.
    """
    torch.set_num_threads(1)
    if keep:
        keep_freed_memory()
    found = []
    for size in SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            for name, batch, ours, peers in pairs():
                if only not in (None, name):
                    continue
                prediction, target = batch(size, dtype)
                calls = {"ours": ours, **peers}
                repeats = max(1, 2**19 // size)
                all_of_them = {**calls, "floor": floor}
                times = in_turn(all_of_them, prediction, target, rounds, repeats)
                memory = {key: peak_memory(call, prediction, target) for key, call in calls.items()}
                kind = str(dtype).removeprefix("torch.")
                found.append(Measured(name, prediction.numel(), kind, times, memory))
                print(name, size, kind, flush=True)
    allocator = "keep" if keep else "system"
    show(page, f"losses, allocator={allocator}", summary(one.best() for one in found if one.peers))
    if page:
        write(found, page.parent / "benchmarks" / f"losses_{allocator}.csv")
    if page and not only:
        draw(found, page.parent / "images" / "losses.png")


def floor(prediction: Tensor, target: Tensor) -> Tensor:
    """Make one pass over the inputs and write one output, as a lower bound."""
    return torch.add(prediction.flatten()[: target.numel()], target.flatten())
