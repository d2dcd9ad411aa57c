"""``losslab.compare`` on your own model, data and losses, from Python."""

import json
import logging
import os
import re
import shutil
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from scipy.sparse import csr_matrix
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import losslab
import losslab.commands.compare
import losslab.given
import losslab.report.paper
from losslab.analysis.answer import answers
from losslab.analysis.comparison import compare
from losslab.analysis.load import collect
from losslab.api import engine
from losslab.cli import run
from losslab.runs.files import read_json

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int)
VALUES = X @ [1.0, -2.0, 0.5, 0.0] + RNG.normal(size=120)
QUICK = {"seeds": 2, "max_epochs": 2}


class Net(nn.Module):
    def __init__(self, outputs, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, inputs):
        return self.layers(inputs)


def penalised(prediction, target):
    return nn.functional.cross_entropy(prediction, target) + 0.01 * prediction.square().mean()


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_own_model_data_and_losses():
    result = losslab.compare(
        model=lambda outputs: Net(outputs, width=6),
        data=(X, CLASSES),
        losses={"ce": nn.CrossEntropyLoss(), "focal": losslab.losses.FocalLoss(), "own": penalised},
        baseline="ce",
        metrics=["accuracy", "ece"],
        within={"accuracy": 0.2},
        optimizer="adam",
        lr=0.01,
        **QUICK,
    )
    assert "compared with ce" in result.answer
    assert result.winner is None
    runs = result.runs()
    assert sorted(set(runs["row"])) == ["ce", "focal", "own"]
    assert (runs["outcome"] == "done").all()
    assert set(runs["optimizer.lr"]) == {0.01}
    assert set(result.pairs()["metric"]) == {"accuracy", "ece"}
    assert set(result.pairs()["b"]) == {"ce"}
    assert {"loss", "seed", "epoch", "name", "value"} <= set(result.curves().columns)
    records = [run.record for run in result.comparison.runs]
    for seed in (0, 1):  # paired
        assert len({repr(r["hashes"]) for r in records if r["seed"] == seed}) == 1
    assert len({repr(r["hashes"]) for r in records}) == 2
    for figure in (result.plot.differences(), result.plot.metrics(), result.plot.curves()):
        assert figure.axes
    assert result.plot.curves()._repr_png_().startswith(b"\x89PNG")  # without pyplot
    shown = result._repr_html_()
    assert shown.startswith("<p><b>On arrays, compared with ce by accuracy")
    assert shown.count("<tr>") == 4
    assert re.search(r">[\d.]+<br><small>\[", shown)
    assert "data:image/png;base64," in shown
    assert "| ce |" in repr(result)


class Module(pl.LightningDataModule):
    def setup(self, stage):
        self.parts = [
            TensorDataset(torch.tensor(X[part]), torch.tensor(CLASSES[part]))
            for part in (slice(60), slice(60, 90), slice(90, 120))
        ]

    def train_dataloader(self):
        return DataLoader(self.parts[0], batch_size=7, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.parts[1])

    def test_dataloader(self):
        return DataLoader(self.parts[2])


DATASET = TensorDataset(torch.tensor(X), torch.tensor(CLASSES))
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(CLASSES, "yes", "no"))
DATA = {
    "arrays": {"data": (X, CLASSES)},
    "tensors": {"data": (torch.tensor(X), torch.tensor(CLASSES))},
    "text": {"data": (X, np.array(["no", "yes"], dtype=object)[CLASSES])},
    "dataset": {"data": DATASET},
    "loader": {"data": DataLoader(DATASET, batch_size=3, shuffle=True)},
    "list": {"data": [(row, int(label)) for row, label in zip(X, CLASSES, strict=True)]},
    "module": {"data": Module()},
    "frame": {"data": FRAME, "target": "kind"},
    "frame and series": {"data": (FRAME[list("abcd")], FRAME["kind"])},
    "numbered columns": {
        "data": pd.DataFrame(X).assign(y=CLASSES).set_axis(range(5), axis=1),
        "target": 4,
    },
}


