"""What ends a run, and that its record holds the numbers of the weights that it ends with."""

import re
from pathlib import Path

import pytest
import torch

from kinds_of_run import LINE, RUNS, config_of
from losslab import cli
from losslab.config.errors import UserError
from losslab.resume import changed_config
from losslab.runs.curves import read_curves
from losslab.runs.record import read_record
from losslab.saved_config import saved_config
from losslab.training import check, evaluate, train

PATIENCE = ["task.checkpoint=best", "callbacks.run_writer.patience=1", "optimizer.lr=1e-30"]
FEW = ["data.batch_size=16"]  # 8 training, 3 validation and 3 test batches of the line
PLATEAU = ["scheduler=plateau", "scheduler.patience=0", "+scheduler.threshold=10"]
ONE_CYCLE = [
    "scheduler=step",
    "scheduler._target_=torch.optim.lr_scheduler.OneCycleLR",
    "+scheduler.max_lr=0.1",
]
STOP = "+callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping"


def trained(folder: Path, *overrides: str):
    config = config_of(*overrides)
    check(config)
    return train(config, folder)


RARELY = "trainer.check_val_every_n_epoch="
NO_TIME = "trainer.max_time=00:00:00:00"
SETTINGS = {
    # options beside those of a line: epochs, steps, what stopped the run
    "every epoch": (["trainer.max_epochs=2"], (2, 4, None)),
    "rarely": (["trainer.max_epochs=5", f"{RARELY}2"], (5, 10, None)),
    "only at the end": (["trainer.max_epochs=3", f"{RARELY}5"], (3, 6, None)),
    "no interval": (["trainer.max_epochs=2", f"{RARELY}null"], (2, 4, None)),
    "plateau, rarely": ([*PLATEAU, "trainer.max_epochs=5", f"{RARELY}2"], (5, 10, None)),
    "time": (["trainer.max_epochs=99", NO_TIME], (1, 2, "max_time")),
    "time, rarely": (["trainer.max_epochs=-1", NO_TIME, f"{RARELY}3"], (3, 6, "max_time")),
    "time, a minimum": (
        ["trainer.max_epochs=9", NO_TIME, "+trainer.min_epochs=2"],
        (2, 4, "max_time"),
    ),
    "patience": ([*PATIENCE, "trainer.max_epochs=9"], (2, 4, "patience")),
    "patience, a minimum": (
        [*PATIENCE, "trainer.max_epochs=9", "+trainer.min_epochs=4"],
        (4, 8, "patience"),
    ),
    "a callback": (
        ["trainer.max_epochs=9", STOP, "+callbacks.stop.monitor=val/mae", "optimizer.lr=1e-30"],
        (4, 8, "callback"),
    ),
    "two training batches": (
        [*FEW, "trainer.max_epochs=2", "trainer.limit_train_batches=2"],
        (2, 4, None),
    ),
    "half of the training batches": (
        [*FEW, "trainer.max_epochs=2", "trainer.limit_train_batches=0.5"],
        (2, 8, None),
    ),
    "one validation batch": ([*FEW, "trainer.limit_val_batches=1"], (1, 8, None)),
    "two thirds of validation": ([*FEW, "trainer.limit_val_batches=0.7"], (1, 8, None)),
    "one test batch": ([*FEW, "trainer.limit_test_batches=1"], (1, 8, None)),
    "no test": (["trainer.limit_test_batches=0", "test=false"], (1, 2, None)),
    "overfit": ([*FEW, "trainer.max_epochs=2", "trainer.overfit_batches=1"], (2, 2, None)),
    "overfit half": ([*FEW, "trainer.max_epochs=2", "trainer.overfit_batches=0.5"], (2, 8, None)),
    "one cycle": ([*ONE_CYCLE, "+scheduler.total_steps=2", "trainer.max_epochs=2"], (2, 4, None)),
    "accumulated": (["trainer.max_epochs=2", "trainer.accumulate_grad_batches=2"], (2, 2, None)),
}


