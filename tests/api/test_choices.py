"""What stands for losses that are given in Python."""

import math

import pytest

from losslab.api.choices import loss_options
from losslab.config.overrides import parsed


@pytest.mark.parametrize(
    "value",
    [
        *(math.inf, -math.inf, 0.1, 1e-7, 3, True, None, "é", [1, 2.5]),
        *([1, math.inf], {"low": -math.inf, "of": [1, {"b": 2}]}),
    ],
)
def test_options_reach_the_config_as_they_were_given(value):
    options = loss_options({"huber": ("huber", {"delta": value})}, "mse")["huber"]
    [delta] = parsed(options[1:])
    found = delta.value()
    assert getattr(found, "text", found) == value
