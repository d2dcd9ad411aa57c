"""Lockstep against the same cells trained alone."""

import statistics
import tempfile
import time
from pathlib import Path

from losslab.composition import cells_of, compose_cells
from losslab.lockstep.grouping import Cell
from losslab.lockstep.sweep import train_cells
from losslab.training import train


def sweep(rounds: int, model: str, seeds: int) -> None:
    """Seconds a cell on digits, 4 losses and some seeds: lockstep in one and two processes, alone.

    Each round trains all cells in lockstep each way and one cell of each loss alone.
    """
    overrides = [
        "loss=cross_entropy,focal,hinge,bce",
        f"seed=range({seeds})",
        "data=digits",
        f"model={model}",
        "trainer=cpu",
        "callbacks=quiet",
    ] + (["model.hidden=[64]"] if model == "mlp" else [])
    configs = [cell.config for cell in compose_cells(cells_of(overrides))]
    times: dict[str, list[float]] = {"alone": [], "one process": [], "two processes": []}
    for _ in range(rounds + 1):  # the first round warms up
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            for place, config in enumerate(configs[::seeds]):
                train(config, Path(folder) / str(place))
            times["alone"].append((time.perf_counter() - start) / len(configs[::seeds]))
        for workers, name in ((1, "one process"), (2, "two processes")):
            with tempfile.TemporaryDirectory() as folder:
                own = [Cell(c, Path(folder) / str(place)) for place, c in enumerate(configs)]
                start = time.perf_counter()
                assert not train_cells(own, workers=workers)
                times[name].append((time.perf_counter() - start) / len(own))
    print(f"{len(configs)} cells on digits, {model}, seconds a cell: median (min to max)")
    for name, values in times.items():
        low, middle, high = min(values[1:]), statistics.median(values[1:]), max(values[1:])
        ratio = statistics.median(
            a / b for a, b in zip(times["alone"][1:], values[1:], strict=True)
        )
        print(f"  {name:<14}{middle:8.3f}  ({low:.3f} to {high:.3f})  {ratio:.1f} times as fast")
