"""Every key has one meaning, and conf/ holds none without."""

import pytest
from omegaconf import OmegaConf

from losslab.config import groups, schema
from losslab.config.compose import compose
from losslab.config.jobs import finished_config

FILES = sorted(path for path in groups.CONF.rglob("*.yaml") if "hydra" not in path.parts)


def keys_of(path):
    """Return the dotted keys that a file of conf/ sets, as the finished config names them."""
    node = OmegaConf.load(path)
    package = "# @package _global_" in path.read_text() or path.parent == groups.CONF
    group = "" if package else path.relative_to(groups.CONF).parts[0]
    plain = OmegaConf.to_container(node)
    plain.pop("defaults", None)
    for key, _ in schema.flat(plain):
        yield f"{group}.{key}" if group else key


def test_conf_is_there():
    assert len(FILES) > 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(groups.CONF).as_posix())
def test_the_schema_knows_every_key_of_conf(path):
    unknown = [key for key in keys_of(path) if schema.meaning(key) is schema.UNKNOWN]
    assert not unknown, "add a row to config/schema.py"


@pytest.mark.parametrize(
    "key", ["trainer.benchmark", "callbacks.mine.every", "task.colour", "epochs"]
)
def test_a_key_without_a_row_is_unknown(key):
    assert schema.meaning(key) is schema.UNKNOWN


def test_every_folder_of_conf_is_a_group():
    folders = {path.name for path in groups.CONF.iterdir() if path.is_dir()}
    assert folders - {"hydra"} == set(schema.GROUPS)


def test_hparams_are_the_columns_of_the_schema():
    config = compose(["loss=focal", "seed=3"])
    plain = OmegaConf.to_container(finished_config(config, config.hydra))
    assert schema.hparams(plain) == {
        "loss": "focal",
        "data": "digits",
        "model": "cnn",
        "optimizer": "adam",
        "lr": 0.002,
        "seed": 3,
        "loss.gamma": 2.0,
    }


@pytest.mark.parametrize(
    ("key", "meaning"),
    [
        ("threads", {"affects_results": False, "resumes": True, "named": False}),
        ("allocator", {"affects_results": False, "resumes": True}),
        ("data.data_dir", {"affects_results": False}),
        ("trainer.limit_test_batches", {"affects_results": True, "resumes": False}),
        ("trainer.precision", {"affects_results": True, "resumes": False}),
        ("trainer.gradient_clip_val", {"resumes": False}),
        ("trainer.accumulate_grad_batches", {"resumes": False}),
        ("callbacks.averaging._target_", {"affects_results": True, "stackable": ()}),
        ("choices.experiment", {"affects_results": False}),
        ("experiment", {"affects_results": True}),
        ("loss.tuning.gamma.low", {"saved": False}),
        ("optimizer._target_", {"free": False}),
        ("optimizer.lr", {"free": True}),
    ],
)
def test_what_keys_mean(key, meaning):
    row = schema.meaning(key)
    assert {name: getattr(row, name) for name in meaning} == meaning
