"""Config nodes are built, under an execution whitelist from Hydra 1.4 on."""

import warnings

import pytest

from losslab.config.errors import UserError
from losslab.config.instantiate import build, target_of


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"_target_": "losslab.losses.FocalLoss", "gamma": 1.0}, "FocalLoss"),
        ({"_target_": "losslab.models.CNN", "input_shape": [1, 8, 8], "outputs": 2}, "CNN"),
        ({"_target_": "torch.nn.L1Loss"}, "L1Loss"),  # defined in torch.nn.modules.loss
        ({"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.ReLU"}]}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_node_is_built_without_a_warning(node, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built = build(node, "loss")
    assert name in (None, type(built).__name__)


def test_what_a_target_refuses_is_said_of_its_node():
    with pytest.raises(UserError, match=r"loss=focal: .*gamma"):
        build({"_target_": "losslab.losses.FocalLoss", "gamma": -1}, "loss=focal")


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"loss: cannot import nowhere\.Loss"):
        target_of({"_target_": "nowhere.Loss"}, "loss")


def test_a_package_that_another_module_imported_lacks_what_it_lacks():
    with pytest.raises(UserError, match=r"cannot import torch\.nn\.functional\.torch\.nothing: "):
        target_of({"_target_": "torch.nn.functional.torch.nothing"}, "loss")