@pytest.mark.parametrize("given", DATA.values(), ids=DATA)
def test_data_of_any_kind(given):
    run = losslab.train(loss="cross_entropy", max_epochs=1, **given)
    assert run.record["task"] == "classification"
    assert run.record["status"] == "done"
    assert run.metrics()["accuracy"] > 0


def test_the_splits_of_a_datamodule_are_kept():
    run = losslab.train(loss="cross_entropy", data=Module(), max_epochs=1)
    assert run.record["sizes"] == {"train": 60, "val": 30, "test": 30}


@pytest.mark.parametrize(
    ("targets", "task"),
    [(CLASSES, "classification"), (VALUES, "regression"), (X > 0, "multilabel")],
)
def test_the_task_follows_from_the_targets(targets, task, capfd):
    loss = {"regression": "mse"}.get(task, "bce")
    assert losslab.train(loss=loss, data=(X, targets), max_epochs=1).record["task"] == task
    assert f"task: {task}, since the targets are" in capfd.readouterr().err


def test_a_feature_called_target_is_kept():
    frame = pd.DataFrame(X, columns=["target", "b", "c", "d"])
    run = losslab.train(loss="mse", data=(frame, pd.Series(X[:, 0])), max_epochs=30, lr=0.01)
    assert run.metrics()["r2"] > 0.9
    assert run.config["data"]["target"] == "_target"
    both = losslab.train(loss="mse", data=(frame, X[:, :2]), max_epochs=1)
    assert list(both.config["data"]["target"]) == ["_target0", "_target1"]


def test_few_integers_may_be_values():
    run = losslab.train(loss="mse", data=(X, CLASSES), task="regression", max_epochs=1)
    assert run.record["task"] == "regression"


def test_the_command_line_gives_the_same_numbers():
    result = losslab.compare(losses=["cross_entropy", "focal"], data="digits", **QUICK)
    command = "losslab -m loss=cross_entropy,focal data=digits trainer.max_epochs=2 seed=0,1"
    assert result.command() == command
    own = {(run.loss, run.seed): run.record for run in result.comparison.runs}
    stacks = ["hydra/launcher=lockstep", "hydra.launcher.workers=1", "paths.log_dir=shell"]
    assert run([*command.split()[1:], *stacks]) == 0
    others = collect([Path("shell")])
    assert len(others.runs) == len(own) == 4
    for other in others.runs:
        record = own[other.loss, other.seed]
        assert other.record["test"] == record["test"]
        assert other.record["best"]["metrics"] == record["best"]["metrics"]


def test_a_dataframe_gives_the_same_numbers_as_its_file():
    frame = FRAME.assign(e=np.where(X[:, 0] > 1, None, X[:, 1] / 3), f=CLASSES.astype(str))
    frame.to_csv("table.csv", index=False)
    here = losslab.train(loss="cross_entropy", data=frame, target="kind", max_epochs=1)
    given = ["loss=cross_entropy", "data=table", "data.path=table.csv", "data.target=kind"]
    assert run([*given, "data.text=[f]", "trainer.max_epochs=1", "paths.log_dir=shell"]) == 0
    [there] = collect([Path("shell")]).runs
    assert there.record["hashes"] == here.record["hashes"]
    assert there.record["test"] == here.record["test"]


def test_losses_with_options_have_lines_of_their_own():
    losses = ["mse", "huber loss.delta=2", "mae"]
    result = losslab.compare(losses=losses, data="regression", **QUICK)
    assert result.command().splitlines() == [
        "losslab -m loss=mse,mae data=regression trainer.max_epochs=2 seed=0,1",
        "losslab -m loss=huber data=regression trainer.max_epochs=2 loss.delta=2 seed=0,1",
    ]


def scaled_error(prediction, target):
    return 3 * (prediction - target).square().mean()


