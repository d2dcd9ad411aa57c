import numpy as np
import pytest
import torch
from torch.testing import assert_close

from losslab.losses import MAELoss, MSELoss, ReconstructionLoss


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 5, 1, 4, 3, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize(("p", "same"), [(1, MAELoss), (2, MSELoss)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_per_element_it_is_the_regression_loss(images, p, same, reduction):
    expected = same(reduction=reduction)(*images)
    assert_close(ReconstructionLoss(p, reduction=reduction)(*images), expected, rtol=0, atol=0)


@pytest.mark.parametrize("p", [1, 2])
def test_per_sample_it_is_the_mean_of_sums(images, p):
    error = np.abs(images[0].numpy() - images[1].numpy()) ** p
    sums = error.reshape(5, -1).sum(axis=1)
    loss = ReconstructionLoss(p, per="sample", reduction="none")
    assert_close(loss(*images).numpy(), sums)
    assert_close(ReconstructionLoss(p, per="sample")(*images).item(), sums.mean())


@pytest.mark.parametrize(("p", "best"), [(1, np.median), (2, np.mean)], ids=["median", "mean"])
def test_the_best_constant_is_the_median_or_the_mean(p, best):
    originals = torch.tensor([0.0, 0.1, 0.2, 0.2, 9.0], dtype=torch.float64)
    constants = torch.linspace(0, 3, 301, dtype=torch.float64)
    loss = ReconstructionLoss(p)
    values = torch.stack([loss(c.expand(5), originals) for c in constants])
    assert_close(constants[values.argmin()].item(), best(originals.numpy()), rtol=0, atol=0.005)


def test_one_number_a_sample_is_a_sample():
    values = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])
    assert ReconstructionLoss(per="sample", reduction="none")(*values).tolist() == [1, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"p": 3}, "p must be one of 1, 2, got 3"), ({"per": "pixel"}, "per must be one of")],
    ids=["p", "per"],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionLoss(**options)


def test_shapes_that_torch_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"target must have the shape of prediction, \(5, 1\)"):
        ReconstructionLoss()(torch.zeros(5, 1), torch.zeros(5))
