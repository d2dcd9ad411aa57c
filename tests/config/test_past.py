"""Saved configs of earlier versions read as today's."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from losslab.config import groups, past, schema

# the _target_ of every choice of version 0.1, by file of conf/
CHOICES = json.loads((Path(__file__).parents[1] / "past/v0_1/targets.json").read_text())

ADDED_ABOVE = {key: added.value for key, added in past.ADDED.items() if "." not in key}


def test_targets_and_keys_have_the_names_of_today():
    saved = {
        "callbacks": {"keeper": {"_target_": "losslab.callbacks.RunKeeping", "patience": 3}},
        "task": {"module": {"_target_": "losslab.tasks.QLearning", "list": [{"_target_": "x"}]}},
    }
    assert past.translated(saved) == {
        "callbacks": {
            "run_writer": {"_target_": "losslab.callbacks.RunWriterCallback", "patience": 3}
        },
        "task": {
            "module": {"_target_": "losslab.rl.QLearningModule", "list": [{"_target_": "x"}]},
            "ties": "first",
        },
        **ADDED_ABOVE,
    }


def package(file: str) -> str:
    """Return the key below which a file of conf/ is in a config."""
    text = (groups.CONF / file).read_text()
    return "" if "# @package _global_" in text else file.partition("/")[0]


@pytest.mark.parametrize("file", CHOICES)
def test_every_target_of_version_0_1_is_the_one_of_todays_choice(file):
    saved = OmegaConf.create()
    for key, target in CHOICES[file].items():
        OmegaConf.update(saved, key, target)
    plain = past.translated(OmegaConf.to_container(saved))
    current = dict(
        schema.flat(OmegaConf.to_container(OmegaConf.load(groups.CONF / file)), package(file))
    )
    targets = {key: value for key, value in schema.flat(plain) if key.endswith("_target_")}
    if file == "loss/bce_dice.yaml":  # today's is a sum; saved runs keep the class
        assert targets == {"loss._target_": "losslab.losses.BCEDiceLoss"}
        return
    assert targets == {key: current.get(key) for key in targets}
    assert len(targets) == len(CHOICES[file])


def test_a_target_between_the_versions_has_the_name_of_today():
    saved = {"_target_": "losslab.rl.QLearning"}
    assert past.translated(saved)["_target_"] == "losslab.rl.QLearningModule"


def test_options_are_renamed_beside_their_old_target_alone():
    options = {"rollout": 32, "trace": 0.95, "passes": 4}
    saved = {"task": {"module": {"_target_": "losslab.tasks.PolicyGradient", **options}}}
    assert past.translated(saved)["task"]["module"] == {
        "_target_": "losslab.rl.PolicyGradientModule",
        "rollout": 32,
        "gae_lambda": 0.95,
        "epochs": 4,
    }
    own = {"task": {"module": {"_target_": "my.Module", **options}}}
    assert past.translated(own)["task"]["module"] == own["task"]["module"]


@pytest.mark.parametrize(
    ("saved", "current"),
    [
        ("task.module.trace=0.9", "task.module.gae_lambda=0.9"),
        ("task.module.passes=1,4", "task.module.epochs=1,4"),
        ("task.module.rollout=32", "task.module.rollout=32"),
    ],
)
def test_overrides_have_the_keys_of_today(saved, current):
    assert past.translated_override(saved) == current


@pytest.mark.parametrize("target", past.OPTIONS)
def test_every_option_of_today_is_in_conf(target):
    node = groups.node("task", "policy_gradient")
    assert past.TARGETS[target] == node.module._target_
    assert set(past.OPTIONS[target].values()) <= set(node.module)


@pytest.mark.parametrize("name", past.TARGETS.values())
def test_every_name_of_today_exists(name):
    from losslab.config.instantiate import target_of

    assert target_of({"_target_": name}, "past") is not None


def test_runs_of_earlier_versions_keep_no_scores():
    assert past.translated({"test": True})["scores"] is False


def test_a_key_added_since_means_what_its_absence_meant(monkeypatch):
    added = {"data.ignore": past.Added(None), "nowhere.key": past.Added(1)}
    monkeypatch.setattr(past, "ADDED", added)
    assert past.translated({"data": {}}) == {"data": {"ignore": None}}
    assert past.translated({"data": {"ignore": 255}}) == {"data": {"ignore": 255}}


def test_a_key_of_some_choices_is_added_to_these_alone():
    drawn, published = {"test_fraction": 0.2}, {"val_fraction": 0.2}
    assert past.translated({"data": drawn})["data"] == drawn | {"test_split_seed": None}
    assert past.translated({"data": published})["data"] == published


def test_tables_of_earlier_runs_refuse_missing_values():
    table = {"_target_": "losslab.data.table.Table"}
    assert past.translated({"data": table})["data"]["impute"] == "refuse"
    assert "impute" not in past.translated({"data": {"_target_": "mine.Table"}})["data"]


def test_past_runs_on_standardised_targets_measure_in_standard_deviations():
    past_run = {"data": {"standardize_targets": True}, "task": {"monitor": "mae"}}
    assert past.translated(past_run)["data"]["standardize_targets"] == "data"
    current = {**past_run, "task": {"monitor": "mae", "ties": "later"}}
    assert past.translated(current)["data"]["standardize_targets"] is True


def test_a_prefix_of_an_override_stays():
    assert past.translated_override("++callbacks.keeper.patience=3") == (
        "++callbacks.run_writer.patience=3"
    )
    assert past.earlier_override("callbacks.run_writer.patience=3") == "callbacks.keeper.patience=3"


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("FocalLoss", {"ignore_index": None}),
        ("DiceLoss", {"weight": None}),
        ("MSELoss", {}),
    ],
)
def test_options_that_losses_have_now_are_null_in_old_runs(name, added):
    saved = {"loss": {"_target_": f"losslab.losses.{name}"}}
    assert past.translated(saved)["loss"] == saved["loss"] | added


def test_past_runs_on_masks_read_255_as_a_class():
    data = {"_target_": "losslab.data.image_masks.ImageMasks"}
    assert past.translated({"data": data})["data"]["ignore"] is None
    assert past.translated({"data": {**data, "ignore": "auto"}})["data"]["ignore"] == "auto"
    assert "ignore" not in past.translated({"data": {"_target_": "x.Y"}})["data"]
