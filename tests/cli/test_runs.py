"""One run as a process: what it prints, what it leaves, and what it leaves after a kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losslab.metrics.labels import number
from losslab.runs.scores import read_scores

ROOT = Path(__file__).parents[2]
MNIST_10K = ROOT.parent / "shared" / "data"

pytestmark = pytest.mark.slow


def curves(run):
    return pd.read_csv(run / "metrics.csv").drop(columns="seconds")


def weights(run, which="best"):
    path = run / "checkpoints" / f"{which}.ckpt"
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def test_the_first_command(command):
    outcome = command("loss=focal", cold=True)
    assert outcome.code == 0, outcome.err
    record = outcome.record()
    assert record["test"]["accuracy"] >= 0.97
    assert record["status"] == "done"
    for words in ("accuracy", "tensorboard --logdir", outcome.run.name):
        assert words in outcome.out
    left = {path.relative_to(outcome.run).as_posix() for path in outcome.run.rglob("*")}
    assert {"config.yaml", "record.json", "metrics.csv", "scores.npz"} <= left
    assert {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= left


def test_what_a_run_shows_in_tensorboard(command):
    outcome = command("loss=focal", "trainer.max_epochs=2", "regularizer=l2")
    events = EventAccumulator(str(outcome.run)).Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"train/loss", "val/loss", "train/grad_norm", "train/lr"} <= scalars
    assert {"val/accuracy", "val/entropy", "val/ref/cross_entropy"} <= scalars
    assert {"curves/train_loss", "curves/val_accuracy"} <= scalars
    assert not [tag for tag in scalars if tag.startswith("test/") or tag == "lr"]
    assert {"train/part/data", "train/part/regularizer"} <= scalars
    assert not [tag for tag in scalars if "focal" in tag and "/ref/" not in tag]
    assert {"visuals/test/confusion", "visuals/test/predictions"} <= set(events.Tags()["images"])
    assert {"results", "_hparams_/session_start_info"} <= set(events.Tags()["tensors"])


def test_the_textbook_line(command):
    outcome = command("loss=mse", "data=regression")
    assert outcome.code == 0, outcome.err
    assert outcome.record()["test"]["slope_error"] < 0.05
    assert outcome.record()["test"]["intercept_error"] < 0.1


@pytest.mark.skipif(not MNIST_10K.is_dir(), reason="the MNIST files are not here")
def test_mnist(command):
    line = ["loss=cross_entropy", "data=mnist", "trainer.max_epochs=5"]
    outcome = command(*line, f"paths.data_dir={MNIST_10K}")
    assert outcome.code == 0, outcome.err
    assert outcome.record()["test"]["accuracy"] >= 0.97


def test_the_same_command_twice_gives_the_same_bits(command):
    arguments = ["loss=focal", "trainer.max_epochs=2", "model.dropout=0.3"]
    command(*arguments)
    outcome = command(*arguments)
    first, second = outcome.records()
    assert outcome.records()[first]["test"] == outcome.records()[second]["test"]
    pd.testing.assert_frame_equal(curves(first), curves(second), check_exact=True)
    for one, other in zip(weights(first).values(), weights(second).values(), strict=True):
        assert torch.equal(one, other)


def test_losses_of_one_seed_are_paired(command):
    for loss in ("cross_entropy", "hinge"):
        command(f"loss={loss}", "trainer.max_epochs=1")
    outcome = command("loss=focal", "trainer.max_epochs=1", "seed=1")
    by_loss = {record["loss"]: record["hashes"] for record in outcome.records().values()}
    assert by_loss["cross_entropy"] == by_loss["hinge"]
    assert set(by_loss["focal"]) == {"weights", "data", "batches"}
    for name, other in by_loss["focal"].items():
        assert other != by_loss["hinge"][name]


def test_killed_in_mid_training_and_resumed(command, tmp_path):
    """The killed command has a hash seed of its own, as no fork has."""
    arguments = ["loss=focal", "trainer.max_epochs=12", "model.dropout=0.4"]
    whole = command(*arguments)
    unbroken = whole.run
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "train.py"),
            *arguments,
            f"paths.log_dir={tmp_path / 'broken'}",
        ],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    killed = wait_for_epoch(tmp_path / "broken", 5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    epochs_before = json.loads((killed / "record.json").read_text())["epochs"]
    assert epochs_before < 12
    resumed = command(f"resume={killed}")
    assert resumed.code == 0, resumed.err
    for which in ("best", "last"):
        for one, other in zip(
            weights(unbroken, which).values(), weights(killed, which).values(), strict=True
        ):
            assert torch.equal(one, other)
    pd.testing.assert_frame_equal(curves(unbroken), curves(killed), check_exact=True)
    before, after = (json.loads((run / "record.json").read_text()) for run in (unbroken, killed))
    for field in ("best", "test", "epochs", "steps", "hashes", "status"):
        assert before[field] == after[field]


def test_a_run_in_float64_goes_on_to_the_bit(command):
    double = ["loss=focal", "model=mlp", "trainer.precision=64-true"]
    broken = command(*double, "trainer.max_epochs=2").run
    resumed = command(f"resume={broken}", "trainer.max_epochs=3")
    assert resumed.code == 0, resumed.err
    whole = command(*double, "trainer.max_epochs=3")
    [unbroken] = [run for run in whole.records() if run != broken]
    for name, weight in weights(unbroken, "last").items():
        assert weight.dtype == torch.float64
        assert torch.equal(weight, weights(broken, "last")[name])


def wait_for_epoch(logs, epoch):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for path in logs.rglob("record.json"):
            if json.loads(path.read_text()).get("epochs", 0) >= epoch:
                return path.parent
        time.sleep(0.01)
    raise TimeoutError


def test_resume_with_more_epochs(command):
    outcome = command("loss=mse", "trainer.max_epochs=3")
    longer = command(f"resume={outcome.run}", "trainer.max_epochs=5")
    assert longer.code == 0, longer.err
    assert outcome.record()["epochs"] == 5
    whole = command("loss=mse", "trainer.max_epochs=5")
    runs = list(whole.records())
    pd.testing.assert_frame_equal(
        curves(runs[0]).query("name == 'train/loss'").reset_index(drop=True),
        curves(runs[1]).query("name == 'train/loss'").reset_index(drop=True),
        check_exact=True,
    )


def test_a_checkpoint_of_another_architecture_is_refused(command):
    outcome = command("loss=mse", "trainer.max_epochs=1")
    before = (outcome.run / "record.json").read_bytes()
    config = OmegaConf.load(outcome.run / "config.yaml")
    config.model.hidden = [7]
    OmegaConf.save(config, outcome.run / "config.yaml")
    refused = command(f"resume={outcome.run}")
    assert refused.code == 2
    assert "another architecture" in refused.err
    assert (outcome.run / "record.json").read_bytes() == before


@pytest.mark.parametrize(
    "other",
    ["loss=mae", "scheduler=step", "optimizer.lr=1", "seed=3", "task.epochs=9", "trainer=cpu"],
)
def test_what_a_run_is_made_of_stays_when_it_goes_on(command, other):
    outcome = command("loss=mse", "trainer.max_epochs=1")
    before = (outcome.run / "config.yaml").read_bytes()
    refused = command(f"resume={outcome.run}", other)
    assert refused.code == 2
    assert "cannot be changed when resuming" in refused.err
    assert (outcome.run / "config.yaml").read_bytes() == before


def test_a_loss_that_becomes_nan(command):
    outcome = command("loss=mse", "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_epochs=5")
    assert outcome.code == 1
    record = outcome.record()
    assert record["status"] == "failed"
    assert record["error"]["kind"] == "diverged"
    assert record["error"]["step"] >= 1
    assert "loss=mse became" in outcome.err
    assert "at step" in outcome.err


def test_a_run_that_diverges_late_keeps_its_last_good_checkpoint(command):
    first = command("loss=mse", "trainer.max_epochs=2")
    good = weights(first.run, "last")
    outcome = command(f"resume={first.run}", "trainer.max_epochs=4", "trainer.precision=33")
    assert outcome.code == 2  # a trainer that cannot be built changes nothing
    assert all(torch.equal(good[name], value) for name, value in weights(first.run, "last").items())


def test_evaluate_repeats_the_record(command):
    outcome = command("loss=focal", "trainer.max_epochs=2")
    judged = command(
        str(outcome.run), "--split", "test", "--split", "val", script="scripts/evaluate.py"
    )
    assert judged.code == 0, judged.err
    # in the style of the table that the run printed, with the same numbers
    lines = {tuple(line.split()) for line in judged.out.splitlines()}
    [head] = [line for line in outcome.out.splitlines() if line.split()[:1] == ["metric"]]
    assert head.split() == ["metric", "validation", "test"]
    assert ("metric", "test", "validation") in lines
    accuracy = number(outcome.record()["test"]["accuracy"])
    [row] = [line for line in lines if line[:1] == ("accuracy",)]
    assert row[1] == accuracy
    assert "focal on digits, seed 0 (best checkpoint)" in judged.out
    assert f"run folder  {outcome.run}" in judged.out
    wrong = command(str(outcome.run), "--metric", "acuracy", script="scripts/evaluate.py")
    assert wrong.code == 2
    none = command("nowhere", script="scripts/evaluate.py")
    assert none.code == 2
    assert "is not the folder of a run" in none.err


def test_bf16_trains_every_classification_loss(command):
    losses = "cross_entropy,categorical_cross_entropy,bce,hinge,focal"
    outcome = command(
        "-m", f"loss={losses}", "data=digits", "trainer.precision=bf16-mixed", "callbacks=quiet"
    )
    assert outcome.code == 0, outcome.err
    assert {record["loss"] for record in outcome.records().values()} == set(losses.split(","))
    for record in outcome.records().values():
        assert record["test"]["accuracy"] > 0.95


def test_gradients_are_clipped_in_mixed_precision(command):
    outcome = command(
        *("loss=focal", "data=digits", "task.epochs=1", "callbacks=quiet"),
        *("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0.1"),
    )
    assert outcome.code == 0, outcome.err
    [record] = outcome.records().values()
    assert record["status"] == "done"


def test_every_regression_loss_finds_the_line(command):
    losses = "sse,mse,rmse,mae,huber,smooth_l1"
    outcome = command("-m", f"loss={losses}", "data=regression", "callbacks=quiet")
    assert outcome.code == 0, outcome.err
    assert {record["loss"] for record in outcome.records().values()} == set(losses.split(","))
    for record in outcome.records().values():
        assert record["test"]["slope_error"] < 0.1
        assert record["test"]["intercept_error"] < 0.2


@pytest.mark.parametrize(
    ("name", "metric", "least"), [("iris", "accuracy", 0.85), ("diabetes", "r2", 0.35)]
)
def test_ready_tables_train(command, name, metric, least):
    outcome = command(f"data={name}", "callbacks=quiet")
    assert outcome.code == 0, outcome.err
    assert outcome.record()["test"][metric] > least


def test_a_table_with_gaps_and_integer_values(command, tmp_path):
    rows = [f"{'' if row % 9 == 0 else row},{'ab'[row % 2]},{3 * row}" for row in range(200)]
    (tmp_path / "x.csv").write_text("\n".join(["size,kind,price", *rows]))
    table = ["data=table", f"data.path={tmp_path / 'x.csv'}", "data.target=price"]
    outcome = command(*table, "task=regression", "callbacks=quiet")
    assert outcome.code == 0, outcome.err
    assert "read: missing numbers replaced by the median of training" in outcome.out
    assert outcome.record()["test"]["r2"] > 0.8
    refused = command(*table, "task=regression", "data.impute=refuse")
    assert refused.code == 2
    assert "no missing values, got 23 in column 'size'" in refused.err


OPTIONS = {
    "sgd_cosine": ["optimizer=sgd", "scheduler=cosine"],
    "adamw_step": ["optimizer=adamw", "scheduler=step"],
    "plateau": ["scheduler=plateau"],
    "clip_accumulate": ["trainer.gradient_clip_val=1", "trainer.accumulate_grad_batches=2"],
    "early_stopping": ["callbacks=early_stopping"],
    "quiet": ["callbacks=quiet", "logger=none"],
    "balanced": ["data.imbalance=0.2", "loss.weight=balanced"],
    "noise": ["data.label_noise=0.2"],
    "l1": ["regularizer=l1"],
    "elastic_net": ["regularizer=elastic_net"],
    "double": ["trainer.precision=64-true"],
    "threads": ["threads=1"],
    "limit": ["debug=limit"],
    "profiler": ["debug=profiler"],
    "compile": ["compile=true", "model=mlp"],
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_options_of_the_trainer(command, options):
    given = options if options[0].startswith("debug") else [*options, "trainer.max_epochs=2"]
    outcome = command("loss=cross_entropy", *given)
    assert outcome.code == 0, outcome.err
    assert np.isfinite(outcome.record()["test"]["accuracy"])


def test_one_batch_of_each_split(command):
    record = command("loss=cross_entropy", "debug=fdr").record()
    assert (record["epochs"], record["steps"]) == (1, 1)
    assert record["best"]["metrics"].keys() >= {"accuracy"} <= record["test"].keys()


def test_a_loss_of_torch_by_its_target_alone(command):
    outcome = command(
        "loss=mae", "loss._target_=torch.nn.MultiMarginLoss", "data=digits", "trainer.max_epochs=3"
    )
    assert outcome.code == 0, outcome.err
    assert outcome.record()["test"]["accuracy"] > 0.5
    refused = command("loss=mae", "loss._target_=torch.nn.TripletMarginLoss", "data=digits")
    assert refused.code == 2
    assert "TripletMarginLoss.forward must take prediction and target" in refused.err


def test_two_processes(command):
    alone = command("loss=cross_entropy", "trainer.max_epochs=2", "threads=1")
    [(run, expected)] = alone.records().items()
    outcome = command(
        "loss=cross_entropy",
        "trainer=ddp_sim",
        "trainer.max_epochs=2",
        "threads=1",
    )
    assert outcome.code == 0, outcome.err
    assert outcome.err == "", "the processes print nothing"
    records = outcome.records()
    [(folder, other)] = [(folder, record) for folder, record in records.items() if folder != run]
    assert other["hashes"] == expected["hashes"]
    assert other["steps"] == expected["steps"]
    # the same global batches: the same training up to rounding
    assert other["test"]["ref/cross_entropy"] == pytest.approx(
        expected["test"]["ref/cross_entropy"], rel=0.05
    )
    scores, gathered = read_scores(run), read_scores(folder)
    np.testing.assert_array_equal(scores.sample, gathered.sample)
    assert np.corrcoef(scores.values["nll"], gathered.values["nll"])[0, 1] > 0.95
    assert gathered.values["accuracy"].mean() == pytest.approx(other["test"]["accuracy"])


def test_a_sweep_on_two_nodes(tmp_path):
    line = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1"]
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        line += ["--master_addr=127.0.0.1", f"--master_port={opened.getsockname()[1]}"]
    given = ["-m", "loss=mse,rmse", "data.n=100", "trainer=ddp", "trainer.accelerator=cpu"]
    given += ["trainer.max_epochs=1", "threads=1"]
    nodes = [
        subprocess.Popen(
            [*line, f"--node_rank={node}", str(ROOT / "train.py"), *given],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        for node in (0, 1)
    ]
    (report, nothing) = (node.communicate(timeout=250)[0] for node in nodes)
    assert [node.returncode for node in nodes] == [0, 0]
    assert "sweep folder" in report
    assert not nothing
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    assert sorted(record["loss"] for record in records) == ["mse", "rmse"]
    assert {record["status"] for record in records} == {"done"}
    assert len({record["pid"] for record in records}) == 1


def test_two_processes_divide_once(command):
    overrides = [
        "loss=cross_entropy",
        "loss.weight=[1,1,1,1,1,1,1,1,1,20]",
        "model=linear",
        "optimizer=sgd",
        "trainer.precision=64-true",
        "trainer.max_epochs=1",
        "threads=1",
    ]
    alone = command(*overrides, "data.batch_size=200").run
    devices = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.accumulate_grad_batches=2"]
    outcome = command(*overrides, *devices, "data.batch_size=100")
    assert outcome.code == 0, outcome.err
    [together] = [folder for folder in outcome.records() if folder != alone]
    one, other = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (alone, together)
    )
    torch.testing.assert_close(other, one, rtol=0, atol=1e-12)


def test_epochs_that_are_not_validated_leave_no_metrics(command):
    outcome = command(
        "data=regression", "trainer.max_epochs=4", "trainer.check_val_every_n_epoch=2"
    )
    assert outcome.code == 0, outcome.err
    rows = curves(outcome.run)
    assert rows.loc[rows.name == "val/mae", "epoch"].tolist() == [1, 3]
    assert outcome.record()["epochs"] == 4
