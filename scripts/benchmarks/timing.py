"""Calls measured in turn, so that a change of the machine's speed meets all of them."""

import statistics
import time
from typing import Any

from torch import Tensor


def in_turn(
    calls: dict[str, Any], prediction: Tensor, target: Tensor, rounds: int
) -> dict[str, list[float]]:
    """Seconds of CPU time of each call with its gradient, round by round; the first warms up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            given = prediction.detach().requires_grad_(name != "floor")
            start = time.thread_time()
            result = call(given, target)
            if result.requires_grad:
                result.backward()
            if turn:
                times[name].append(time.thread_time() - start)
    return times


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Their time by ours, round by round: median and quartiles."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.2f} ({low:.2f} to {high:.2f})"
