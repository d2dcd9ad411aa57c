"""Saved configs of earlier versions read as today's."""

import pytest

from losslab.config import past


def test_targets_and_keys_have_the_names_of_today():
    saved = {
        "callbacks": {"keeper": {"_target_": "losslab.callbacks.RunKeeping", "patience": 3}},
        "task": {"module": {"_target_": "losslab.tasks.QLearning", "list": [{"_target_": "x"}]}},
    }
    assert past.translated(saved) == {
        "callbacks": {
            "run_writer": {"_target_": "losslab.callbacks.RunWriterCallback", "patience": 3}
        },
        "task": {"module": {"_target_": "losslab.rl.QLearningModule", "list": [{"_target_": "x"}]}},
    }


@pytest.mark.parametrize("name", past.TARGETS.values())
def test_every_name_of_today_exists(name):
    from losslab.config.instantiate import target_of

    assert target_of({"_target_": name}, "past") is not None


def test_a_key_added_since_means_what_its_absence_meant(monkeypatch):
    monkeypatch.setitem(past.ADDED, "data.ignore", None)
    monkeypatch.setitem(past.ADDED, "nowhere.key", 1)
    assert past.translated({"data": {}}) == {"data": {"ignore": None}}
    assert past.translated({"data": {"ignore": 255}}) == {"data": {"ignore": 255}}
