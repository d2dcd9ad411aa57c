"""What is read from the source of losses and tasks is what the imported classes say."""

import sys

import pytest
from omegaconf import OmegaConf

from losslab import target_formats
from losslab.config import declared, groups
from losslab.config.compound import expanded
from losslab.config.errors import UserError
from losslab.config.instantiate import target_of

SUMS = {
    "sum": {"mse": 1, "huber": 1},
    "uncertainty_sum": {"bce": 1, "focal": {"weight": 2, "gamma": 1}},
    "disagreeing": {"mse": 1, "sum": {"of": {"focal": 1}}},
    "disagreeing inside": {"mse": 1, "sum": {"of": {"focal": 1, "mse": 1}}},
}


def loss_options(name):
    own = OmegaConf.to_container(
        groups.node("loss", name if name in groups.names("loss") else "sum")
    )
    if "of" in own:
        own["of"] = expanded(SUMS.get(name, own["of"]))
    return own


def outcome(check, loss, data, task):
    """Return the format, or the message, for choices of a run."""
    definition = OmegaConf.to_container(groups.node("task", task).definition)
    choices = {"loss": loss, "data": data, "task": task}
    config = {"loss": loss_options(loss), "task": {"definition": definition}, "choices": choices}
    try:
        return check(OmegaConf.create(config))
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("task", groups.names("task"))
@pytest.mark.parametrize("loss", [*groups.names("loss"), *SUMS])
def test_the_source_and_the_class_say_the_same(loss, task):
    read = outcome(declared.require_fit, loss, "digits", task)
    assert read == outcome(target_formats.require_fit, loss, "digits", task)


@pytest.mark.parametrize("data", groups.names("data"))
def test_they_say_the_same_of_all_data(data):
    task = groups.default_choice("data", data, "task") or "classification"
    read, imported = (
        [outcome(check, loss, data, task) for loss in ("mse", "focal", "chamfer")]
        for check in (declared.require_fit, target_formats.require_fit)
    )
    assert read == imported
    assert any(isinstance(each, str) for each in read)


@pytest.mark.parametrize(
    ("group", "name", "kind"), [("loss", "accepts", "loss"), ("task", "provides", "definition")]
)
def test_every_class_of_conf_is_read(group, name, kind):
    for choice in groups.names(group):
        node = groups.node(group, choice)
        node = node.definition if kind == "definition" else node
        if "of" not in node:
            formats = declared.attribute(node._target_, name)
            assert formats == getattr(target_of(node, group), name), choice


def test_what_the_source_does_not_say_is_left_to_the_class():
    for path in ("nowhere.Loss", "losslab.losses.Nope", "losslab.nope.Loss", "tests.Loss"):
        with pytest.raises(declared.NotInSource):
            declared.attribute(path, "accepts")
    assert declared.attribute("torch.nn.MSELoss", "accepts") is None
    assert declared.attribute("losslab.losses.OnSigmoid", "accepts") is None


def test_formats_are_those_of_the_package():
    assert declared._formats() is sys.modules["losslab.losses.formats"]
    [found] = declared.attribute("losslab.losses.MSELoss", "accepts")
    assert found is target_formats.TargetFormat.VALUES
