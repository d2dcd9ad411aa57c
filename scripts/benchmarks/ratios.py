"""Speed of losses at the sizes of common batches, relative to the best peer."""

import statistics
import time
from collections.abc import Container, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers import Call, pairs
from losslab.runtime import keep_freed_memory

SIZES = {torch.float32: (2**10, 2**12, 2**14, 2**16, 2**18), torch.bfloat16: (2**16,)}
TURN = 2e-3
"""Seconds of CPU time that a call is repeated for before it is the next one's turn."""


def measured(rounds: int, only: Container[str] | None = None) -> Iterator[dict[str, Any]]:
    """Measure value and gradient of each loss and its peers in turn, on one thread.

    Args:
        rounds: number of turns of each call.
        only: losses to measure; ``None`` for all.

    Yields:
        One entry per loss, size and dtype.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    for dtype, sizes in SIZES.items():
        for name, batch, ours, peers in pairs():
            if not peers or (only is not None and name not in only):
                continue
            for size in sizes:
                prediction, target = batch(size, dtype)
                times = in_short_turns({"ours": ours, **peers}, prediction, target, rounds)
                yield entry(name, size, dtype, times)


def entry(
    name: str, size: int, dtype: torch.dtype, times: dict[str, Sequence[float]]
) -> dict[str, Any]:
    """Summarise times: medians in microseconds, and quartiles of the best peer's time by ours."""
    ours = times["ours"]
    medians = {key: statistics.median(each) for key, each in times.items()}
    best = min((key for key in times if key != "ours"), key=lambda key: medians[key])
    shares = [b / a for a, b in zip(ours, times[best], strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    return {
        **{"loss": name, "elements": size, "dtype": str(dtype).removeprefix("torch.")},
        **{"peer": best, "ratio": round(middle, 3)},
        "quartiles": [round(low, 3), round(high, 3)],
        "microseconds": {key: round(1e6 * each, 2) for key, each in medians.items()},
    }


def in_short_turns(
    calls: dict[str, Call], prediction: Tensor, target: Tensor, rounds: int
) -> dict[str, Sequence[float]]:
    """Measure CPU seconds per call with its gradient, in turns that are equally long."""
    given = {name: prediction.clone().requires_grad_() for name in calls}
    repeats = {}
    for name, call in calls.items():
        seconds(call, given[name], target, 3)  # warm up
        repeats[name] = max(1, round(TURN / seconds(call, given[name], target, 3)))
    turns = [
        {name: seconds(call, given[name], target, repeats[name]) for name, call in calls.items()}
        for _ in range(rounds)
    ]
    return {name: [turn[name] for turn in turns] for name in calls}


def seconds(call: Call, prediction: Tensor, target: Tensor, repeats: int) -> float:
    """Measure CPU seconds per call with its gradient."""
    start = time.process_time()
    for _ in range(repeats):
        prediction.grad = None
        call(prediction, target).backward()
    return (time.process_time() - start) / repeats
