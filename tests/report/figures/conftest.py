"""Made-up sweeps to draw."""

import numpy as np
import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.runs.curves import Curves

EPOCHS = 4


def with_curves(run, final, *, epochs=EPOCHS, gradient=1.0):
    """The run with curves that fall to ``final``: ``final * epochs / epoch``."""
    rows = []
    for epoch in range(epochs):
        mae = final * epochs / (epoch + 1)
        step = 10 * (epoch + 1)
        rows += [
            (epoch, step, 1.0, "val/mae", mae),
            (epoch, step, 1.0, "val/ref/mse", mae**2),
            (epoch, step, 1.0, "train/grad_norm", gradient),
        ]
    run.__dict__["read_columns"] = lambda: Curves(*map(np.array, zip(*rows, strict=True)))
    return run


@pytest.fixture
def sweep(made_up):
    """Two losses of three seeds; huber's errors are half of mse's: 0.5, 0.55, 0.6."""
    levels = {"mse": 1.0, "huber": 0.5}

    def run(loss, seed):
        mae = levels[loss] * (1 + 0.1 * seed)
        return with_curves(made_up(loss, seed, mae), mae, gradient=10 * mae)

    return [run(loss, seed) for loss in levels for seed in range(3)]


@pytest.fixture
def table(sweep):
    """The comparison's only table; huber is ahead."""
    return table_of(sweep)


def table_of(runs, **options):
    """The only table of a comparison of runs."""
    [table] = compare(Collection(tuple(runs)), **options).tables
    return table


@pytest.fixture(name="table_of")
def _table_of():
    return table_of


@pytest.fixture(name="with_curves")
def _with_curves():
    return with_curves