def test_losses_have_the_labels_that_they_are_given():
    losses = {
        "small": ("huber", {"delta": 0.5}),
        "large": "huber loss.delta=20",
        "plain": "mse",
        "torch_l1": nn.L1Loss,
        "own": lambda prediction, target: 3 * (prediction - target).square().mean(),
    }
    result = losslab.compare(losses=losses, data="regression", **QUICK)
    assert set(result.table()["row"]) == losses.keys()
    assert len(result.comparison.tables) == 1
    deltas = result.runs().groupby("row")["loss.delta"].first()
    assert (deltas["small"], deltas["large"]) == (0.5, 20)
    own = losslab.load(result.folder).runs().set_index(["row", "seed"])["test/ref/mse"]
    assert own["own", 0] == pytest.approx(own["plain", 0], rel=1e-3)  # Adam ignores the scale
    with pytest.raises(losslab.UserError, match="own was given in Python"):
        result.command()
    losses["own"] = scaled_error
    named = losslab.compare(losses=losses, data="regression", seeds=1, max_epochs=1)
    assert named.command().splitlines()[0] == (
        "losslab -m loss=huber data=regression trainer.max_epochs=1 loss.delta=0.5 label=small "
        "seed=0"
    )
    assert "loss._target_=torch.nn.modules.loss.L1Loss label=torch_l1" in named.command()
    assert f"loss._target_={__name__}.scaled_error label=own" in named.command()


def test_a_label_on_the_command_line():
    given = ["loss=huber", "loss.delta=2", "label=huber2", "trainer.max_epochs=1"]
    assert run([*given, "paths.log_dir=here"]) == 0
    [found] = collect([Path("here")]).runs
    assert found.loss == "huber2"
    assert found.folder.parent.name == "huber2"


def test_advice_is_in_python_if_the_runs_were_made_there():
    result = losslab.compare(losses=["mse", "mae"], data="regression", folder="here", **QUICK)
    assert "Next: more seeds: at least 6: result.extend(seeds=4)" in result.answer
    [found] = answers(compare(collect([Path("here")])))  # as losslab compare finds them
    assert "result.extend(seeds=4)" in found.next_step


def test_what_decides_may_be_chosen_when_it_is_loaded():
    result = losslab.compare(losses=["mse", "mae"], data="regression", folder="here", **QUICK)
    loaded = losslab.load("here", baseline="mse", metrics="rmse", within={"rmse": 0.5})
    [pair] = loaded.pairs().to_dict("records")
    assert (pair["b"], pair["metric"], pair["within"]) == ("mse", "rmse", 0.5)
    assert losslab.load("here").pairs()["metric"].tolist() == ["mae"]
    with pytest.raises(losslab.UserError, match="unknown metric 'rmsee'"):
        losslab.load("here", metrics="rmsee").pairs()
    with pytest.raises(losslab.UserError, match="no learning rate was tuned"):
        result.plot.learning_rates()


def test_what_a_paper_needs(capsys, monkeypatch):
    monkeypatch.setattr(losslab.report.paper, "_figures", lambda *given: [])
    monkeypatch.setattr(losslab.commands.compare, "show", lambda *given: None)
    result = losslab.compare(losses={"l1": nn.L1Loss()}, data="regression", **QUICK)
    assert result.paper("paper", spread="interval") == Path("paper")
    assert "Paszke et al., 2019" in Path("paper", "methods.txt").read_text()
    assert "95\\,\\% confidence" in Path("paper", "tables.tex").read_text()
    assert run(["compare", str(result.folder), "--paper", "other", "--spread", "sd"]) == 0
    assert "paper: other" in capsys.readouterr().out
    assert "standard deviation" in Path("other", "tables.tex").read_text()
    with pytest.raises(losslab.UserError, match="spread must be 'sd' or 'interval' or 'none'"):
        result.paper("paper", spread="se")
    with pytest.raises(losslab.UserError, match="paper needs a folder, got the file"):
        result.paper(Path("paper", "methods.txt"))


def test_one_by_one_is_like_a_run_of_the_command_line():
    result = losslab.compare(losses=["mse"], data="regression", engine="one by one", **QUICK)
    assert run(["loss=mse", "trainer.max_epochs=2", "paths.log_dir=shell"]) == 0
    [other] = collect([Path("shell")]).runs
    [same] = [each for each in result.comparison.runs if each.seed == 0]
    assert other.record["test"] == same.record["test"]


