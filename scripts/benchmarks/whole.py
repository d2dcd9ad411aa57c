"""Time of a whole sweep command, compared with the same runs of a typical template."""

import tempfile
from pathlib import Path

from benchmarks.page import ratio_table, show
from benchmarks.timing import ROOT, of_command

LOSSES = "cross_entropy,categorical_cross_entropy,bce,hinge,focal"
SEEDS = 6
RUNS = SEEDS * len(LOSSES.split(","))


def whole(data_dir: str, rounds: int, page: Path | None) -> None:
    """Measure seconds of 30 runs of 2,000 steps, MLP 784-128-10, including imports and report.

    Lockstep trains all of them; the template one in its own process, whose time counts 30 times.
    """
    mnist = str(Path(data_dir).resolve())
    times: dict[str, list[float]] = {"lockstep": [], "the usual way": []}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            times["lockstep"].append(of_command("train.py", "-m", *lockstep(mnist, folder)))
            usual = ["-m", "benchmarks.usual", mnist, folder, str(turn)]
            times["the usual way"].append(of_command(*usual, folder=ROOT / "scripts") * RUNS)
    name = f"{RUNS} runs of 2,000 steps, 784-128-10, whole commands"
    show(page, "whole", ratio_table(name, "s", times, [("the usual way", "lockstep")]))


def lockstep(data_dir: str, folder: str) -> list[str]:
    """Return the overrides of the sweep."""
    return [
        "hydra/launcher=lockstep",
        f"loss={LOSSES}",
        f"seed=range({SEEDS})",
        "data=mnist",
        f"paths.data_dir={data_dir}",
        "model=mlp",
        "model.hidden=[128]",
        "task.epochs=20",
        "trainer=cpu",
        f"paths.log_dir={folder}",
    ]
