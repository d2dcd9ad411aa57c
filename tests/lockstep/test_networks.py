"""Networks with state of their own: stacked if they give what they give alone, else left out."""

import pytest
import torch

from kinds_of_run import config_of
from losslab.lockstep.grouping import reason_against
from losslab.lockstep.passes import Unstackable
from losslab.lockstep.stack import Stack
from losslab.models.freezing import freeze
from small_networks import BatchNet, Centered, Counting, Recurrent


def networks(make, count=3):
    torch.manual_seed(0)
    return [make() for _ in range(count)]


IMAGES = torch.randn(6, 1, 8, 8)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Recurrent(3), "cannot be mapped: Batching rule not implemented for aten::lstm"),
        (lambda: Counting((1, 8, 8), 3), "changes its attribute passes in a pass"),
        (lambda: Centered(3, in_place=False), "gives other running statistics when it is mapped"),
    ],
    ids=["recurrent", "counting", "new buffers"],
)
def test_a_network_that_would_train_differently_is_left_out(make, reason):
    with pytest.raises(Unstackable, match=reason):
        Stack(networks(make), IMAGES)


@pytest.mark.parametrize(
    "make", [lambda: BatchNet((1, 8, 8), 3), lambda: Centered(3, in_place=True)]
)
def test_statistics_are_those_of_each_network(make):
    alone = networks(make)
    stack = Stack(alone, IMAGES)
    assert stack.keeps_statistics
    for number in range(2):
        inputs = torch.stack([IMAGES.roll(number + row, 0)[:5] for row in range(3)])
        together = stack(inputs, {})
        for row, network in enumerate(alone):
            torch.testing.assert_close(together[row], network(inputs[row]), rtol=1e-4, atol=1e-5)
    for row, network in enumerate(alone):
        for name, value in network.named_buffers():
            torch.testing.assert_close(stack.row(row)[name], value, rtol=1e-5, atol=1e-6)


def test_steps_that_are_repeated_count_once():
    stack = Stack(networks(lambda: BatchNet((1, 8, 8), 3)), IMAGES)
    before = {name: value.clone() for name, value in stack.row(1).items()}
    statistics = stack.statistics()
    stack(IMAGES.expand(3, *IMAGES.shape), {})
    assert not torch.equal(before["1.running_mean"], stack.row(1)["1.running_mean"])
    stack.restore(statistics)
    assert all(torch.equal(value, before[name]) for name, value in stack.row(1).items())


def test_frozen_parts_are_stacked_but_not_trained():
    own = networks(lambda: BatchNet((1, 8, 8), 3))
    for network in own:
        freeze(network, "backbone")
    stack = Stack(own, IMAGES)
    assert list(stack.parameters) == ["9.weight", "9.bias"]
    assert not stack.keeps_statistics
    stack.keep([2, 0])
    assert torch.equal(stack.row(0)["3.weight"], own[2][3].weight)


@pytest.mark.parametrize("option", ["model.channels_last=true", "optimizer.layer_decay=0.75"])
def test_options_of_single_networks_are_named(option):
    assert reason_against(config_of("data=digits", "loss=bce")) is None
    reason = reason_against(config_of("data=digits", "loss=bce", option))
    assert str(reason).lower() == f"{option} supports only single networks"
