"""A whole sweep, as it is typed, beside the same runs the usual way."""

import tempfile
from pathlib import Path

from benchmarks.page import beside, show
from benchmarks.timing import ROOT, of_command

LOSSES = "cross_entropy,categorical_cross_entropy,bce,hinge,focal"
SEEDS = 6
CELLS = SEEDS * len(LOSSES.split(","))


def whole(data_dir: str, rounds: int, page: Path | None) -> None:
    """Seconds of 30 runs of 2,000 steps, MLP 784-128-10, with imports, curves, report and all.

    Lockstep runs all of them; the usual way one, in its own process, which counts 30 times.
    """
    mnist = str(Path(data_dir).resolve())
    times: dict[str, list[float]] = {"lockstep": [], "the usual way": []}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            times["lockstep"].append(of_command("train.py", "-m", *lockstep(mnist, folder)))
            usual = ["-m", "benchmarks.usual", mnist, folder, str(turn)]
            times["the usual way"].append(of_command(*usual, folder=ROOT / "scripts") * CELLS)
    name = f"{CELLS} runs of 2,000 steps, 784-128-10, whole commands"
    show(page, "whole", beside(name, "s", times, [("the usual way", "lockstep")]))


def lockstep(data_dir: str, folder: str) -> list[str]:
    """The overrides of the sweep."""
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
