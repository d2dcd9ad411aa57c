"""What resume=RUN takes, what it recomputes, and what it leaves in the record."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from losslab import cli
from losslab.config.errors import UserError
from losslab.resume import changed_config
from losslab.training import saved_config

PAST = Path(__file__).parents[1] / "past" / "v0_1" / "runs" / "focal"
SWEEP = Path(__file__).parents[1] / "past" / "v0_1" / "sweep"


def rates(run):
    """Return the learning rate of each epoch as the run's curves have it."""
    curves = pd.read_csv(run / "metrics.csv")
    return curves[curves["name"].isin(["lr", "train/lr"])].set_index("step")["value"].to_dict()


@pytest.mark.parametrize(
    "given",
    [
        "trainer.gradient_clip_val=1",
        "trainer.limit_train_batches=2",
        "trainer.precision=64-true",
        "trainer.accumulate_grad_batches=2",
        "trainer.check_val_every_n_epoch=2",
        "trainer.overfit_batches=1",
        "optimizer.lr=1",
        "loss.gamma=1",
        "trainer=cpu",
        "seed=3",
    ],
)
def test_what_a_run_is_made_of_stays(given):
    with pytest.raises(
        UserError, match=r"cannot be changed when resuming .*: .*trainer\.max_epochs"
    ):
        changed_config(saved_config(PAST), [given])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("trainer.max_epoch=3", "did you mean trainer.max_epochs"),
        ("los=mse", r"los is not an option of this run: did you mean loss\?$"),
        ("loss.gama=1", r"did you mean loss.gamma\?$"),
        ("trainer.max_epochs=0", "trainer.max_epochs must be a whole number"),
        ("threads=many", "threads must be a whole number from 1 to 4096, got many"),
    ],
)
def test_what_is_wrong_is_refused(given, words):
    with pytest.raises(UserError, match=words):
        changed_config(saved_config(PAST), [given])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cfg", "job"], "shows the config of a new run; what resume= runs is in {file}"),
        (["-c", "job"], "what resume= runs is in {file}"),
        (["--cfg=job"], "what resume= runs is in {file}"),
        (["--info"], "--info cannot be combined with resume=: remove it"),
        (["--hydra-help"], "--hydra-help cannot be combined with resume=: remove it"),
        (["--config-name", "x"], "--config-name is not supported"),
        (["--run"], "--run cannot be combined with resume=: remove it"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
@pytest.mark.parametrize("file", [PAST / "config.yaml", SWEEP / "sweep.json"])
def test_flags_are_refused(flags, words, file):
    with pytest.raises(UserError) as refused:
        cli.run([f"resume={file.parent}", *flags])
    assert str(refused.value).startswith(flags[0])
    assert words.format(file=file) in str(refused.value)


@pytest.mark.parametrize("flags", [["-m"], ["--multirun"]])
def test_multirun_by_habit_is_taken(flags):
    with pytest.raises(UserError, match="resume=nowhere: expected the folder of a run"):
        cli.run(["resume=nowhere", *flags])


def test_a_folder_is_needed():
    with pytest.raises(UserError, match="resume= needs the folder of a run or of a sweep"):
        cli.run(["resume="])


def test_what_conf_derives_is_recomputed():
    saved = saved_config(PAST)
    saved.overrides = [*saved.overrides, "data=mnist"]
    saved.data.data_dir = "data"
    config = changed_config(saved, ["trainer.max_epochs=8", "paths.data_dir=/else where"])
    assert config.data.data_dir == "/else where"
    assert "trainer.max_epochs=8" in config.overrides
    again = changed_config(config, ["trainer.max_epochs=9"])
    assert [each for each in again.overrides if "max_epochs" in each] == ["trainer.max_epochs=9"]


def test_what_conf_no_longer_gives_is_not_recomputed():
    saved = saved_config(PAST)
    saved.overrides = [*saved.overrides, "scheduler=cosine"]
    saved.scheduler = {"_target_": "x", "T_max": 77, "eta_min": 0.0}
    with pytest.raises(UserError, match=r"scheduler\.T_max .* cannot be recomputed"):
        changed_config(saved, ["trainer.max_epochs=8"])


def test_what_follows_and_must_stay_is_refused():
    saved = saved_config(PAST)
    saved.overrides = [*saved.overrides, "loss.gamma=${trainer.max_epochs}"]
    saved.loss.gamma = saved.trainer.max_epochs
    with pytest.raises(UserError, match=r"loss\.gamma depends on trainer\.max_epochs"):
        changed_config(saved, ["trainer.max_epochs=8"])


@pytest.mark.slow
def test_a_longer_run_has_the_rates_of_an_unbroken_one(command):
    line = ["loss=mse", "scheduler=step", "scheduler.step_size=3", "callbacks=quiet"]
    broken = command(*line, "trainer.max_epochs=4").run
    longer = command(f"resume={broken}", "trainer.max_epochs=8")
    assert longer.code == 0, longer.err
    whole = command(*line, "trainer.max_epochs=8")
    [unbroken] = [run for run in whole.records() if run != broken]
    assert rates(broken) == rates(unbroken)
    record = json.loads((broken / "record.json").read_text())
    assert "trainer.max_epochs=4" in record["command"]
    [resumed] = record["resumed"]
    assert "trainer.max_epochs=8" in resumed
    assert OmegaConf.load(broken / "config.yaml").trainer.max_epochs == 8


@pytest.mark.slow
def test_a_schedule_of_the_length_of_the_run_is_not_made_longer(command):
    run = command("loss=mse", "scheduler=cosine", "callbacks=quiet", "trainer.max_epochs=1").run
    before = {path: path.read_bytes() for path in run.rglob("*.*") if path.is_file()}
    refused = command(f"resume={run}", "trainer.max_epochs=2")
    assert refused.code == 2
    assert "scheduler.T_max depends on trainer.max_epochs and cannot be changed" in refused.err
    assert {path: path.read_bytes() for path in run.rglob("*.*") if path.is_file()} == before


def test_a_past_record_is_read(tmp_path):
    from losslab.runs.record import read_record

    assert read_record(Path(shutil.copytree(PAST, tmp_path / "run")))["resumed"] == []


def test_a_run_cannot_be_shortened(command):
    run = command("loss=mse", "trainer.max_epochs=3", "callbacks=quiet").run
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused = command(f"resume={run}", "trainer.max_epochs=2")
    assert refused.code == 2
    assert "trainer.max_epochs=2 is below the 3 epochs that this run has trained" in refused.err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