def test_further_seeds_are_a_further_look():
    result = losslab.compare(losses=["mse", "mae"], data="regression", **QUICK)
    assert "2 seeds" in result.answer
    more = result.extend(seeds=1)
    assert sorted(set(more.runs()["seed"])) == [0, 1, 2]
    assert "3 seeds" in result.answer  # also if what extend returns is not kept
    assert set(more.pairs()["looks"]) == {2}
    assert sorted(set(more.extend(seeds=np.array([7, 0])).runs()["seed"])) == [0, 1, 2, 7]


@pytest.mark.parametrize("seeds", [-2, 1.5, "3", None])
def test_further_seeds_are_numbers(seeds):
    result = losslab.compare(losses=["cross_entropy"], data=(X, CLASSES), seeds=1, max_epochs=1)
    with pytest.raises(losslab.UserError, match="seeds must be a number of seeds or a list"):
        result.extend(seeds)


def test_margins_of_a_loaded_comparison_are_by_metric():
    result = losslab.compare(losses=["cross_entropy"], data=(X, CLASSES), seeds=1, max_epochs=1)
    with pytest.raises(losslab.UserError, match=r"within must be like .*, got 0\.1"):
        losslab.load(result.folder, within=0.1)


def test_a_frozen_part_without_state_may_be_shared():
    layer = nn.Linear(4, 6).requires_grad_(False)
    result = losslab.compare(
        model=lambda: nn.Sequential(layer, nn.Linear(6, 2)),
        data=(X, CLASSES),
        losses=["cross_entropy"],
        seeds=2,
        max_epochs=1,
    )
    assert list(result.runs()["outcome"]) == ["done", "done"]


def test_it_is_saved_and_loaded(tmp_path):
    result = losslab.compare(
        losses=["mse", "mae"], data="regression", metrics=["rmse"], baseline="mse", **QUICK
    )
    saved = result.save(tmp_path / "kept")
    loaded = losslab.load(saved.folder)
    assert set(loaded.pairs()["metric"]) == {"rmse"}
    assert set(loaded.pairs()["b"]) == {"mse"}
    assert loaded.answer == result.answer
    page = loaded.report(tmp_path / "page" / "report.html")
    assert "mae" in page.read_text()
    with pytest.raises(losslab.UserError, match="exists: save to a new folder"):
        result.save(tmp_path / "kept")
    with pytest.raises(losslab.UserError, match="is not the folder of a comparison"):
        losslab.load(tmp_path)


def test_a_sweep_of_the_command_line_is_loaded():
    assert run(["-m", "loss=mse,mae", "seed=0,1", "trainer.max_epochs=1"]) == 0
    [folder] = [path.parent for path in Path("logs").rglob("sweep.json")]
    assert losslab.load(folder).extend(seeds=1).runs()["seed"].nunique() == 3


