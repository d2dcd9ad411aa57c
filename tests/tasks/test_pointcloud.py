import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from losslab.data.digits import Digits
from losslab.data.pointcloud import PointCloud
from losslab.losses import ChamferLoss, EMDLoss
from losslab.tasks import PointCloudTask


@pytest.fixture(scope="module")
def data():
    data = PointCloud(n=50, points=40)
    data.setup()
    return data


def test_the_clouds_are_their_own_target(data):
    inputs, target = PointCloudTask(data).pair((data.test.inputs, data.test.targets))
    assert inputs is target


def test_metrics(data):
    target = data.test.inputs
    prediction = target + 0.1 * torch.randn(
        target.shape, generator=torch.Generator().manual_seed(0)
    )
    values = PointCloudTask(data, emd_clouds=4).metrics(prediction, target, None, {})
    assert list(values) == ["chamfer", "emd", "f_score", "coverage"]
    distances = [cdist(x, y) for x, y in zip(prediction.numpy(), target.numpy(), strict=True)]
    chamfer = [(d.min(0) ** 2).mean() + (d.min(1) ** 2).mean() for d in distances]
    assert values["chamfer"].item() == pytest.approx(np.mean(chamfer), rel=1e-4)
    matched = [d[linear_sum_assignment(d)].mean() for d in distances[:4]]
    assert values["emd"].item() == pytest.approx(np.mean(matched), rel=1e-4)
    assert 0 < values["coverage"] < 1
    assert 0 < values["f_score"] < 1


@pytest.mark.parametrize("loss", [ChamferLoss(), EMDLoss(), EMDLoss(p=2)], ids=str)
def test_identical_clouds_give_0_and_a_finite_gradient(data, loss):
    cloud = data.test.inputs.clone().requires_grad_()
    value = loss(cloud, data.test.inputs)
    value.backward()
    assert value == 0
    assert cloud.grad.isfinite().all()


def test_perfect_reconstructions(data):
    target = data.test.inputs
    values = PointCloudTask(data).metrics(target.flip(1), target, None, {})
    assert {name: value.item() for name, value in values.items()} == {
        "chamfer": 0,
        "emd": 0,
        "f_score": 1,
        "coverage": 1,
    }


def test_the_picture_has_five_inputs_and_their_reconstructions(data):
    clouds = data.test.inputs
    shown = PointCloudTask(data).figures(clouds, 2 * clouds, clouds, torch.nn.Identity())["clouds"]
    np.testing.assert_array_equal(shown.given, clouds[:5])
    np.testing.assert_array_equal(shown.made, 2 * clouds[:5])


def test_options_and_data_that_do_not_fit(data):
    with pytest.raises(ValueError, match="threshold must be > 0, got 0"):
        PointCloudTask(data, threshold=0)
    with pytest.raises(ValueError, match="emd_clouds must be >= 1, got 0"):
        PointCloudTask(data, emd_clouds=0)
    digits = Digits()
    digits.setup()
    with pytest.raises(ValueError, match=r"expects clouds .* got samples of shape \(1, 8, 8\)"):
        PointCloudTask(digits)
