"""Every key has one meaning, and conf/ holds none without."""

import pytest
from omegaconf import OmegaConf

from losslab.config import compose, groups, schema
from losslab.config.schema import margin_refusal

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


@pytest.mark.parametrize(
    ("key", "value", "default", "words"),
    [
        ("threads", 0, 1, "threads must be >= 1, got 0"),
        ("threads", True, 1, "threads must be >= 1"),
        ("threads", 1.5, 1, "threads must be >= 1"),
        ("trainer.max_epochs", -1, 20, None),
        ("trainer.max_epochs", "many", 20, "trainer.max_epochs must be >= 1, got many"),
        ("allocator", "drop", "keep", "allocator must be keep or system, got drop"),
        ("optimizer.lr", "abc", 0.002, "must be a number such as 0.002, got abc"),
        ("optimizer.lr", 1, 0.002, None),
        ("model.hidden", [32], 64, "must be a number such as 64, got [32]"),
        ("model.channels", 16, [16, 32], "must be a list such as [16,32], got 16"),
        ("loss.squared", 2, False, "must be true or false, got 2"),
        ("loss.margin", True, 1.0, "must be a number such as 1.0, got true"),
        ("loss.alpha", "balanced", None, None),
        ("trainer.devices", "auto", 1, None),
        ("optimizer.fused", None, True, None),
    ],
)
def test_values(key, value, default, words):
    refusal = schema.refusal(key, value, default)
    assert refusal is None if words is None else words in refusal


def test_hparams_are_the_columns_of_the_schema():
    config = compose.compose(["loss=focal", "seed=3"])
    plain = OmegaConf.to_container(compose.finished_config(config, config.hydra))
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


@pytest.mark.parametrize(
    ("key", "margin", "refused"),
    [
        ("within.accuracy", 0.03, None),
        ("within.mae", 1e6, None),
        ("within.accuracy", 3, "(5 points are within.accuracy=0.05)"),
        ("auroc", 1.0, "auroc must be < 1, the range of the metric, got 1"),
        ("within.mae", True, "must be > 0"),
    ],
)
def test_margins_outside_the_range_of_a_metric_are_refused(key, margin, refused):
    refusal = margin_refusal(key, margin)
    assert refusal is None if refused is None else refused in refusal
