"""The guard of the losses' speed fails where a ratio to the best peer fell, and only there."""

import importlib
import json
import sys

import pytest

from load_script import SCRIPTS

if str(SCRIPTS) not in sys.path:
    sys.path.append(str(SCRIPTS))
script = importlib.import_module("benchmarks.guard")


def entry(low, ratio, high, loss="dice", peer="MONAI"):
    return {
        **{"loss": loss, "elements": 1024, "dtype": "float32", "peer": peer},
        **{"ratio": ratio, "quartiles": [low, high], "microseconds": {"ours": 10.0, peer: 20.0}},
    }


@pytest.fixture
def committed(tmp_path, monkeypatch):
    path = tmp_path / "benchmarks" / "ratios.json"
    monkeypatch.setattr(script, "COMMITTED", path)
    script.write([entry(1.9, 2.0, 2.1)], script.facts())
    return path


@pytest.mark.parametrize(
    ("measured", "code"),
    [
        ([[entry(1.8, 1.85, 1.95)]], 0),
        ([[entry(1.5, 1.6, 1.7)]] * 3, 1),
        ([[entry(1.5, 1.6, 1.7)], [entry(1.8, 1.9, 2.0)]], 0),
        ([[entry(1.5, 1.6, 1.7)], [entry(1.5, 1.6, 1.7)], [entry(1.8, 1.9, 2.0)]], 0),
        ([[entry(1.0, 1.1, 1.2, peer="SMP")]], 0),
    ],
    ids=["within the noise", "three times below", "once below", "twice below", "another peer"],
)
def test_a_fall_counts_if_it_is_measured_three_times(
    committed, monkeypatch, capsys, measured, code
):
    tries = iter(measured)
    monkeypatch.setattr(script, "measured", lambda rounds, only=None: next(tries))
    assert script.guard(9, None, update=False) == code
    assert ("dice 1024 float32 MONAI: 1.60, before 2.00" in capsys.readouterr().out) == bool(code)
    assert next(tries, None) is None


def test_nothing_fails_on_another_machine(committed, monkeypatch, capsys):
    content = json.loads(committed.read_text())
    content["machine"]["processor"] = "another"
    committed.write_text(json.dumps(content))
    monkeypatch.setattr(script, "measured", lambda rounds, only=None: [entry(0.5, 0.6, 0.7)])
    assert script.guard(9, None, update=False) == 0
    assert "nothing fails" in capsys.readouterr().out


def test_libraries_that_are_not_installed_here_do_not_make_another_machine():
    facts = script.facts()
    more = facts | {"versions": facts["versions"] | {"monai": "1.6.1"}}
    assert script.is_same(more, facts)
    assert script.is_same(facts, more)
    assert not script.is_same(facts | {"versions": {"torch": "1.0"}}, facts)
    assert not script.is_same(facts | {"cores": 99}, facts)


def test_the_summary_shows_who_is_faster(committed):
    found = [entry(1.1, 1.2, 1.3), entry(0.9, 1.0, 1.1, "bce", "torch"), entry(0.5, 0.6, 0.7, "x")]
    assert script.summary(found)[2:] == [
        "| dice | float32 | 🟩 1.20 MONAI |",
        "| bce | float32 | 🟨 1.00 torch |",
        "| x | float32 | 🟥 0.60 MONAI |",
    ]
    rows = committed.with_suffix(".csv").read_text().splitlines()
    assert rows[1:] == ["dice,1024,float32,ours,10.0", "dice,1024,float32,MONAI,20.0"]