def test_an_interrupted_comparison_goes_on(monkeypatch, capfd):
    train = engine.train_run

    def interrupted(job):
        if job.config.seed == 1:
            raise KeyboardInterrupt
        train(job)

    given = {"losses": {"own": nn.L1Loss()}, "data": (X, VALUES), "engine": "one by one"}
    with monkeypatch.context() as patch:
        patch.setattr(engine, "train_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            losslab.compare(folder="begun", **given, **QUICK)
    assert 'interrupted; to go on: losslab.load("begun").extend(seeds=0)' in capfd.readouterr().err
    begun = losslab.load("begun")
    assert list(begun.runs()["seed"]) == [0]
    assert sorted(begun.extend(seeds=0).runs()["seed"]) == [0, 1]


def test_further_seeds_of_an_interrupted_comparison_come_after_those_that_are_planned(monkeypatch):
    def interrupted(jobs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_train_together", interrupted)
        with pytest.raises(KeyboardInterrupt):
            losslab.compare(losses=["mse"], data="regression", folder="begun", **QUICK)
    assert sorted(losslab.load("begun").extend(seeds=1).runs()["seed"]) == [0, 1, 2]


def final_losses(result):
    rows = result.runs().set_index(["row", "seed"])
    return rows["test/loss"].to_dict()


def test_each_comparison_goes_on_with_its_own_objects():
    given = {"data": (X, VALUES), "task": "regression", **QUICK}
    once = losslab.compare(losses={"own": lambda p, t: (p - t).abs().mean()}, **given)
    losslab.compare(losses={"own": lambda p, t: 3 * (p - t).abs().mean()}, **given)
    expected = losslab.compare(losses={"own": nn.L1Loss()}, **{**given, "seeds": 3})
    assert final_losses(once.extend(seeds=1)) == pytest.approx(final_losses(expected), rel=1e-4)


def test_a_loss_that_is_changed_afterwards_is_extended_as_it_was():
    loss = nn.SmoothL1Loss(beta=1.0)
    given = {"data": (X, VALUES), **QUICK}
    result = losslab.compare(losses={"own": loss}, **given)
    loss.beta = 50.0
    expected = losslab.compare(losses={"own": nn.SmoothL1Loss(beta=1.0)}, **{**given, "seeds": 3})
    assert final_losses(result.extend(seeds=1)) == pytest.approx(final_losses(expected), rel=1e-4)


def test_another_process_is_given_the_objects_again(monkeypatch):
    loss, model = {"own": nn.L1Loss()}, partial(Net, 1)
    losslab.compare(losses=loss, model=model, data=(X, VALUES), folder="begun", **QUICK)
    monkeypatch.setattr(losslab.given, "_OBJECTS", {})  # as in another process
    with pytest.raises(
        losslab.UserError, match=r"own of these runs was .* model=..., losses={...}"
    ):
        losslab.load("begun").extend(seeds=1)
    with pytest.raises(
        losslab.UserError, match="losses has mine, but this comparison was given the"
    ):
        losslab.load("begun", losses={"mine": nn.L1Loss()})
    more = losslab.load("begun", losses=loss, model=model).extend(seeds=1)
    assert sorted(more.runs()["seed"]) == [0, 1, 2]


def test_a_folder_of_others_runs_only_known_code(monkeypatch):
    losslab.compare(losses=["mse"], data="regression", folder="theirs", **QUICK)
    path = Path("theirs", "sweep.json")
    path.write_text(
        path.read_text().replace('"trainer.max', '"loss._target_=os.system", "trainer.max')
    )
    with pytest.raises(
        losslab.UserError, match=r"run os.system \(loss\).*use losslab.load\(folder,"
    ):
        losslab.load("theirs").extend(seeds=1)


def test_a_saved_comparison_has_its_data():
    result = losslab.compare(losses=["mse"], data=(X, VALUES), folder="before", **QUICK)
    losses = final_losses(result)
    result.save("saved")
    shutil.rmtree("before")
    Path("saved").rename("moved")
    more = losslab.load("moved").extend(seeds=1)
    assert len(more.comparison.tables) == 1
    assert losses.items() < final_losses(more).items()
    assert len(list(Path("moved").glob("mse*"))) == 1
    assert run(["evaluate", "moved/mse/seed0"]) == 0


class FailsInTest(Net):
    def forward(self, inputs):
        if torch.is_inference_mode_enabled():
            raise RuntimeError("not today")
        return super().forward(inputs)


def test_why_runs_failed_is_said_and_logged(capfd):
    result = losslab.compare(
        model=FailsInTest,
        losses=["mse"],
        data=(X, VALUES),
        engine="one by one",
        folder="kept",
        **QUICK,
    )
    assert list(result.runs()["outcome"]) == ["failed", "failed"]
    assert "<table>" in result._repr_html_()
    assert "<img" not in result._repr_html_()
    said = capfd.readouterr().err
    assert "failed: mse/seed0: exception: RuntimeError: not today" in said
    assert 'losslab.load("kept").extend(seeds=0)' in said
    assert "Traceback" not in said
    assert "Traceback" in Path("kept", "mse", "seed0", "run.log").read_text()


def test_networks_that_cannot_be_stacked_train_one_by_one(capfd):
    class Recurrent(nn.Sequential):
        def __init__(self):
            super().__init__(nn.LSTM(4, 8), nn.Linear(8, 2))

        def forward(self, inputs):
            return self[1](self[0](inputs)[0])

    result = losslab.compare(
        model=Recurrent,
        losses={"ce": nn.CrossEntropyLoss(label_smoothing=0.1)},
        data=(X, CLASSES),
        **QUICK,
    )
    assert list(result.runs()["outcome"]) == ["done", "done"]
    assert "2 jobs one by one, because the network cannot be mapped" in capfd.readouterr().err


class Noisy(Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, place):
        return torch.tensor(X[place]) + torch.randn(4), int(CLASSES[place])


def test_a_random_dataset_is_read_again_in_each_epoch_and_can_be_given_again():
    data, kept = Noisy(), Path("kept")
    result = losslab.compare(losses=["cross_entropy", "focal"], data=data, folder=kept, **QUICK)
    records = [read_json(path) for path in kept.glob("*/seed0/record.json")]
    assert [each["status"] for each in records] == ["done", "done"]
    assert len({each["hashes"]["data"] for each in records}) == 1
    assert "Noisy draws random numbers" in records[0]["data_notes"][0]
    losslab.given._OBJECTS.clear()  # as in another process
    with pytest.raises(losslab.UserError, match=r"data of these runs .*load\(folder, data="):
        result.extend(seeds=1)
    assert len(losslab.load(kept, data=data).extend(seeds=1).runs()) == 6


def test_formats_that_a_loss_is_tried_with_do_not_warn(recwarn):
    losslab.train(loss=nn.MSELoss(), data=(X, CLASSES), max_epochs=1)
    assert not [each for each in recwarn if "target size" in str(each.message)]


def test_losses_that_are_given_by_position_are_called_after_what_they_call():
    smooth = partial(nn.functional.cross_entropy, label_smoothing=0.1)
    result = losslab.compare(
        losses=[smooth], data=(X, CLASSES), seeds=np.arange(2), max_epochs=1, metrics="accuracy"
    )
    assert set(result.runs()["row"]) == {"cross_entropy"}


def test_the_process_is_left_as_it_was():
    torch.set_num_threads(2)
    torch.manual_seed(5)
    logger = logging.getLogger("pytorch_lightning")
    before = [
        *(torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state().tolist()),
        *(np.random.get_state()[1].tolist(), dict(os.environ), list(warnings.filters)),
        *(logger.level, logger.propagate, list(logger.handlers), list(logging.root.handlers)),
    ]
    losslab.compare(
        losses=["mse"], data="regression", options=["trainer.precision=64-true"], **QUICK
    )
    after = [
        *(torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state().tolist()),
        *(np.random.get_state()[1].tolist(), dict(os.environ), list(warnings.filters)),
        *(logger.level, logger.propagate, list(logger.handlers), list(logging.root.handlers)),
    ]
    torch.set_num_threads(1)
    assert after == before


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, CLASSES, strict=True))


