"""Time from the command to its first training step, and of the imports alone."""

import tempfile
from pathlib import Path

from benchmarks.page import ratio_table, show
from benchmarks.timing import of_command

IMPORTS = "import torch, torchvision, pytorch_lightning"
# runs the command but ends the process at the first step
FIRST_STEP = """
import os, sys
from losslab import cli
from losslab.modules.supervised import SupervisedModule
SupervisedModule.training_step = lambda module, batch, batch_index: os._exit(0)
cli.run(sys.argv[1:])
sys.exit("no training step was reached")
"""


def start(rounds: int, page: Path | None) -> None:
    """Measure seconds to the first step of ``python train.py loss=focal``, and of the imports."""
    times: dict[str, list[float]] = {"imports": [], "first step": []}
    for turn in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            commands = {
                "imports": [IMPORTS],
                "first step": [FIRST_STEP, "loss=focal", f"paths.log_dir={folder}"],
            }
            for name, given in commands.items():
                seconds = of_command("-c", *given)
                if turn:  # the first round reads the files from disk
                    times[name].append(seconds)
    times["first step, less the imports"] = [b - a for a, b in zip(*times.values(), strict=True)]
    show(page, "start", ratio_table("python train.py loss=focal", "s", times, []))
