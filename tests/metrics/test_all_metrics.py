"""Every metric against a reference, on ordinary and on degenerate predictions, in all precisions.

A new metric in :mod:`losslab.metrics` needs a row in ``references.py``.
"""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from tests.metrics.references import REFERENCES, Case

from losslab import metrics

MODULES = [
    importlib.import_module(f"losslab.metrics.{found.name}")
    for found in pkgutil.iter_modules(metrics.__path__)
    if found.name not in ("labels", "monitors")  # names and units, no metrics
]
METRICS = [
    value
    for module in MODULES
    for name, value in vars(module).items()
    if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
]


def case(count=40, scale=1.0, labels=4, *, rounded=False, equal=False):
    stream = torch.Generator().manual_seed(count)
    logits = torch.randn(count, 4, generator=stream)
    target = torch.randint(labels, (count,), generator=stream)
    if labels == 1:
        target += 2
    logits = logits[:1].expand(count, 4) if equal else logits
    return scale * (2 * logits).round() if rounded else scale * logits, target


CASES = {
    "ordinary": case(),
    "confident": case(scale=40.0),
    "very confident": case(scale=1e4),
    "ties": case(rounded=True),
    "confident ties": case(rounded=True, scale=40.0),
    "all equal": case(equal=True),
    "one class": case(labels=1),
    "absent class": case(labels=3),
    "one sample": case(count=1),
}


def numbers(value):
    """Return a result, of several parts or one, as a flat array."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return np.concatenate([np.asarray(part, dtype=float).ravel() for part in parts])


def test_every_metric_has_a_reference():
    assert set(METRICS) == set(REFERENCES)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of scikit-learn, about what is undefined
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_metric_equals_its_reference(metric, name, dtype):
    logits, labels = CASES[name]
    given = Case(logits.to(dtype), labels)
    call, reference = REFERENCES[metric]
    expected = reference(given)
    if expected is ValueError:
        with pytest.raises(ValueError, match="needs"):
            call(given)
        return
    # distances of points are computed in the precision of the points
    np.testing.assert_allclose(numbers(call(given)), numbers(expected), rtol=1e-6, atol=1e-7)