class NeedsScale(nn.Module):
    def __init__(self, scale):
        super().__init__()


SHARED, LAYERS = Net(2), Net(2).layers


class Wide(Net):
    def __init__(self, width):
        super().__init__(2, width)


WRONG = {
    "a ready network": (
        {"model": Net(2)},
        "made anew for each seed, got a ready Net",
    ),
    "no model": ({"model": 3}, "model must be a name, a class or a function, got 3"),
    "a label": ({"losses": {"a b": nn.MSELoss()}}, "a label must be of letters, digits and _"),
    "no losses": ({"losses": []}, "losses must have at least one loss"),
    "one text": ({"losses": "mse"}, "losses must be a list, or a mapping by label"),
    "an unknown loss": ({"losses": ["msee"]}, "unknown loss 'msee': did you mean mse"),
    "no options": (
        {"losses": [("focal", 2)]},
        'a loss with options must be like ("huber", {"delta": 2}), got (\'focal\', 2)',
    ),
    "no plain option": (
        {"losses": [("focal", {"gamma": RNG})]},
        "an option of a loss must be a plain value, got gamma=Generator",
    ),
    "an option of a loss": ({"losses": [("focal", {"gama": 2})]}, "did you mean loss.gamma"),
    "a label twice": (
        {"losses": ["focal", ("focal", {"gamma": 2})]},
        "two losses are called focal: give them as a mapping by label",
    ),
    "no loss": ({"losses": [3]}, "a loss must be a name, a class, a function or a module, got 3"),
    "two alike": ({"losses": [nn.MSELoss(), nn.MSELoss()]}, "two losses are called MSELoss"),
    "data": ({"data": 3}, "data must be a name, (X, y), a DataFrame"),
    "no samples": ({"data": []}, "list must have samples, got none"),
    "an unknown set": ({"data": "digitz"}, "unknown data 'digitz': did you mean digits"),
    "a column": ({"data": FRAME, "target": "zzz"}, "target must name columns of the DataFrame"),
    "a column twice": (
        {"data": FRAME.set_axis(list("aacdk"), axis=1), "target": "k"},
        "the DataFrame must have distinct column names, got 'a' twice",
    ),
    "a series": (
        {"data": FRAME, "target": FRAME["kind"]},
        "target must name columns of the DataFrame, got a Series: give data=(X, y)",
    ),
    "several values": (
        {"options": ["optimizer.lr=0.1,0.2"]},
        "optimizer.lr=0.1,0.2 has several values, but all runs share options",
    ),
    "a seed": ({"options": ["seed=3"]}, "seed=3 is not an option of all runs: give it as an arg"),
    "a loss": ({"options": ["loss=mse"]}, "loss=mse is not an option of all runs: give it as an"),
    "values as classes": (
        {"losses": {"ce": "cross_entropy"}, "data": (X, VALUES)},
        'provides values. If the targets suit it, add task="classification". Losses that fit: ',
    ),
    "one option": ({"options": "data.zzz=1"}, "losslab --cfg job, in a shell"),
    "log-probabilities": (
        {"losses": {"mine": nn.NLLLoss()}},
        'It fits as losses={"mine": losslab.losses.OnLogSoftmax(NLLLoss(...))}',
    ),
    "a function of log-probabilities": (
        {"losses": {"mine": lambda p, t: 2 * nn.functional.nll_loss(p, t)}},
        'It fits as losses={"mine": losslab.losses.OnLogSoftmax(mine)}',
    ),
    "identifiers": (
        {"data": FRAME.assign(id=[f"p{i}" for i in range(120)]), "target": "kind"},
        'exclude them with options=["data.drop=[id]"], or number their entries with options=["',
    ),
    "text as values": (
        {"losses": ["mse"], "task": "regression", "data": (X, FRAME["kind"].to_numpy())},
        "data=arrays: targets must be numbers to be values",
    ),
    "a task of other targets": (
        {"task": "segmentation"},
        'expects mask targets, got classes: add task="classification"',
    ),
    "an argument of a loss": (
        {"losses": {"mine": NeedsScale}},
        "loss: NeedsScale needs scale: give NeedsScale(scale=...)",
    ),
    "an argument of a model": (
        {"model": Wide},
        "model=Wide: Wide needs width: give lambda: Wide(width=...)",
    ),
    "no column": ({"data": FRAME}, "target must name columns of the DataFrame, got None"),
    "a target": ({"target": "kind"}, "target is a column of a DataFrame, got tuple as data"),
    "a rate": ({"lr": -1}, "optimizer.lr must be a number > 0, got -1"),
    "seeds": ({"seeds": "abc"}, "seeds must be a number of seeds or a list of them, got 'abc'"),
    "a metric": ({"metrics": ["acuracy"]}, "unknown metric 'acuracy': did you mean accuracy"),
    "an option": ({"options": ["data.zzz=1"]}, "unknown key data.zzz"),
    "one array": ({"data": X}, "data must be a name, (X, y), a DataFrame, a Dataset"),
    "four arrays": ({"data": (X, CLASSES, X, CLASSES)}, "LightningDataModule, got tuple of 4"),
    "two Datasets": ({"data": (DATASET, DATASET)}, "data must be one Dataset, got 2"),
    "two DataLoaders": (
        {"data": (DataLoader(DATASET), DataLoader(DATASET))},
        "got 2: give that of all samples, which losslab splits, or a LightningDataModule",
    ),
    "a sparse matrix": ({"data": (csr_matrix(X), CLASSES)}, "inputs must be dense, got csr_matrix"),
    "rows of two lengths": ({"data": ([[1, 2], [3]] * 60, CLASSES)}, "numbers of one shape: "),
    "a margin without its metric": (
        {"within": 0.1},
        'within must be like {"accuracy": 0.005}, got',
    ),
    "one network for all seeds": (
        {"model": lambda: SHARED, "seeds": 2},
        "model=model must be made anew for each run, but layers.0 is that of an earlier one",
    ),
    "one layer for all seeds": (
        {
            "model": lambda: nn.Sequential(nn.ReLU(), LAYERS),
            "seeds": 2,
        },
        "but 1.0 is that of an earlier one: make it in the function, or copy it",
    ),
    "a stream": ({"data": Stream()}, "a torch Dataset with __len__ and __getitem__, or a Li"),
    "one-hot": (
        {"data": (X, np.eye(2)[CLASSES])},
        "one-hot classes or labels: give targets.argmax",
    ),
    "no network": ({"model": lambda: None}, "model=model must be an nn.Module, got NoneType"),
    "a baseline": ({"baseline": "crossentropy"}, "unknown baseline 'crossentropy': did you mean"),
    "a task": ({"task": "clasification"}, "unknown task 'clasification': did you mean"),
    "an optimizer": (
        {"optimizer": torch.optim.Adam},
        "optimizer must be a name in conf/, got <class",
    ),
    "an engine": ({"engine": "fast"}, "engine must be 'lockstep' or 'one by one', got 'fast'"),
    "a file": ({"folder": __file__}, "folder must be a folder, got the file"),
    "lengths of a frame": ({"data": (FRAME, CLASSES[:5])}, "got inputs 120, targets 5"),
    "lengths": ({"data": (X, CLASSES[:5])}, "arrays of equal length, got inputs 120, targets 5"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(given, words):
    usual = {"data": (X, CLASSES), "losses": ["cross_entropy"], "seeds": 1, "max_epochs": 1}
    with pytest.raises(losslab.UserError) as caught:
        losslab.compare(**usual | given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [path for path in Path().rglob("*") if path.is_file()]


def test_a_refusal_keeps_what_was_in_the_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(losslab.UserError, match=r"unknown key data\.zzz"):
        losslab.compare(
            losses=["mse"], data=(X, VALUES), folder=tmp_path / "mine", options=["data.zzz=1"]
        )
    assert (tmp_path / "mine" / "notes.txt").exists()


def test_a_model_given_in_python_has_no_command(tmp_path):
    result = losslab.compare(model=lambda: Net(2), data=(X, CLASSES), losses=["focal"], **QUICK)
    with pytest.raises(losslab.UserError, match="model was given in Python: define it in a module"):
        result.command()
    [run] = [each for each in result.comparison.runs if each.seed == 0]
    assert re.fullmatch(r"losslab\.given\.x\w{8}\.model", run.config["model"]["_target_"])
    assert json.loads((result.folder / "comparison.json").read_text())["engine"] == "lockstep"


def test_there_is_a_winner_if_it_is_better_than_all_others():
    targets = VALUES.copy()
    targets[::10] += 60
    result = losslab.compare(
        losses=["mae", "mse"],
        data=(X, targets),
        seeds=8,
        max_epochs=15,
        lr=0.02,
        metrics=["mae"],
        options=["data.split_seed=0", "data.standardize_targets=false", "model.hidden=[]"],
    )
    beaten = set(result.pairs().loc[result.pairs()["verdict"] != "undecided", "better"])
    assert result.winner == (beaten.pop() if beaten else None)
