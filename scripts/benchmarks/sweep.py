"""Lockstep training, compared with the same jobs trained alone, sequentially or in parallel."""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from omegaconf import DictConfig

from benchmarks.page import ratio_table, show, spread
from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.lockstep.grouping import Job, place
from losslab.lockstep.sweep import train_jobs
from losslab.runs.environment import peak_memory_mb
from losslab.runs.folder import SWEEP_FILE
from losslab.training import train

LOSSES = (
    "loss=cross_entropy,categorical_cross_entropy,bce,hinge,focal",
    "loss=cross_entropy loss.label_smoothing=0.1",
    "loss=focal loss.gamma=1",
    "loss=focal loss.gamma=5",
)
Way = Callable[[Sequence[DictConfig], Path], None]
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def configs_of(overrides: Sequence[str], seeds: int) -> list[DictConfig]:
    """Compose the configs of eight classification losses, grouped by seed."""
    return [
        job.config
        for seed in range(seeds)
        for line in LOSSES
        for job in compose_jobs(
            jobs_of([*line.split(), f"seed={seed}", "trainer=cpu", "callbacks=quiet", *overrides])
        )
    ]


def sweep(rounds: int, overrides: Sequence[str], seeds: int, page: Path | None) -> None:
    """Measure seconds per job of eight losses and some seeds, each way in turn.

    The first round is a warm-up. Without lockstep only one job per loss is trained, each with
    another seed, since jobs of the first seed draw figures.
    """
    configs = configs_of(overrides, seeds)
    few = configs[::9][:8]
    ways: dict[str, tuple[Way, list[DictConfig]]] = {"alone": (one_by_one, few)}
    if place(configs[0].trainer)[0].type == "cuda":
        ways["one process, kernel by kernel"] = (partial(in_lockstep, capture=False), configs)
        ways["one process, captured"] = (in_lockstep, configs)
    else:
        ways["alone, by joblib"] = (side_by_side, few)
        ways["one process"] = (in_lockstep, configs)
        ways["two processes"] = (partial(in_lockstep, workers=2), configs)
    times: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways if "process" in name}
    for turn in range(rounds + 1):
        for name, (way, jobs) in ways.items():
            before = cpu_seconds()
            seconds = timed(way, jobs)
            if turn:
                times[name].append(seconds / len(jobs))
            if turn and name in busy:  # the processes of joblib do not end
                busy[name].append((cpu_seconds() - before) / seconds)
    what = " ".join(given for given in overrides if not given.startswith("paths."))
    ratios = [("alone", name) for name in times if name != "alone"]
    name = f"{len(configs)} jobs, {what}"
    lines = ratio_table(name, "s per job", times, ratios)
    lines += [f"| {way}: cores busy | {spread(values, 2)} |" for way, values in busy.items()]
    show(page, f"sweep {what}", lines)


def rl(rounds: int, overrides: Sequence[str], seeds: int, page: Path | None) -> None:
    """Measure CPU seconds of reinforcement learning: two seeds alone, and all in lockstep."""
    jobs = jobs_of([f"seed=range({seeds})", "trainer=cpu", "callbacks=quiet", *overrides])
    configs = [job.config for job in compose_jobs(jobs)]
    times: dict[str, list[float]] = {"alone": [], "one process": []}
    for turn in range(rounds + 1):
        start = time.process_time()
        timed(one_by_one, configs[:2])
        middle = time.process_time()
        timed(in_lockstep, configs)
        if turn:  # the first round warms up
            times["alone"].append((middle - start) / 2)
            times["one process"].append((time.process_time() - middle) / seeds)
    what = " ".join(overrides)
    lines = ratio_table(f"{seeds} jobs, {what}", "CPU s per job", times, [("alone", "one process")])
    show(page, f"rl {seeds} {what}", lines)


def growth(overrides: Sequence[str], most: int, page: Path | None) -> None:
    """Measure seconds per job and memory of lockstep in one process, by the number of jobs.

    Each count runs in its own process, forked from this one after all imports.

    Args:
        overrides: overrides of all jobs.
        most: largest number of jobs.
        page: page to write the table to.
    """
    configs = configs_of(overrides, -(-most // 8))
    timed(one_by_one, configs[:1])  # warm-up
    lines = ["| jobs | s per job | MB beyond the imports |", "|---|---|---|"]
    for count in (each for each in COUNTS if each <= most):
        receiver, sender = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_report, args=(configs[:count], sender)
        )
        process.start()
        sender.close()  # so that the receiver sees the end of file if the process fails
        seconds, memory = receiver.recv()
        process.join()
        lines.append(f"| {count} | {seconds / count:.3f} | {memory:.0f} |")
        print(lines[-1], file=sys.stderr)  # larger counts may not fit into memory
    show(page, f"growth {' '.join(overrides)}", lines)


def _report(configs: Sequence[DictConfig], pipe: Any) -> None:
    before = peak_memory_mb() or 0
    seconds = timed(trained, configs)
    pipe.send((seconds, (peak_memory_mb() or 0) - before))


def trained(configs: Sequence[DictConfig], folder: Path) -> None:
    """Train as the launcher does: in lockstep if there are several jobs."""
    if len(configs) == 1:
        one_by_one(configs, folder)
    else:
        in_lockstep(configs, folder)


def one_by_one(configs: Sequence[DictConfig], folder: Path) -> None:
    """Train sequentially, as Hydra's basic launcher does."""
    for job in placed(configs, folder):
        train(job.config, job.folder)


def side_by_side(configs: Sequence[DictConfig], folder: Path) -> None:
    """Train in two persistent processes, as Hydra's joblib launcher does."""
    jobs = [delayed(train)(job.config, job.folder) for job in placed(configs, folder)]
    Parallel(n_jobs=2)(jobs)


def in_lockstep(
    configs: Sequence[DictConfig], folder: Path, workers: int = 1, *, capture: bool = True
) -> None:
    """Train in lockstep."""
    left = train_jobs(placed(configs, folder), workers=workers, capture=capture)
    if left:
        raise RuntimeError(f"not in lockstep: {left[0][1]}")


def placed(configs: Sequence[DictConfig], folder: Path) -> list[Job]:
    """Place configs as the jobs of one sweep, whose first seed draws figures."""
    jobs = [[f"seed={config.seed}"] for config in configs]
    content = {"version": 2, "commands": [], "jobs": jobs}
    (folder / SWEEP_FILE).write_text(json.dumps(content))
    return [
        Job(config, folder / str(number) / f"seed{config.seed}")
        for number, config in enumerate(configs)
    ]


def cpu_seconds() -> float:
    """Return the CPU time of this process, and of those that it started and that ended."""
    return sum(os.times()[:4])


def timed(
    way: Callable[[Sequence[DictConfig], Path], None], configs: Sequence[DictConfig]
) -> float:
    """Measure the seconds that a way takes for these configs, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        way(configs, Path(folder))
        return time.perf_counter() - start
