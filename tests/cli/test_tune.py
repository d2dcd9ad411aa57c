"""Equal tuning as a user runs it: killed in its first stage, and gone on with as one sweep."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from losslab.components import ready_data
from losslab.runs.folder import find_runs
from losslab.saved_config import saved_config

pytestmark = pytest.mark.slow

TUNE = "scripts/tune.py"
SEARCH = ["loss=mse,huber", "protocol=tuned", "budget=2", "tuning_seeds=1000,1001"]
FINAL = ["seeds=range(2)", "trainer.max_epochs=1", "logger.events=false"]


def records(folder: Path):
    return {path: json.loads((path / "record.json").read_bytes()) for path in find_runs(folder)}


@pytest.fixture
def killed(warm, tmp_path):
    """A tuning that was killed when its first runs were done."""
    alone = "hydra/launcher=basic"  # so that runs end one by one
    process = warm.start([Path(__file__).parents[2] / TUNE, *SEARCH, *FINAL, alone], tmp_path)
    end = time.monotonic() + 120
    done: list = []
    while len(done) < 2 and time.monotonic() < end:
        time.sleep(0.05)
        done = [path for path, each in records(tmp_path).items() if each["status"] == "done"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    [folder] = (tmp_path / "logs" / "tuning").iterdir()
    return folder


def test_a_tuning_goes_on_where_it_was_killed(command, killed):
    search = killed / "search"
    before = {path: each for path, each in records(search).items() if each["status"] == "done"}
    assert 2 <= len(before) < 8
    assert not (killed / "final").exists()
    outcome = command(f"resume={killed}", script=TUNE)
    assert outcome.code == 0, outcome.err

    searched = records(search)
    assert len(searched) == 2 * 2 * 2  # losses, points, seeds
    assert all(searched[path] == each for path, each in before.items())
    assert all(each["status"] == "done" and not each["test"] for each in searched.values())
    assert all(each["best"]["metrics"] for each in searched.values())

    final = records(killed / "final")
    assert sorted((each["loss"], each["seed"]) for each in final.values()) == [
        *(("huber", 0), ("huber", 1), ("mse", 0), ("mse", 1)),
    ]
    assert all(each["test"] for each in final.values())

    tried = pd.read_csv(killed / "report" / "tuning.csv")
    for loss, rows in tried.groupby("loss"):
        means = rows.groupby("point").value.mean()
        best = rows[rows.point == means.idxmin()].iloc[0]
        assert rows[rows.best].point.unique() == [best.point]
        for each in final.values():
            if each["loss"] == loss:
                assert f"optimizer.lr={best.learning_rate:g}" in each["cell"]

    text = " ".join(outcome.out.split())
    assert "protocol tuned: tunes the options of each loss and the learning rate" in text
    assert (
        "2 points per loss, the default setting and then points of the same Sobol sequence, "
        "2 tuning seeds per point (1000, 1001)" in text
    )
    assert "underpowered with n = 2" in text
    assert (killed / "report" / "report.md").is_file()

    compared = command(str(killed), script="scripts/compare.py")
    assert compared.code == 0, compared.err
    report = outcome.out[outcome.out.index("On regression") :]
    searched = "8 runs of a search left out: the test split was not read\n"
    assert searched in compared.out
    assert compared.out.replace(searched, "") == report

    again = command(f"resume={killed}", script=TUNE)
    assert again.code == 0, again.err
    assert records(killed / "final") == final
    assert again.out.endswith(report)


DIGITS = ["loss=cross_entropy,focal", "budget=2", "tuning_seeds=1000", "seeds=0,1"]


def test_the_search_never_sees_what_the_final_runs_are_tested_on(command, tmp_path):
    outcome = command(*DIGITS, "trainer.max_epochs=1", "logger.events=false", script=TUNE)
    assert outcome.code == 0, outcome.err
    assert "search: 1 seed (1000)\ncomparison: 2 seeds (0, 1)\n" in outcome.out
    [folder] = (tmp_path / "logs" / "tuning").iterdir()
    plan = json.loads((folder / "tuning.json").read_text())
    assert (plan["test_split_seed"], plan["test_samples"], plan["overlap"]) == (0, 359, 0)
    assert plan["points"]["focal"][0] == {"loss.gamma": 2.0} == plan["defaults"]["focal"]

    final = records(folder / "final")
    assert len(final) == 4
    assert {each["sampling"] for each in final.values()} == {"fixed_test"}
    assert {each["sizes"]["test"] for each in final.values()} == {359}
    samples = {tuple(np.load(path / "scores.npz")["sample"].tolist()) for path in final}
    [tested] = samples  # the same ones, in the same order
    for path in find_runs(folder / "search"):
        data = ready_data(saved_config(path))
        train, val, _ = data.split_samples()
        assert set(tested).isdisjoint([*train.tolist(), *val.tolist()])
        assert not (path / "scores.npz").exists()

    text = " ".join(outcome.out.split())
    assert (
        "none of the 359 samples that the final runs are tested on was in a training or validation "
        "split of the search (data.test_split_seed=0)" in text
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("loss=mse,hubr", 2, "error: unknown loss 'hubr': did you mean huber"),
        ("loss=mse no.such=1", 2, "error: unknown argument no.such: known: loss, protocol"),
        ("loss=mse,huber buget=3", 2, "error: unknown argument buget: did you mean budget?"),
        ("-m loss=mse,huber", 2, "error: -m is not needed: losslab tune always trains several"),
        (
            "loss=mse,dice",
            2,
            "error: loss=mse defaults to data=regression and loss=dice to data=segmentation",
        ),
        ("resume=nowhere", 2, "error: nowhere is not a tuning folder"),
    ],
)
def test_wrong_input_is_said_in_one_line(command, tmp_path, arguments, code, message):
    outcome = command(*arguments.split(), script=TUNE)
    assert (outcome.code, outcome.out) == (code, "")
    [line] = outcome.err.splitlines()
    assert line.startswith(message)
    assert not (tmp_path / "logs").exists()


def test_help_says_what_it_takes(command):
    outcome = command("--help", script=TUNE)
    assert outcome.code == 0
    for word in ("loss=", "protocol=tuned", "budget=20", "tuning_seeds=", "seeds=", "resume="):
        assert word in outcome.out
