"""Frozen parts get no gradient and keep their statistics; layers have their own learning rates."""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models

from losslab.models.freezing import freeze, head_of, normalizes_batches, set_training
from losslab.models.layers import decayed_groups, layers_of
from losslab.models.notes import notes_of
from small_networks import BatchNet


def frozen(network):
    return [name for name, value in network.named_parameters() if not value.requires_grad]


class Segmenter(nn.Module):
    def __init__(self, *names):
        super().__init__()
        for name in names:
            self.add_module(name, nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("network", "head"),
    [
        (models.resnet18, {"fc"}),
        (models.efficientnet_b0, {"classifier"}),
        (lambda: Segmenter("encoder", "decoder", "head"), {"decoder", "head"}),
        (lambda: Segmenter("backbone", "classifier"), {"classifier"}),
        (lambda: BatchNet((1, 8, 8), 3), {"9"}),
    ],
)
def test_the_head_is_found(network, head):
    with torch.device("meta"):
        made = network()
    assert {name.partition(".")[0] for name in head_of(made)} == head


def test_the_encoder_of_a_classifier_is_no_backbone():
    assert head_of(Segmenter("encoder", "heads")) == ["heads.1.weight", "heads.1.bias"]


def test_a_frozen_backbone_keeps_weights_and_statistics():
    network = BatchNet((1, 8, 8), 3)
    freeze(network, "backbone")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    set_training(network, training=True)
    images = torch.randn(5, 1, 8, 8)
    network(images).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is not None] == [
        "9.weight",
        "9.bias",
    ]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network[8].training  # dropout
    assert not normalizes_batches(network)
    assert notes_of(network) == ("frozen: 348 of 375 weights (model.freeze)",)


@pytest.mark.parametrize(
    ("parts", "names", "statistics"),
    [
        (["0", "1"], ["0.weight", "1.weight", "1.bias"], ("1",)),
        ([0, 1], ["0.weight", "1.weight", "1.bias"], ("1",)),
        (["[01].weight"], ["0.weight", "1.weight"], ()),
        (["*.bias"], ["1.bias", "4.bias", "9.bias"], ()),
    ],
)
def test_parts_are_named(parts, names, statistics):
    network = BatchNet((1, 8, 8), 3)
    freeze(network, parts)
    set_training(network, training=True)
    assert frozen(network) == names
    still = [name for name, layer in network.named_modules() if not layer.training]
    assert tuple(still) == statistics
    assert normalizes_batches(network)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        (["layer1"], "layer1 is not in the network, which has 0, 1, 3, 4, 9"),
        (["*"], "leaves no weight to train"),
    ],
)
def test_what_cannot_be_frozen_is_refused(parts, error):
    with pytest.raises(ValueError, match=error):
        freeze(BatchNet((1, 8, 8), 3), parts)
    with pytest.raises(ValueError, match="leaves no weight to freeze"):
        freeze(nn.Linear(2, 2), "backbone")


@pytest.mark.parametrize(
    ("network", "first", "last", "count"),
    [
        (models.resnet18, "conv1", "fc", 10),
        (models.convnext_tiny, "features.0.0", "classifier.2", 23),
        (models.vit_b_16, "conv_proj", "heads.head", 14),
        (models.efficientnet_b0, "features.0.0", "classifier.1", 19),
    ],
)
def test_layers_are_blocks(network, first, last, count):
    with torch.device("meta"):
        made = network()
    layers = layers_of(made)
    assert (layers[0][0], layers[-1][0], len(layers)) == (first, last, count)
    held = [parameter for _, own in layers for parameter in own]
    assert {id(each) for each in held} == {id(each) for each in made.parameters()}
    assert len(held) == len(list(made.parameters()))


def test_a_head_of_one_output_is_a_layer():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    assert [name for name, _ in layers_of(network)] == ["0", "1"]


def test_learning_rates_decay_from_the_head():
    network = BatchNet((1, 8, 8), 3)
    freeze(network, ["3"])  # the middle layer, without its normalization
    groups = decayed_groups(network, partial(torch.optim.SGD, lr=0.8), 0.5)
    sizes = [(group["name"], group["lr"], len(group["params"])) for group in groups]
    assert sizes == [("9", 0.8, 2), ("3", 0.4, 2), ("0", 0.2, 3)]
