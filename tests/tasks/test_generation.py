"""Generation: the metrics against known cases, and the game's own step."""

import numpy as np
import pytest
import torch

from losslab.data.ring import Ring
from losslab.metrics.samples import covered_modes, frechet_distance, precision_recall
from losslab.tasks.generation import GenerationTask


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_frechet_of_a_scaled_and_shifted_cloud(scale, shift):
    # diagonal case in closed form: d shift^2 + sum over axes of (sd - scale sd)^2
    points = normal(500, 3)
    points = (points - points.mean(0)) @ torch.linalg.inv(
        torch.linalg.cholesky(torch.cov(points.T)).T
    )
    expected = 3 * shift**2 + 3 * (scale - 1) ** 2
    assert frechet_distance(points, scale * points + shift) == pytest.approx(expected, abs=1e-6)


def test_precision_and_recall_tell_collapse_from_noise():
    real = normal(400, 2)
    assert precision_recall(real, real) == (1.0, 1.0)
    collapsed = 0.01 * normal(400, 2, seed=1)
    precision, recall = precision_recall(real, collapsed)
    assert precision > 0.95
    assert recall < 0.1
    wide = 10 * normal(400, 2, seed=2)
    assert precision_recall(real, wide)[0] < 0.2


@pytest.mark.parametrize(
    ("classes", "count"), [([0, 1, 2], 3), ([0] * 100 + [1], 1), ([-1, -1], 0)]
)
def test_covered_modes(classes, count):
    assert covered_modes(torch.tensor(classes), 3) == count


def test_real_points_cover_every_mode():
    data = Ring(n=2000)
    data.setup()
    task = GenerationTask(data)
    values = task.evaluate(data.val.inputs, data.test.inputs)
    assert values["modes"] == 8
    assert values["frechet"] < 1.0
    one = data.test.inputs[data.test.targets == 3]
    assert task.evaluate(data.val.inputs, one.repeat(10, 1))["modes"] == 1
    lost = task.evaluate(data.val.inputs, data.test.inputs[data.test.targets < 4])
    assert lost["frechet"] > 10 * values["frechet"]
    assert np.isfinite(lost["frechet"])
