import math

import pytest
import torch
from sklearn.metrics import root_mean_squared_error
from torch.testing import assert_close

from losslab.losses import HuberLoss, MAELoss, MSELoss, RMSELoss, SmoothL1Loss, SSELoss
from losslab.losses.functional import regression

LOSSES = (SSELoss, MSELoss, RMSELoss, MAELoss, HuberLoss, SmoothL1Loss)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 50, 2, generator=generator, dtype=torch.float64) * 3)


def test_huber_is_half_the_mse_when_delta_is_large(batch):
    assert_close(HuberLoss(delta=1e3)(*batch), MSELoss()(*batch) / 2)


def test_huber_by_delta_is_the_mae_when_delta_is_small(batch):
    assert_close(HuberLoss(delta=1e-9)(*batch) / 1e-9, MAELoss()(*batch), rtol=1e-8, atol=0)


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_smooth_l1_is_huber_by_beta(batch, beta):
    assert_close(SmoothL1Loss(beta)(*batch), HuberLoss(delta=beta)(*batch) / beta)


def test_smooth_l1_without_beta_is_l1(batch):
    assert_close(SmoothL1Loss(beta=0)(*batch), MAELoss()(*batch), rtol=0, atol=0)


def test_sse_is_the_sum_of_the_mse(batch):
    assert_close(SSELoss()(*batch), MSELoss(reduction="sum")(*batch), rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e-3, 1.0, 1e19, 1e30])
def test_rmse_is_exact_at_every_scale(scale):
    generator = torch.Generator().manual_seed(0)
    prediction = (torch.randn(1000, generator=generator) * scale).requires_grad_()
    double = prediction.detach().double()
    value = RMSELoss()(prediction, torch.zeros(1000))
    value.backward()
    expected = root_mean_squared_error(torch.zeros(1000), double / scale) * scale
    assert_close(value.item(), expected, rtol=1e-6, atol=0)
    assert_close(prediction.grad.double(), double / (1000 * expected), rtol=2e-6, atol=0)


def test_rmse_of_a_perfect_prediction_is_0_with_gradient_0():
    prediction = torch.full((4,), 3.0, requires_grad=True)
    value = RMSELoss()(prediction, torch.full((4,), 3.0))
    value.backward()
    assert value.item() == 0
    assert prediction.grad.tolist() == [0, 0, 0, 0]


def test_rmse_has_no_hidden_epsilon():
    assert_close(RMSELoss()(torch.full((4,), 1e-3), torch.zeros(4)).item(), 1e-3)


def test_mae_gradient_at_0_is_0():
    prediction = torch.tensor([1.0, 2.0], requires_grad=True)
    MAELoss(reduction="sum")(prediction, torch.tensor([1.0, 0.0])).backward()
    assert prediction.grad.tolist() == [0, 1]


def test_half_precision_squares_do_not_overflow():
    prediction = torch.tensor([300.0], dtype=torch.float16)
    assert MSELoss()(prediction, torch.zeros(1, dtype=torch.float16)).item() == 90000


def test_integer_targets_are_read_as_numbers():
    assert MSELoss()(torch.tensor([1.0, 4.0]), torch.tensor([0, 2])).item() == 2.5


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(
    ("prediction", "target"), [((5, 1), (5,)), ((5,), (5, 1)), ((5, 2), (5, 1)), ((5,), (1,))]
)
def test_shapes_that_torch_would_broadcast_are_refused(loss, prediction, target):
    with pytest.raises(ValueError, match="target must have the shape of prediction") as error:
        loss()(torch.zeros(prediction), torch.zeros(target))
    assert str(prediction) in str(error.value)
    assert str(target) in str(error.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HuberLoss(delta=0), "delta must be > 0, got 0"),
        (lambda: HuberLoss(delta=float("nan")), "delta must be > 0, got nan"),
        (lambda: SmoothL1Loss(beta=-1), "beta must be >= 0, got -1"),
        (lambda: MSELoss(reduction="avg"), "reduction must be one of 'mean', 'sum', 'none'"),
        (lambda: SSELoss(reduction="mean"), "reduction must be one of 'sum', 'none', got 'mean'"),
        (lambda: RMSELoss(reduction="sum"), "reduction must be one of 'mean', got 'sum'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        build()


def test_rmse_of_large_and_small_differences_is_finite():
    value = RMSELoss()(torch.tensor([1e30, 1.0, 1e-30]), torch.zeros(3))
    assert value.item() == pytest.approx(1e30 / math.sqrt(3))


@pytest.mark.parametrize(
    "formula", [regression.squared_error, regression.absolute_error, regression.huber]
)
def test_elements_in_half_precision_are_not_summed(formula):
    values = torch.tensor([[3.0, -0.5]], dtype=torch.bfloat16)
    assert formula(values, torch.zeros_like(values)).shape == (1, 2)


def test_the_bends_of_huber_and_smooth_l1_are_at_1_unless_told(batch):
    assert_close(regression.huber(*batch), regression.huber(*batch, 1.0))
    assert_close(regression.smooth_l1(*batch), regression.smooth_l1(*batch, 1.0))
