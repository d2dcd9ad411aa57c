"""Maps of made-up runs, over the share of outliers and the learning rate."""

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.analysis.loss_map import loss_map
from losslab.config.axes import Axis
from losslab.runs.map_file import SavedMap

X = Axis("data.outliers", (0, 0.1, 0.2))
Y = Axis("optimizer.lr", (0.01, 0.1), log=True)


@pytest.fixture
def saved():
    """Make a map of three times two cells."""

    def make(*losses, seeds, x=X, y=Y):
        typed = (f"loss={','.join(losses)}", "x=...", "y=...")
        return SavedMap(x, y, losses, tuple(range(seeds)), typed)

    return make


@pytest.fixture
def mapped(made_up, saved):
    """Compare runs whose error is a function of loss, place in the map and seed.

    A word instead of an error is how the run failed; runs without an error are left out.
    """

    def make(losses, error, seeds, x=X, y=Y, **options):
        runs = [
            made_up(loss, seed, **_outcome(error(loss, a, b, seed)), settings=_at(x, y, a, b))
            for loss in losses
            for a in x.values
            for b in y.values
            for seed in range(seeds)
            if error(loss, a, b, seed) is not None
        ]
        comparison = compare(Collection(tuple(runs)), **options)
        return loss_map(comparison, saved(*losses, seeds=seeds, x=x, y=y))

    return make


def _outcome(error):
    return {"kind": error} if isinstance(error, str) else {"mae": error}


def _at(x, y, a, b):
    return {x.key: a, y.key: b}
