"""Labels with a known conditional distribution, counted."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from losslab.data.channel import Channel


def counted(**options):
    """Return the data and how often each class (columns) occurs for each input (rows)."""
    data = Channel(n=60_000, **options)
    data.setup()
    splits = data.train, data.val, data.test
    inputs = torch.cat([split.inputs for split in splits])
    _, sent = inputs.unique(dim=0, return_inverse=True)
    received = torch.cat([split.targets for split in splits])
    counts = np.zeros((int(sent.max()) + 1, data.outputs))
    np.add.at(counts, (sent.numpy(), received.numpy()), 1)
    return data, counts


@pytest.mark.parametrize(
    "options",
    [
        {"alphabet": 4, "noise": 0.2},
        {"alphabet": 2, "noise": 0.1, "symbols": 2},
        {"alphabet": 3, "noise": 0.3, "constant": True},
        {"alphabet": 3, "noise": 0.0},
    ],
    ids=str,
)
def test_entropy_and_information_are_those_of_the_samples(options):
    data, counts = counted(**options)
    conditional = entropy(counts, base=2, axis=1) @ counts.sum(axis=1) / counts.sum()
    assert data.entropy == pytest.approx(conditional, abs=0.01)
    information = entropy(counts.sum(axis=0), base=2) - conditional
    assert data.information == pytest.approx(information, abs=0.01)
    expected = data.expected_metrics
    assert expected["bits"] == data.information
    assert expected["ref/cross_entropy"] == pytest.approx(data.entropy * np.log(2))


def test_the_noise_is_in_the_test_split():
    data = Channel(noise=0.2)
    data.setup()
    wrong = data.test.inputs.argmax(dim=1) != data.test.targets
    assert wrong.double().mean().item() == pytest.approx(0.2, abs=0.03)  # its error is 0.006


def test_a_constant_input_tells_nothing():
    data = Channel(alphabet=3, symbols=2, constant=True)
    data.setup()
    assert len(data.train.inputs.unique(dim=0)) == 1
    assert (data.input_shape, data.outputs) == ((6,), 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 9}, "n must be a whole number >= 100, got 9"),
        ({"alphabet": 1}, "alphabet must be a whole number >= 2, got 1"),
        ({"noise": 1.2}, "noise must be a number and >= 0 and <= 1, got 1.2"),
        ({"symbols": 0}, "symbols must be a whole number >= 1, got 0"),
        ({"alphabet": 10, "symbols": 4}, "must be <= 1000, got 10 \\*\\* 4"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        Channel(**options)
