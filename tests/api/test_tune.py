"""``losslab.tune`` on your own data and losses, from Python."""

import json
import os
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import losslab
from losslab.analysis.load import collect
from losslab.analysis.search import read_tuning
from losslab.api import engine
from losslab.cli import run
from losslab.runs.folder import PLAN_FILE
from losslab.tuning_plan import Plan

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
VALUES = X @ [1.0, -2.0, 0.5, 0.0] + RNG.normal(size=120)
QUICK = {"trials": 3, "seeds": 2, "tuning_seeds": [100, 101], "max_epochs": 2}


class Scaled(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, prediction, target):
        return nn.functional.huber_loss(prediction, target, delta=self.scale)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def tuned(**changed):
    given = {
        "data": (X, VALUES),
        "model": lambda: nn.Linear(4, 1),
        "losses": {"l1": nn.L1Loss(), "mine": Scaled, "h2": ("huber", {"delta": 2})},
        "ranges": {"mine": {"scale": {"low": 0.1, "high": 10, "log": True}}},
        **QUICK,
    }
    return losslab.tune(**given | changed)


@pytest.mark.slow
def test_losses_get_equal_trials_and_own_options_are_tuned():
    result = tuned(folder="here")
    search = result.search()
    assert search.groupby("loss").size().to_dict() == {"l1": 6, "mine": 6, "h2": 6}
    rates = search.groupby("loss")["optimizer.lr"].unique()
    assert rates["l1"].tolist() == rates["mine"].tolist() == rates["h2"].tolist()
    assert len(set(rates["l1"])) == 3
    of_mine = search.loc[search["loss"] == "mine", "loss.scale"]
    assert of_mine.iloc[0] == 1.0  # the default of the argument
    assert of_mine.between(0.1, 10).all()
    assert of_mine.nunique() == 3
    assert result.best.keys() == {"l1", "mine", "h2"}
    runs = result.runs()
    assert set(runs["row"]) == {"l1", "mine", "h2"}
    assert set(runs["seed"]) == {0, 1}
    for label, options in result.best.items():
        own = runs[runs["row"] == label]
        assert (own["optimizer.lr"] == options["optimizer.lr"]).all()
    assert set(runs.loc[runs["row"] == "h2", "loss.delta"]) == {2}
    assert result.tuning.overlap == 0
    assert "protocol tuned" in repr(result)
    assert "losslab tune" not in repr(result)
    [axes] = result.plot.learning_rates().axes
    assert axes.get_xlabel() == "learning rate"
    page = result.report("page.html").read_text()
    assert "Points that were tried" in page


def test_it_is_saved_moved_loaded_and_extended():
    result = tuned(losses={"l1": nn.L1Loss(), "mse": "mse"}, ranges=None, trials=2, folder="first")
    best = result.best
    result.save("saved")
    shutil.rmtree("first")
    Path("saved").rename("moved")
    loaded = losslab.load("moved")
    assert sorted(set(loaded.runs()["seed"])) == [0, 1]
    more = loaded.extend(seeds=1)
    for each in (loaded, more):
        assert sorted(set(each.runs()["seed"])) == [0, 1, 2]
    assert len(more.comparison.tables) == 1
    assert more.best == best
    with pytest.raises(losslab.UserError, match="must not overlap, but both have 100"):
        more.extend(seeds=[100])


