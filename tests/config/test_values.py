"""Every key of conf/ takes values of a kind, and its default is one."""

import pytest
from omegaconf import OmegaConf

from losslab.config import groups, schema, values
from losslab.config.kinds import Choice, List, Number
from losslab.config.kinds import text as shown
from losslab.config.values import kind_of, margin_refusal, refusal

FREE = (
    *("within", "data.env_options", "data.augment", "data.val_options", "data.test_options"),
    *("callbacks.", "logger.extra", "hydra", "loss.of.classification.loss", "loss.of.box.loss"),
)
"""Keys whose values are checked elsewhere, or that belong to other libraries."""


def keys_of_conf():
    """Return the keys that the files of conf/ set, each with all of its values."""
    found = {}
    for path in sorted(groups.CONF.rglob("*.yaml")):
        if "hydra" in path.parts or path.parent.name == "claims":
            continue
        node = OmegaConf.load(path)
        own = "# @package _global_" in path.read_text() or path.parent == groups.CONF
        group = "" if own else path.parent.name
        plain = OmegaConf.to_container(node)
        plain.pop("defaults", None)
        for key, value in schema.flat(plain):
            full = f"{group}.{key}" if group else key
            if schema.meaning(full).saved and "_target_" not in full:
                found.setdefault(full, set()).add(value)
    return found


def targets_of_conf():
    """Return the components that the files of conf/ name."""
    return {
        target
        for path in groups.CONF.rglob("*.yaml")
        if "hydra" not in path.parts
        for target in schema.targets(OmegaConf.to_container(OmegaConf.load(path)))
        if target != "???"  # which the command line names
    }


@pytest.mark.parametrize(("key", "defaults"), keys_of_conf().items(), ids=keys_of_conf().keys())
def test_every_key_of_conf_has_a_kind_and_a_default_of_it(key, defaults):
    if key.startswith(FREE) and kind_of(key) is None:
        return
    assert kind_of(key) is not None, "add a row to config/values.py"
    for default in defaults:
        if not str(default).startswith("${") and default != "???":
            assert refusal(key, default) is None


def test_the_components_of_conf_are_known():
    others = {each for each in targets_of_conf() if not each.startswith("losslab.")}
    others = {each for each in others if not each.endswith("Logger")}
    assert others == set(values.OUR_TARGETS)


REFUSED = {
    "seed": [-1, 2**63, 1.5, True, None, "", [1], float("inf")],
    "threads": [0, 10**9, None, True],
    "allocator": ["drop", None],
    "scores_mb": [-1, float("nan"), float("inf"), "a"],
    "test": ["maybe", 5, None],
    "paths.log_dir": [None, "", " ", ["a"], "a\0b"],
    "loss.gamma": [-1, float("inf"), float("-inf"), float("nan"), None, "a", [1, 2], True],
    "loss.alpha": [-1, "balance", [], ["a"], [0.5, -1], [float("nan"), 1.0]],
    "loss.label_smoothing": [-0.1, 1.5],
    "loss.clip": [0, 1, -1],
    "loss.p": [3, 0, 1.5, True],
    "loss.angle": [0, 66],
    "loss.steps": [0, 1.5],
    "loss.mining": ["x", None],
    "data.batch_size": [0, -1, 1.5, 10**20, None, True],
    "data.val_fraction": [0, 1, -0.1, 1.0, None],
    "data.n": [0, -5, 10**12],
    "data.split_seed": [-1, 2**63],
    "data.positive": [5, [], [10], [5, 5], ["a"]],
    "data.outliers": [-0.1, 1.5],
    "data.slope": [float("nan"), float("inf")],
    "data.path": [None, ""],
    "data.solved_return": [float("nan")],
    "model.channels": [16, [], [0], [1.5], ["a"]],
    "model.dropout": [1, 1.5, -1],
    "optimizer.lr": [0, 0.0, -1, float("nan"), float("inf"), None, "a", [1]],
    "optimizer.betas": [0.9, [0.9], [0.9, 1.0], [0.9, 0.99, 0.999], [-0.9, 0.9], None],
    "optimizer.momentum": [-1, 1, 2],
    "regularizer.strength": [-1],
    "scheduler.T_max": [0, -1, 1.5],
    "scheduler.gamma": [0, -1],
    "scheduler.factor": [0, 1],
    "scheduler.patience": [-1, 1.5],
    "task.monitor": [None, 5],
    "task.metrics": [[], "accuracy", None, ["accuracy", "accuracy"]],
    "task.module.max_grad_norm": [0, -1],
    "task.module.critic_steps": [0],
    "trainer.max_epochs": [None, 0, -2, 1.5, 10**22, True, "a", [1]],
    "trainer.check_val_every_n_epoch": [0, -1, 1.5],
    "trainer.limit_train_batches": [0, 0.0, -1, 1.5, "a"],
    "trainer.gradient_clip_val": [-1, 0, float("nan")],
    "trainer.accumulate_grad_batches": [0, -1, 1.5],
    "trainer.precision": ["bogus", 8],
    "trainer.devices": [0, -2, 1.5, []],
    "trainer.max_steps": [0, -5, 1.5, 100],
    "trainer.val_check_interval": [0, -1, 0.25, 10],
    "trainer.min_epochs": [-1, "a"],
    "trainer.deterministic": ["x"],
    "trainer.logger": [True],
    "trainer.callbacks": [["x"]],
    "trainer.enable_checkpointing": [True],
    "callbacks.figures.every": [0, -1, 1.5, "a"],
    "logger.events": [5, None],
    "loss.own_option": [float("nan"), [1.0, float("nan")]],
}
ACCEPTED = {
    "seed": [0, 2**63 - 1],
    "paths.log_dir": ["logs", 5],
    "loss.alpha": [None, 0.25, [0.1, 0.9], "balanced"],
    "loss.p": [1, 2.0],
    "data.target": ["y", 3, ["y", "z"]],
    "data.separator": ["auto", ";", "\t", " "],
    "data.positive": [None, [5, 6]],
    "model.hidden": [64, [64, 64], []],
    "optimizer.fused": [None, True],
    "trainer.max_epochs": [1, -1],
    "trainer.max_steps": [-1],
    "trainer.limit_train_batches": [1.0, 0.5, 3, None],
    "trainer.val_check_interval": [1.0],
    "trainer.devices": [2, -1, "auto", "0,1", [0, 1]],
    "trainer.precision": ["32-true", 64, "bf16-mixed"],
    "trainer.overfit_batches": [0, 0.0, 1, 0.1],
    "loss.own_option": [float("inf"), -1, "a", [1], None],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, each) for key, given in REFUSED.items() for each in given], ids=repr
)
def test_values_that_are_refused(key, value):
    text = refusal(key, value)
    assert text is not None
    assert text.startswith((f"{key} must be ", f"{key}={shown(value)} is not supported: "))
    assert "\n" not in text


