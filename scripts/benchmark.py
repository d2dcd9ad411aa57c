"""Measure losslab against peers in one run: python scripts/benchmark.py losses, or another."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.batches import batches
from benchmarks.losses import losses
from benchmarks.start import start
from benchmarks.sweep import growth, plays, sweep
from benchmarks.training import training
from benchmarks.whole import whole

MEASUREMENTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "training": lambda given: training(given.data_dir, given.rounds, given.page),
    "losses": lambda given: losses(given.rounds, given.keep, given.page, given.only),
    "batches": lambda given: batches(given.rounds, given.keep, given.page),
    "sweep": lambda given: sweep(given.rounds, given.overrides or SMALL, given.seeds, given.page),
    "plays": lambda given: plays(given.rounds, given.overrides or PLAYED, given.seeds, given.page),
    "growth": lambda given: growth(given.overrides or SMALL, given.page),
    "start": lambda given: start(given.rounds, given.page),
    "whole": lambda given: whole(given.data_dir, given.rounds, given.page),
}
SMALL = ["data=digits", "model=mlp"]
PLAYED = ["loss=q_learning", "trainer.max_epochs=2"]


def main() -> int:
    """Choose the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=list(MEASUREMENTS))
    parser.add_argument("--data-dir", default="data", help="MNIST's, for training and whole")
    parser.add_argument("--rounds", type=int, default=9, help="of each side, in turn")
    parser.add_argument("--keep", action="store_true", help="freed memory kept: allocator=keep")
    parser.add_argument("--page", type=Path, help="where the table goes: docs/performance.md")
    parser.add_argument("--only", help="of losses, the one that is measured: focal")
    parser.add_argument("--seeds", type=int, default=10, help="of a sweep, a loss")
    parser.add_argument("overrides", nargs="*", help="of a sweep: data=mnist model.hidden=[128]")
    given = parser.parse_intermixed_args()
    MEASUREMENTS[given.what](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
