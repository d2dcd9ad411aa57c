"""Lockstep against the same cells trained alone, one after the other or side by side."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from omegaconf import DictConfig

from benchmarks.page import beside, show
from losslab.config.compose import compose_jobs, jobs_of
from losslab.lockstep.grouping import Job, place
from losslab.lockstep.sweep import train_jobs
from losslab.runs.writer import peak_memory_mb
from losslab.training import train

LOSSES = (
    "loss=cross_entropy,categorical_cross_entropy,bce,hinge,focal",
    "loss=cross_entropy loss.label_smoothing=0.1",
    "loss=focal loss.gamma=1",
    "loss=focal loss.gamma=5",
)
Way = Callable[[Sequence[DictConfig], Path], None]
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)


def configs_of(overrides: Sequence[str], seeds: int) -> list[DictConfig]:
    """The configs of eight classification losses with so many seeds, all losses of a seed first."""
    return [
        cell.config
        for seed in range(seeds)
        for line in LOSSES
        for cell in compose_jobs(
            jobs_of([*line.split(), f"seed={seed}", "trainer=cpu", "callbacks=quiet", *overrides])
        )
    ]


def sweep(rounds: int, overrides: Sequence[str], seeds: int, page: Path | None) -> None:
    """Seconds a cell of eight losses and some seeds, each way in turn; the first round warms up.

    Alone, one after the other and two side by side, only one seed's cells are trained.
    """
    configs = configs_of(overrides, seeds)
    ways: dict[str, tuple[Way, list[DictConfig]]] = {"alone": (one_by_one, configs[:8])}
    if place(configs[0].trainer)[0].type == "cuda":
        ways["one process, kernel by kernel"] = (partial(in_lockstep, capture=False), configs)
        ways["one process, captured"] = (in_lockstep, configs)
    else:
        ways["alone, by joblib"] = (side_by_side, configs[:8])
        ways["one process"] = (in_lockstep, configs)
        ways["two processes"] = (partial(in_lockstep, workers=2), configs)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, (way, cells) in ways.items():
            seconds = timed(way, cells)
            if turn:
                times[name].append(seconds / len(cells))
    what = " ".join(given for given in overrides if not given.startswith("paths."))
    ratios = [("alone", name) for name in times if name != "alone"]
    name = f"{len(configs)} cells, {what}"
    show(page, f"sweep {what}", beside(name, "s a cell", times, ratios))


def plays(rounds: int, overrides: Sequence[str], seeds: int, page: Path | None) -> None:
    """CPU seconds of some seeds of one loss that plays: two alone, all together in this process."""
    cells = jobs_of([f"seed=range({seeds})", "trainer=cpu", "callbacks=quiet", *overrides])
    configs = [cell.config for cell in compose_jobs(cells)]
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
    lines = beside(f"{seeds} cells, {what}", "CPU s a cell", times, [("alone", "one process")])
    show(page, f"plays {seeds} {what}", lines)


def growth(overrides: Sequence[str], page: Path | None) -> None:
    """Seconds a cell and memory of lockstep in one process, by the number of cells.

    Each count has a process of its own, forked from this one when everything is imported.
    """
    configs = configs_of(overrides, COUNTS[-1] // 8)
    timed(one_by_one, configs[:1])  # warms up
    lines = ["| cells | s a cell | MB above what is imported |", "|---|---|---|"]
    for count in COUNTS:
        receiver, sender = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_report, args=(configs[:count], sender)
        )
        process.start()
        sender.close()  # so that a process that fails leaves an end of file
        seconds, memory = receiver.recv()
        process.join()
        lines.append(f"| {count} | {seconds / count:.3f} | {memory:.0f} |")
    show(page, "growth", lines)


def _report(cells: Sequence[DictConfig], pipe: Any) -> None:
    before = peak_memory_mb() or 0
    seconds = timed(trained, cells)
    pipe.send((seconds, (peak_memory_mb() or 0) - before))


def trained(cells: Sequence[DictConfig], folder: Path) -> None:
    """Train as the launcher does: a cell that is the only one has nothing to go with."""
    if len(cells) == 1:
        one_by_one(cells, folder)
    else:
        in_lockstep(cells, folder)


def one_by_one(cells: Sequence[DictConfig], folder: Path) -> None:
    """Train one after the other, as Hydra's own launcher does."""
    for number, config in enumerate(cells):
        train(config, folder / str(number))


def side_by_side(cells: Sequence[DictConfig], folder: Path) -> None:
    """Train in two processes that stay, as Hydra's launcher for joblib does."""
    jobs = [delayed(train)(config, folder / str(number)) for number, config in enumerate(cells)]
    Parallel(n_jobs=2)(jobs)


def in_lockstep(
    cells: Sequence[DictConfig], folder: Path, workers: int = 1, *, capture: bool = True
) -> None:
    """Train together."""
    placed = [Job(config, folder / str(number)) for number, config in enumerate(cells)]
    left = train_jobs(placed, workers=workers, capture=capture)
    if left:
        raise RuntimeError(f"not in lockstep: {left[0][1]}")


def timed(way: Callable[[Sequence[DictConfig], Path], None], cells: Sequence[DictConfig]) -> float:
    """Seconds that a way takes for these cells, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        way(cells, Path(folder))
        return time.perf_counter() - start