@pytest.mark.parametrize(
    ("key", "value"), [(key, each) for key, given in ACCEPTED.items() for each in given], ids=repr
)
def test_values_that_are_accepted(key, value):
    assert refusal(key, value) is None


@pytest.mark.parametrize(
    ("key", "value", "default", "text"),
    [
        ("threads", 0, 1, "threads must be a whole number from 1 to 4096, got 0"),
        ("allocator", "kept", "keep", "must be auto or keep or system, got kept: did you"),
        ("optimizer.lr", "abc", 0.002, "optimizer.lr must be a number > 0, got abc"),
        ("model.hidden", [32], 64, "model.hidden must be a number such as 64, got [32]"),
        ("model.hidden", 64, [64, 64], "must be a list such as [64,64], got 64"),
        ("loss.own", True, 1.0, "loss.own must be a number such as 1.0, got true"),
        ("loss.own", 2, False, "loss.own must be true or false, got 2"),
        ("optimizer.betas", [0.9], [0.9, 0.999], "a list of 2, each a number >= 0 and < 1"),
        (
            "trainer.logger",
            True,
            None,
            "trainer.logger=true is not supported: use logger=",
        ),
    ],
)
def test_a_message_says_what_is_allowed_and_what_was_given(key, value, default, text):
    assert text in str(refusal(key, value, default))


def test_options_of_the_users_components_have_no_bounds():
    mine = {"loss": {"_target_": "my_losses.Focal", "gamma": -1}}
    ours = {"loss": {"_target_": "losslab.losses.FocalLoss", "gamma": -1}}
    assert values.is_users("loss.gamma", mine)
    assert not values.is_users("loss.gamma", ours)
    assert refusal("loss.gamma", -1, users=True) is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Number(0, 1), "a number from 0 to 1"),
        (Number(0, 1, above=True), "a number > 0 and <= 1"),
        (Number(0, 2**63 - 1, whole=True), "a whole number from 0 to 2^63 - 1"),
        (Number(), "a number"),
        (List(Choice(("a",)), least=1, distinct=True), "a list of 1 or more, each a, all differ"),
        (Number(1, whole=True) | Choice((None,)), "a whole number >= 1 or null"),
    ],
    ids=str,
)
def test_kinds_name_themselves(kind, text):
    assert str(kind).startswith(text)


@pytest.mark.parametrize(
    ("key", "margin", "refused"),
    [
        ("within.accuracy", 0.03, None),
        ("within.mae", 1e6, None),
        ("within.accuracy", 3, "(5 points are within.accuracy=0.05)"),
        ("auroc", 1.0, "auroc must be < 1, the range of the metric, got 1"),
        ("within.mae", True, "must be > 0"),
        ("within.mae", float("nan"), "must be > 0"),
    ],
)
def test_margins_outside_the_range_of_a_metric_are_refused(key, margin, refused):
    text = margin_refusal(key, margin)
    assert text is None if refused is None else refused in text
