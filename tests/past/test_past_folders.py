"""Folders made by version 0.1 go on being readable: resumed, evaluated, compared.

``v0_1/`` was made by that version's commands and is never made anew.
"""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from losslab import cli
from losslab.analysis.load import collect
from losslab.analysis.search import read_tuning
from losslab.runs.folder import PLAN_FILE
from losslab.runs.record import read_record
from losslab.saved_config import saved_config
from losslab.training import evaluate
from losslab.tuning import run_tuning

PAST = Path(__file__).parent / "v0_1"
RUNS = ("focal", "huber", "q_learning", "triplet")


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """Return a copy of the folders, which a test may write into."""
    return Path(shutil.copytree(PAST, tmp_path / "v0_1"))


@pytest.mark.parametrize("name", RUNS)
def test_a_past_run_is_evaluated_to_the_values_of_its_record(past: Path, name: str) -> None:
    folder = past / "runs" / name
    recorded = read_record(folder)["test"]
    measured = evaluate(folder, ("val", "test"))["test"]
    # what training measured of its final policy is not in a checkpoint; since version 3 of the
    # metrics, probabilities of focal loss are those of its own inverse link
    redefined = ("ece", "brier", "entropy") if name == "focal" else ()
    expected = {
        key: value
        for key, value in recorded.items()
        if not key.endswith("_final") and key not in redefined
    }
    assert expected.keys() <= measured.keys()
    for metric, value in expected.items():
        assert measured[metric] == pytest.approx(value, rel=1e-4, abs=1e-5), metric


def test_a_past_run_chooses_its_checkpoint_as_before() -> None:
    task = saved_config(PAST / "runs" / "focal").task
    assert (task.monitor, task.mode, task.ties) == ("accuracy", "max", "first")


@pytest.mark.slow
def test_a_past_run_goes_on(past: Path) -> None:
    folder = past / "runs" / "focal"
    assert cli.run([f"resume={folder}", "trainer.max_epochs=3"]) == cli.DONE
    record = read_record(folder)
    assert (record["status"], record["epochs"]) == ("done", 3)


def test_a_past_run_of_reinforcement_learning_goes_on(past: Path) -> None:
    """Counters, optimizer, replay buffer and environments go on from the checkpoint."""
    folder = past / "runs" / "q_learning"
    assert cli.run([f"resume={folder}", "trainer.max_epochs=3"]) == cli.DONE
    record = read_record(folder)
    assert (record["status"], record["epochs"]) == ("done", 3)
    curves = pd.read_csv(folder / "metrics.csv")
    steps = curves.loc[curves["name"] == "train/environment_steps", "value"]
    assert steps.tolist() == list(range(1500, 7501, 500))
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == (7500 - 1000) // 2
    assert state["optimizer_states"][0]["state"][0]["step"] == state["global_step"]


@pytest.mark.slow
def test_a_past_sweep_runs_what_is_missing(past: Path) -> None:
    sweep = past / "sweep"
    kept = {run.folder: run.record["heartbeat"] for run in collect([sweep]).runs}
    [lost] = [run.folder for run in collect([sweep]).runs if (run.loss, run.seed) == ("huber", 1)]
    before = read_record(lost)
    shutil.rmtree(lost)
    assert cli.run([f"resume={sweep}"]) == cli.DONE
    after = read_record(lost)
    assert after["hashes"] == before["hashes"]
    assert after["test"]["mae"] == pytest.approx(before["test"]["mae"], rel=1e-5)
    left = {run.folder: run.record["heartbeat"] for run in collect([sweep]).runs}
    assert {folder: at for folder, at in left.items() if folder != lost} == {
        folder: at for folder, at in kept.items() if folder != lost
    }


def test_a_past_sweep_is_read_whole() -> None:
    collection = collect([PAST / "sweep"])
    assert not collection.unreadable
    found = sorted((run.loss, run.seed, run.outcome) for run in collection.runs)
    assert found == [(loss, seed, "done") for loss in ("huber", "mse") for seed in range(3)]


def test_a_past_tuning_is_read_whole() -> None:
    tuning = read_tuning(PAST / "tuning")
    plan = json.loads((PAST / "tuning" / PLAN_FILE).read_text())
    assert list(tuning.losses) == plan["losses"] == ["mse", "huber"]
    assert all(tuning.best(loss) is not None for loss in tuning.losses)
    # each seed of this regression drew new samples
    assert "the search saw none of the final test samples" in tuning.lines()[1]


PATIENCE = "callbacks.keeper.patience=3"  # callbacks.run_writer.patience today


def with_patience(sweep: Path) -> None:
    """Name the run folders as version 0.1 did if the patience was given last."""
    for folder in sweep.glob("*callbacks=quiet*"):
        folder.rename(folder.with_name(folder.name.replace("quiet", f"quiet,{PATIENCE}")))


def modification_times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")}


def test_a_past_sweep_with_a_renamed_key_has_nothing_to_run(past: Path) -> None:
    sweep = past / "sweep"
    with_patience(sweep)
    saved = json.loads((sweep / "sweep.json").read_text())
    saved["arguments"].append(PATIENCE)
    (sweep / "sweep.json").write_text(json.dumps(saved))
    before = modification_times(sweep)
    assert cli.run([f"resume={sweep}"]) == cli.DONE
    assert modification_times(sweep) == before


def test_a_past_tuning_with_a_renamed_key_has_nothing_to_run(past: Path) -> None:
    tuning = past / "tuning"
    for part in ("search", "final"):
        with_patience(tuning / part)
    plan = json.loads((tuning / PLAN_FILE).read_text())
    plan["overrides"].append(PATIENCE)
    (tuning / PLAN_FILE).write_text(json.dumps(plan))
    before = modification_times(tuning)
    assert run_tuning([f"resume={tuning}"]) == cli.DONE
    assert modification_times(tuning) == before
