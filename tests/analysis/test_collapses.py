"""Which runs are called collapsed, and that ordinary runs are not."""

import numpy as np
import pytest

from losslab.analysis.collapses import collapsed
from losslab.metrics.labels import metric


@pytest.mark.parametrize(
    ("name", "values", "seeds"),
    [
        ("accuracy", [0.970, 0.972, 0.968, 0.971, 0.969, 0.82], (5,)),
        ("accuracy", [0.98, 0.97, 0.98, 0.93, 0.97, 0.98], ()),  # bad, but not far
        ("accuracy", [0.98, 0.97, 0.98, 0.1135, 0.97, 0.98], (3,)),
        ("accuracy", [0.98, 0.10, 0.98, 0.11, 0.97, 0.98], (1, 3)),
        ("accuracy", [0.10, 0.11, 0.10, 0.09, 0.10, 0.11], ()),  # nothing learns at all
        ("accuracy", [0.98, 0.10, 0.98], ()),  # three seeds tell too little
        ("auroc", [0.97, 0.96, 0.5, 0.97], (2,)),
        ("mae", [1.0, 1.1, 9.0, 1.05, 0.95], (2,)),
        ("entropy", [1.0, 1.1, 9.0, 1.05, 0.95], ()),  # neither direction is better
    ],
)
def test_runs_far_below_what_the_loss_reaches(name, values, seeds):
    assert collapsed(dict(enumerate(values)), metric(name)) == seeds


@pytest.mark.parametrize("n", [4, 8, 20])
def test_ordinary_runs_are_not_called_collapsed(n):
    stream = np.random.default_rng(n)
    accuracies = 0.9 + 0.02 * stream.standard_t(3, size=(500, n))
    errors = 1 + 0.1 * stream.standard_normal(size=(500, n))
    for name, table in (("accuracy", accuracies), ("mae", errors)):
        called = [bool(collapsed(dict(enumerate(row)), metric(name))) for row in table]
        assert np.mean(called) <= 0.02
