"""Measure losslab against peers in one run: python scripts/benchmark.py losses, or another."""

import argparse
import sys

from benchmarks.batches import batches
from benchmarks.losses import losses
from benchmarks.sweep import growth, sweep
from benchmarks.training import training


def main() -> int:
    """Choose the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["training", "losses", "batches", "sweep", "growth"])
    parser.add_argument("--data-dir", default="data", help="where MNIST lies, for training")
    parser.add_argument("--rounds", type=int, default=9, help="of each side, in turn")
    parser.add_argument("--keep", action="store_true", help="freed memory kept: allocator=keep")
    parser.add_argument("--seeds", type=int, default=10, help="of a sweep, a loss")
    parser.add_argument("overrides", nargs="*", help="of a sweep: data=mnist model.hidden=[128]")
    arguments = parser.parse_intermixed_args()
    overrides = arguments.overrides or ["data=digits", "model=mlp"]
    if arguments.what == "training":
        training(arguments.data_dir, arguments.rounds)
    elif arguments.what == "losses":
        losses(arguments.rounds, keep=arguments.keep)
    elif arguments.what == "batches":
        batches(arguments.rounds, keep=arguments.keep)
    elif arguments.what == "sweep":
        sweep(arguments.rounds, overrides, arguments.seeds)
    else:
        growth(overrides)
    return 0


if __name__ == "__main__":
    sys.exit(main())
