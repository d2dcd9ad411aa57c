"""A whole sweep, as it is typed, beside the same runs the usual way."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.page import beside, show

ROOT = Path(__file__).resolve().parents[2]
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
            times["lockstep"].append(seconds(lockstep(mnist, folder)))
            usual = [
                sys.executable,
                "-m",
                "benchmarks.usual",
                str(Path(data_dir).resolve()),
                folder,
                str(turn),
            ]
            times["the usual way"].append(seconds(usual) * CELLS)
    name = f"{CELLS} runs of 2,000 steps, 784-128-10, whole commands"
    show(page, "whole", beside(name, "s", times, [("the usual way", "lockstep")]))


def lockstep(data_dir: str, folder: str) -> list[str]:
    """The command of the sweep."""
    options = [
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
    return [sys.executable, str(ROOT / "train.py"), "-m", *options]


def seconds(command: list[str]) -> float:
    """How long a command takes; what it prints is dropped.

    Raises:
        CalledProcessError: if it fails.
    """
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT / "scripts")
    return time.perf_counter() - start
