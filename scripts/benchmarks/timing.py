"""Measure time and memory of calls, and time of commands.

Sides are measured in turn, so that changes of the machine's speed affect all of them.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parents[2]


def of_command(*arguments: str, folder: Path = ROOT) -> float:
    """Measure the seconds that this interpreter takes for a command, discarding its output.

    Raises:
        CalledProcessError: if it fails.
    """
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=folder)
    return time.perf_counter() - start


def in_turn(
    calls: dict[str, Any], prediction: Tensor, target: Tensor, rounds: int, repeats: int = 1
) -> dict[str, list[float]]:
    """Measure CPU seconds of each call with its gradient per round, after a warm-up round.

    Short calls are repeated ``repeats`` times.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            given = prediction.detach().requires_grad_(name != "floor")
            start = time.thread_time()
            for _ in range(repeats):
                given.grad = None
                result = call(given, target)
                if result.requires_grad:
                    result.backward()
            if turn:
                times[name].append((time.thread_time() - start) / repeats)
    return times


def peak_memory(call: Any, prediction: Tensor, target: Tensor) -> int:
    """Measure torch's peak bytes during a call with its gradient, without the inputs."""
    given = prediction.detach().requires_grad_()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call(given, target).backward()
    events = profiled.profiler.kineto_results.events()
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Format median and quartiles of their time divided by ours."""
    low, median, high = quartiles(ours, theirs)
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def quartiles(ours: list[float], theirs: list[float]) -> list[float]:
    """Compute the quartiles of their time divided by ours, over rounds."""
    return statistics.quantiles((b / a for a, b in zip(ours, theirs, strict=True)), n=4)