@pytest.mark.parametrize(("options", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_a_run_ends_with_the_numbers_of_its_weights(tmp_path, options, expected):
    record = trained(tmp_path, *LINE, *options)
    assert record["status"] == "done", record["error"]
    assert (record["epochs"], record["steps"], record["stopped"]) == expected
    require_own_numbers(tmp_path)


@pytest.mark.parametrize("kind", ["episodes", "generated"])
@pytest.mark.parametrize("setting", ["only at the end", "time, rarely"])
def test_modules_with_their_own_steps_end_alike(tmp_path, kind, setting):
    options, (epochs, _, stopped) = SETTINGS[setting]
    record = trained(tmp_path, *RUNS[kind], *options)
    assert (record["epochs"], record["stopped"]) == (epochs, stopped), record["error"]
    require_own_numbers(tmp_path)


def require_own_numbers(run: Path) -> None:
    """Evaluate the checkpoints of a run again, and compare with its record and its curves."""
    record, curves = read_record(run), read_curves(run)
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert (saved["epoch"] + 1, saved["global_step"]) == (record["epochs"], record["steps"])
    validated = curves[curves["name"].str.startswith("val/")]
    assert validated["step"].max() == record["steps"]
    for which, kept in (("best", record["best"]), ("last", record["final"])):
        again = evaluate(run, ("val",), which)["val"]
        common = again.keys() & kept["metrics"].keys()
        assert common
        for name in common:
            assert again[name] == pytest.approx(kept["metrics"][name], rel=1e-6), name
    if saved_config(run).test:
        again = evaluate(run, ("val", "test"))["test"]
        assert again.keys() <= record["test"].keys()
        assert {name: record["test"][name] for name in again} == pytest.approx(again)


def test_each_split_has_its_own_limit(tmp_path):
    masks = [*RUNS["masks"], "data.batch_size=4"]  # their best threshold is that of validation
    trained(tmp_path / "0", *masks, "trainer.limit_test_batches=1")
    trained(tmp_path / "1", *masks)
    one, whole = (read_record(tmp_path / name) for name in "01")
    assert one["test"] != whole["test"]
    assert one["best"] == whole["best"]


REFUSED = {
    "+trainer.max_steps=5": "whole epochs: use trainer.max_epochs",
    "+trainer.min_steps=5": r"use \+trainer.min_epochs",
    "+trainer.val_check_interval=0.5": "use trainer.check_val_every_n_epoch",
    "+trainer.val_check_interval=1": "use trainer.check_val_every_n_epoch",
    "+trainer.fast_dev_run=true": "use debug=fdr",
    "+trainer.fast_dev_run=3": "use debug=fdr",
    "+trainer.num_sanity_val_steps=2": "debug=limit runs all parts",
    "+trainer.barebones=true": "use callbacks=quiet logger=none",
    "+trainer.logger=true": "use logger=",
    "+trainer.callbacks=[]": r"use \+callbacks.NAME",
    "+trainer.enable_checkpointing=true": "the best and the last checkpoint",
    "+trainer.enable_progress_bar=true": "use callbacks=default",
    "trainer.max_time=soon": "trainer.max_time must be DD:HH:MM:SS or null",
    "trainer.limit_train_batches=0.001": "none of the 2 train batches",
    "trainer.limit_val_batches=0.5": "none of the 1 val batches",
    "trainer.limit_test_batches=0": "none of the 1 test batches: .*test=false",
    "trainer.overfit_batches=0.5": "none of the 1 val batches",
    "trainer.max_epochs=-1": "never ends: add callbacks=early_stopping .*trainer.max_time",
    "trainer.max_epochs=-1 callbacks=early_stopping": (
        "never ends: add callbacks=early_stopping task.checkpoint=best"
    ),
    "trainer.max_epochs=-1 trainer.max_time=00:00:01:00 scheduler=cosine": "T_max must be a whole",
    " ".join([*ONE_CYCLE, "+scheduler.total_steps=3", "trainer.max_epochs=4"]): (
        "OneCycleLR cannot step after each of the 4 epochs"
    ),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.items(), ids=REFUSED)
def test_what_a_run_cannot_honour_is_refused_before_it(options, words):
    with pytest.raises(UserError, match=words) as refused:
        check(config_of(*LINE, *options.split()))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["+trainer.max_steps=-1", "+trainer.val_check_interval=1.0"])
def test_what_changes_nothing_is_taken(given):
    check(config_of(*LINE, given))


OWN_STEPS = {
    ("generated", "trainer.accumulate_grad_batches=2"): "increase data.batch_size",
    ("generated", "trainer.gradient_clip_val=1"): "lower optimizer.lr",
    ("episodes", "trainer.accumulate_grad_batches=2"): "increase data.num_envs",
    ("episodes", "trainer.gradient_clip_val=1"): "use task.module.max_grad_norm",
}


@pytest.mark.parametrize(("run", "words"), OWN_STEPS.items(), ids=map(" ".join, OWN_STEPS))
def test_a_trainer_does_not_change_the_steps_of_a_module(run, words):
    kind, given = run
    with pytest.raises(UserError, match=f"does not support {given.partition('=')[0]}: {words}"):
        check(config_of(*RUNS[kind], given))


def test_a_callback_that_ends_a_run_before_its_first_validation(tmp_path):
    timer = "+callbacks.stop={_target_:pytorch_lightning.callbacks.Timer,duration:'00:00:00:00'}"
    options = ["trainer.max_epochs=4", f"{RARELY}3", timer]
    record = trained(tmp_path, *LINE, *options)
    assert record["error"]["message"].startswith(
        "RuntimeError: training ended before the first validation"
    )


# --- resumed runs -------------------------------------------------------------------------------

SCHEDULERS = {
    "none": [],
    "step": ["scheduler=step", "scheduler.step_size=2"],
    "plateau": PLATEAU,
    "cosine of a given length": ["scheduler=cosine", "scheduler.T_max=6"],
}


def resumed(folder: Path, *overrides: str):
    return train(changed_config(saved_config(folder), overrides), folder, resume=True)


@pytest.mark.parametrize("kind", ["line", "episodes"])
@pytest.mark.parametrize("options", SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_longer_run_ends_as_an_unbroken_one(tmp_path, kind, options):
    trained(tmp_path / "broken", *RUNS[kind], *options, "trainer.max_epochs=2")
    resumed(tmp_path / "broken", "trainer.max_epochs=5")
    trained(tmp_path / "unbroken", *RUNS[kind], *options, "trainer.max_epochs=5")
    require_same(tmp_path / "broken", tmp_path / "unbroken")


def require_same(run: Path, other: Path) -> None:
    """Compare weights, optimizer and scheduler, curves, and record of two runs, bit by bit."""
    for which in ("best", "last"):
        one, two = (
            torch.load(folder / "checkpoints" / f"{which}.ckpt", weights_only=True)
            for folder in (run, other)
        )
        for part in ("state_dict", "optimizer_states"):
            torch.testing.assert_close(one[part], two[part], rtol=0, atol=0)
        assert one["lr_schedulers"] == two["lr_schedulers"]
    columns = ["epoch", "step", "name", "value"]
    curves = [
        curve[~curve["name"].str.startswith("test/")][columns].values.tolist()
        for curve in map(read_curves, (run, other))
    ]
    assert curves[0] == curves[1]
    one, two = read_record(run), read_record(other)
    for field in ("best", "improved", "final", "test", "epochs", "steps", "stopped"):
        assert one[field] == two[field], field


def test_a_schedule_of_the_length_of_the_run_is_not_made_longer(tmp_path):
    trained(tmp_path, *LINE, "scheduler=cosine", "trainer.max_epochs=2")
    words = (
        "scheduler.T_max depends on trainer.max_epochs and cannot be changed when resuming a run: "
        "start one with trainer.max_epochs=4"
    )
    with pytest.raises(UserError, match=re.escape(words)):
        resumed(tmp_path, "trainer.max_epochs=4")


@pytest.mark.parametrize("kind", ["line", "episodes"])
def test_a_run_that_has_stopped_stays_so(tmp_path, kind):
    before = trained(tmp_path, *RUNS[kind], *PATIENCE, "trainer.max_epochs=9")
    assert before["stopped"] == "patience"
    after = resumed(tmp_path, "trainer.max_epochs=12")
    for field in ("epochs", "steps", "stopped", "best", "final", "test"):
        assert after[field] == before[field]


def test_patience_and_time_can_be_raised(tmp_path):
    options = ["trainer.max_epochs=4", "trainer.max_time=00:00:00:00"]
    assert trained(tmp_path, *LINE, *options)["stopped"] == "max_time"
    assert resumed(tmp_path, "trainer.max_time=00:01:00:00")["epochs"] == 4
    assert read_record(tmp_path)["stopped"] is None


def test_a_last_epoch_that_a_longer_run_would_not_validate(tmp_path):
    trained(tmp_path, *LINE, "trainer.max_epochs=4", f"{RARELY}3")
    with pytest.raises(UserError, match="this run validated its last epoch, 4, which a longer one"):
        cli.run([f"resume={tmp_path}", "trainer.max_epochs=9"])