def begin(stage, seed, monkeypatch, **given):
    """Interrupt a tuning in a folder when a stage comes to a seed."""
    train = engine.train_run

    def interrupted(job):
        if stage in job.folder.parts and job.config.seed == seed:
            raise KeyboardInterrupt
        train(job)

    given = {"losses": ["mse"], "ranges": None, "engine": "one by one", "trials": 1} | given
    with monkeypatch.context() as patch:
        patch.setattr(engine, "train_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tuned(folder="begun", **given)


@pytest.mark.parametrize(("stage", "seed"), [("search", 101), ("final", 1)])
def test_an_interrupted_tuning_goes_on(stage, seed, monkeypatch, capfd):
    begin(stage, seed, monkeypatch)
    assert 'to go on: losslab.load("begun").extend(seeds=0)' in capfd.readouterr().err
    done = losslab.load("begun").extend(seeds=0)
    assert set(done.tuning.trials["mse"][0].values) == {100, 101}
    assert list(done.runs()["seed"]) == [0, 1]


def test_further_seeds_of_an_interrupted_search_come_after_those_that_are_planned(monkeypatch):
    begin("search", 2, monkeypatch, tuning_seeds=[2], model="mlp")
    with pytest.raises(losslab.UserError, match="must not overlap, but both have 2"):
        losslab.load("begun").extend(seeds=np.int64(1))
    assert not Path("begun", "final").exists()
    more = losslab.load("begun").extend(seeds=(seed for seed in [1, 5]))
    assert list(more.runs()["seed"]) == [0, 1, 5]


def test_a_folder_of_others_is_loaded_without_its_code_and_configs(tmp_path):
    Path("theirs", "conf").mkdir(parents=True)
    path = "losslab.given.x1f3a52bc.mine"
    plan = Plan(
        protocol="controlled",
        budget=1,
        losses=["mine"],
        tuning_seeds=[100],
        seeds=[0],
        overrides=["data=regression", f"hydra.searchpath=['file://{tmp_path}/theirs/conf']"],
        ranges={"mine": {}},
        points={"mine": [{}]},
        chosen={"mine": ["loss=mse", f"loss._target_={path}", "label=mine"]},
    )
    Path("theirs", PLAN_FILE).write_text(json.dumps(asdict(plan)))
    environment, imports = dict(os.environ), list(sys.path)
    loaded = losslab.load("theirs", losses={"mine": nn.MSELoss})
    with pytest.raises(losslab.UserError, match="mine was given in Python"):
        loaded.command()
    plan = replace(plan, losses=["mse"], ranges={"mse": {}}, points={"mse": [{}]}, chosen={})
    for group in ("model", "data"):
        own = replace(plan, overrides=[*plan.overrides, f"{group}._target_={path}"])
        Path("theirs", PLAN_FILE).write_text(json.dumps(asdict(own)))
        with pytest.raises(losslab.UserError, match=f"^{group} was given in Python: define it"):
            losslab.load("theirs").command()
    Path("theirs", PLAN_FILE).write_text(json.dumps(asdict(replace(plan, own_ranges=["mse"]))))
    with pytest.raises(losslab.UserError, match=r"the range of mse .* repeat losslab\.tune"):
        losslab.load("theirs").command()
    assert dict(os.environ) == environment
    assert sys.path == imports


@pytest.mark.slow
def test_the_command_line_gives_the_same_numbers():
    result = losslab.tune(losses=["mse", "huber"], data="regression", **QUICK)
    command = result.command()
    assert command == (
        "losslab tune loss=mse,huber protocol=tuned budget=3 tuning_seeds=100,101 seeds=0,1 "
        "data=regression trainer.max_epochs=2"
    )
    stacks = ["hydra/launcher=lockstep", "hydra.launcher.workers=1", "paths.log_dir=shell"]
    assert run([*command.split()[1:], *stacks]) == 0
    [folder] = Path("shell", "tuning").iterdir()
    other = read_tuning(folder)
    for loss in ("mse", "huber"):
        ours, theirs = result.tuning.trials[loss], other.trials[loss]
        assert [trial.options for trial in ours] == [trial.options for trial in theirs]
        assert [trial.values for trial in ours] == [trial.values for trial in theirs]
    found = {(run.loss, run.seed): run.record["test"] for run in collect([folder / "final"]).runs}
    assert found == {(run.loss, run.seed): run.record["test"] for run in result.comparison.runs}


def test_controlled_tunes_options_only():
    given = {"losses": {"h": "huber"}, "ranges": None, "tuning_seeds": [100], "seeds": 1}
    result = tuned(protocol="controlled", **given)
    assert set(result.best["h"]) == {"loss.delta"}
    with pytest.raises(losslab.UserError, match="no learning rate was tuned"):
        result.plot.learning_rates()


class NoDefault(nn.Module):
    def __init__(self, scale):
        super().__init__()


WRONG = {
    "trials": ({"trials": 0}, "trials must be a whole number >= 1, got 0"),
    "a sampler": ({"sampler": "grid"}, "sampler must be sobol or optuna, got grid"),
    "too few trials": (
        {"sampler": "optuna", "trials": 10},
        "sampler=optuna chooses after 10 points: give more trials, got 10",
    ),
    "a protocol": ({"protocol": "free"}, "protocol must be controlled or tuned, got free"),
    "seeds": ({"seeds": [100]}, "seeds and tuning_seeds must not overlap, but both have 100"),
    "a number of tuning seeds": (
        {"seeds": [1002], "tuning_seeds": 3},
        "seeds and tuning_seeds must not overlap, but both have 1002",
    ),
    "tuning seeds": ({"tuning_seeds": "a"}, "tuning_seeds must be a number of seeds or a list"),
    "a label": ({"ranges": {"m": {}}}, "ranges has m, but the losses are l1, mine, h2"),
    "no range": ({"ranges": {"mine": 3}}, "ranges of mine must be by option, got 3"),
    "a ready loss": (
        {"losses": {"m": nn.L1Loss()}, "ranges": {"m": {"beta": [1, 2]}}},
        "ranges of m need the class, or a function that makes the loss, got a ready L1Loss",
    ),
    "a range": ({"ranges": {"mine": {"scale": {"low": 2, "high": 1}}}}, "loss.scale"),
    "an option": (
        {"ranges": {"mine": {"scael": [1, 2]}}},
        "unknown option loss.scael: did you mean scale?",
    ),
    "no default": (
        {"losses": {"mine": NoDefault}, "ranges": {"mine": {"scale": [1, 2]}}},
        "loss.scale must have a default",
    ),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(given, words):
    with pytest.raises(losslab.UserError) as caught:
        tuned(**given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(Path().rglob("record.json"))


def test_a_refused_tuning_leaves_its_folder_free():
    with pytest.raises(losslab.UserError, match="3"):
        tuned(model=lambda: nn.Linear(3, 1), losses=["mse"], ranges=None, folder="f")
    assert not Path("f").exists()
