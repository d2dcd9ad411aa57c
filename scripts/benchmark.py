"""Measure the speed of losslab and of other libraries: python scripts/benchmark.py losses."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.batches import batches
from benchmarks.guard import guard
from benchmarks.losses import losses
from benchmarks.many import many
from benchmarks.start import cost, start
from benchmarks.sweep import growth, rl, sweep
from benchmarks.training import training
from benchmarks.transport import transport
from benchmarks.whole import whole

MEASUREMENTS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "training": lambda given: training(given.data_dir, given.rounds, given.page),
    "losses": lambda given: losses(given.rounds, given.keep, given.page, given.only),
    "guard": lambda given: guard(given.rounds, given.page, update=given.update),
    "batches": lambda given: batches(given.rounds, given.keep, given.page),
    "sweep": lambda given: sweep(given.rounds, given.overrides or SMALL, given.seeds, given.page),
    "rl": lambda given: rl(given.rounds, given.overrides or RL, given.seeds, given.page),
    "growth": lambda given: growth(given.overrides or SMALL, 8 * given.seeds, given.page),
    "start": lambda given: start(given.rounds, given.page),
    "cost": lambda given: cost(given.rounds, given.page),
    "many": lambda given: many(given.page),
    "transport": lambda given: transport(given.rounds, given.page),
    "whole": lambda given: whole(given.data_dir, given.rounds, given.page),
}
SMALL = ["data=digits", "model=mlp"]
RL = ["loss=q_learning", "trainer.max_epochs=2"]


def main() -> int:
    """Run the chosen measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=list(MEASUREMENTS))
    parser.add_argument(
        "--data-dir", default="data", help="folder of MNIST, for training and whole"
    )
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each side, in turn")
    parser.add_argument("--keep", action="store_true", help="keep freed memory, as allocator=keep")
    parser.add_argument("--page", type=Path, help="page to write the table to: docs/performance.md")
    parser.add_argument("--only", help="measure only this loss, for losses: focal")
    parser.add_argument(
        "--update", action="store_true", help="replace the committed ratios, for guard"
    )
    parser.add_argument("--seeds", type=int, default=10, help="seeds per loss, for sweeps")
    parser.add_argument(
        "overrides", nargs="*", help="overrides of sweeps: data=mnist model.hidden=[128]"
    )
    given = parser.parse_intermixed_args()
    return MEASUREMENTS[given.what](given) or 0


if __name__ == "__main__":
    sys.exit(main())
