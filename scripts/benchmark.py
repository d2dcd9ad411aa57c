"""Measure losslab against peers in one run: python scripts/benchmark.py losses, or another."""

import argparse
import sys

from benchmarks.batches import batches
from benchmarks.losses import losses
from benchmarks.sweep import sweep
from benchmarks.training import training


def main() -> int:
    """Choose the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["training", "losses", "batches", "sweep"])
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each, in turn")
    parser.add_argument("--keep", action="store_true", help="freed memory kept: allocator=keep")
    parser.add_argument("--model", default="mlp", help="of the sweep: mlp (64-64-10) or cnn")
    parser.add_argument("--seeds", type=int, default=10, help="of the sweep, a loss")
    arguments = parser.parse_args()
    if arguments.what == "training":
        training(arguments.data_dir, arguments.rounds)
    elif arguments.what == "losses":
        losses(arguments.rounds, keep=arguments.keep)
    elif arguments.what == "batches":
        batches(arguments.rounds, keep=arguments.keep)
    else:
        sweep(arguments.rounds, arguments.model, arguments.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
