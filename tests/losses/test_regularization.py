import pytest
import torch
from torch import nn
from torch.testing import assert_close

from losslab.losses import ElasticNetRegularizer, L1Regularizer, L2Regularizer

KINDS = (L1Regularizer, L2Regularizer, ElasticNetRegularizer)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4, 2))


GRADIENTS = {
    "l1": (L1Regularizer(0.5), lambda w: 0.5 * w.sign()),
    "l2": (L2Regularizer(0.5), lambda w: 0.5 * w),
    "elastic net": (
        ElasticNetRegularizer(0.5, l1_ratio=0.25),
        lambda w: 0.5 * (0.25 * w.sign() + 0.75 * w),
    ),
}


@pytest.mark.parametrize(("regularizer", "expected"), GRADIENTS.values(), ids=GRADIENTS)
def test_gradients_are_those_of_the_formula(regularizer, expected):
    weights = {"a": torch.tensor([[2.0, -3.0]]), "b": torch.tensor([0.0, 0.5])}
    gradients = torch.func.grad(regularizer)(weights)
    assert_close(gradients, {name: expected(weight) for name, weight in weights.items()})


VALUES = {
    "l1": (L1Regularizer(0.1), 0.6),
    "l2": (L2Regularizer(0.1), 0.7),
    "elastic net": (ElasticNetRegularizer(0.1, l1_ratio=0.5), 0.65),
}


@pytest.mark.parametrize(("regularizer", "expected"), VALUES.values(), ids=VALUES)
def test_values_are_sums_over_all_weights(regularizer, expected):
    assert regularizer({"a": torch.tensor([1.0, -2.0]), "b": torch.tensor([[3.0]])}).item() == (
        pytest.approx(expected)
    )


def test_elastic_net_ends_in_l1_and_l2(network):
    weights = dict(network.named_parameters())
    assert_close(ElasticNetRegularizer(0.1, l1_ratio=1)(weights), L1Regularizer(0.1)(weights))
    assert_close(ElasticNetRegularizer(0.1, l1_ratio=0)(weights), L2Regularizer(0.1)(weights))


SELECTIONS = {
    "weights": ({}, {"0.weight", "3.weight"}),
    "biases": ({"include_bias": True}, {"0.weight", "0.bias", "3.weight", "3.bias"}),
    "scales": ({"include_normalisation": True}, {"0.weight", "1.weight", "3.weight"}),
    "all": (
        {"include_bias": True, "include_normalisation": True},
        {"0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"},
    ),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("options", "names"), SELECTIONS.values(), ids=SELECTIONS)
def test_biases_and_normalisation_are_left_out_unless_asked_for(network, kind, options, names):
    assert kind(**options).penalised(network).keys() == names


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm1d(4), nn.InstanceNorm1d(4, affine=True), nn.LayerNorm(4), nn.RMSNorm(4)],
    ids=lambda layer: type(layer).__name__,
)
def test_every_normalisation_of_torch_is_known(layer):
    assert L2Regularizer().penalised(nn.Sequential(layer)) == {}


@pytest.mark.parametrize(
    "layer", [nn.GRU(2, 3), nn.MultiheadAttention(4, 2)], ids=lambda layer: type(layer).__name__
)
def test_biases_by_other_names_are_left_out(layer):
    names = L2Regularizer().penalised(layer)
    assert names
    assert not any("bias" in name for name in names)


def test_a_shared_weight_is_penalised_once():
    layer = nn.Linear(3, 3)
    assert list(L2Regularizer().penalised(nn.Sequential(layer, layer))) == ["0.weight"]


def test_penalised_weights_get_the_gradient(network):
    regularizer = L2Regularizer(0.5)
    regularizer(regularizer.penalised(network)).backward()
    assert_close(network[3].weight.grad, 0.5 * network[3].weight.detach())
    assert network[3].bias.grad is None
    assert network[1].weight.grad is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_stacked_networks_have_one_penalty_each(network, kind):
    weights = kind().penalised(network)
    stacked = {name: torch.stack([weight, 2 * weight]) for name, weight in weights.items()}
    penalties = torch.func.vmap(kind())(stacked)
    doubled = {name: 2 * weight for name, weight in weights.items()}
    assert_close(penalties, torch.stack([kind()(weights), kind()(doubled)]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nothing_to_penalise_is_0(kind):
    assert kind()({}).item() == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: L1Regularizer(strength=-1), "strength must be >= 0, got -1"),
        (lambda: ElasticNetRegularizer(l1_ratio=2), "l1_ratio must be between 0 and 1, got 2"),
    ],
    ids=["strength", "l1_ratio"],
)
def test_options_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
