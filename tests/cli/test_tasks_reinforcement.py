"""Reinforcement learning as whole commands: it learns, draws, and goes on after a kill."""

import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).parents[2]
FEW = ["data.choice_episodes=10", "data.val_episodes=5", "data.test_episodes=20", "trainer=cpu"]

pytestmark = pytest.mark.slow


def curves(run):
    return pd.read_csv(run / "metrics.csv").drop(columns="seconds")


def weights(run):
    path = run / "checkpoints" / "last.ckpt"
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


@pytest.mark.parametrize(
    ("arguments", "at_least"),
    [
        (["loss=policy_gradient", "trainer.max_epochs=8"], 150),
        (["loss=q_learning", "trainer.max_epochs=8"], 100),
        (["loss=q_learning", "loss.double=true", "loss.td=mse", "trainer.max_epochs=8"], 100),
        (["experiment=actor_critic", "trainer.max_epochs=4"], 60),
        (["experiment=ppo", "trainer.max_epochs=4"], 100),
    ],
    ids=["reinforce", "dqn", "double dqn", "actor-critic", "ppo"],
)
def test_it_learns_to_balance(command, arguments, at_least):
    """Untrained policies fall after about 10 steps, random actions after about 22."""
    outcome = command(*arguments, *FEW)
    assert outcome.code == 0, outcome.err
    record = outcome.record()
    assert record["test"]["return_mean"] >= at_least
    assert {"return_mean", "return_mean_final"} <= record["test"].keys()
    assert {"return_choice", "return_mean"} <= record["best"]["metrics"].keys()
    names = set(curves(outcome.run)["name"])
    assert {"train/loss", "train/return_mean", "train/environment_steps", "train/lr"} <= names
    assert (outcome.run / "figures" / "test_returns.png").is_file()


def test_two_losses_of_one_seed_meet_the_same_episodes(command):
    short = ["trainer.max_epochs=1", "data.steps_per_epoch=1000", "callbacks=quiet"]
    outcome = command("-m", "loss=q_learning", "loss.td=huber,mse", "seed=0,1", *short, *FEW)
    assert outcome.code == 0, outcome.err
    hashes = {}
    for record in outcome.records().values():
        hashes.setdefault(record["seed"], []).append(record["hashes"])
    assert hashes[0][0] == hashes[0][1]
    assert hashes[1][0] == hashes[1][1]
    assert all(hashes[0][0][name] != hashes[1][0][name] for name in ("weights", "data", "batches"))


@pytest.mark.parametrize("loss", ["policy_gradient", "q_learning"])
def test_a_killed_run_goes_on_as_the_unbroken_one(command, warm, tmp_path, loss):
    short = [
        f"loss={loss}",
        "trainer.max_epochs=4",
        "data.steps_per_epoch=1500",
        "callbacks=quiet",
        *FEW,
    ]
    whole = command(*short)
    assert whole.code == 0, whole.err
    logs = tmp_path / "killed"
    process = warm.start([ROOT / "train.py", *short, f"paths.log_dir={logs}"], tmp_path)
    deadline = time.monotonic() + 240
    while not list(logs.rglob("last.ckpt")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    [last] = logs.rglob("last.ckpt")
    run = last.parents[1]
    outcome = command(f"resume={run}")
    assert outcome.code == 0, outcome.err
    for name, value in weights(whole.run).items():
        assert torch.equal(value, weights(run)[name]), name
    pd.testing.assert_frame_equal(curves(run), curves(whole.run))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loss=q_learning", "data.env_id=Pendulum-v1"], "must have discrete actions"),
        (["loss=q_learning", "data.env_id=Cartpole-v9"], "must name an environment"),
        (["loss=q_learning", "task=policy_gradient"], "Losses that fit: policy_gradient"),
        (["loss=focal", "data=cartpole"], "Losses that fit: policy_gradient"),
        (["loss=policy_gradient", "task.module.epochs=3"], "without clip, got 3 and 1"),
    ],
    ids=["continuous", "unknown", "task", "loss", "epochs"],
)
def test_what_cannot_run_is_refused_in_one_line(command, arguments, message):
    outcome = command(*arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not outcome.records()


def test_other_environments_are_played(command):
    outcome = command(
        "loss=q_learning",
        "data.env_id=FrozenLake-v1",
        "+data.env_options.is_slippery=false",
        "trainer.max_epochs=4",
        *FEW,
    )
    assert outcome.code == 0, outcome.err
    assert outcome.record()["test"]["return_mean"] == 1.0  # the goal, by the one safe way


@pytest.mark.parametrize("loss", ["policy_gradient", "q_learning"])
def test_seeds_are_played_in_lockstep(command, loss):
    short = ["trainer.max_epochs=2", "data.steps_per_epoch=1500", *FEW]
    outcome = command("-m", "hydra/launcher=lockstep", f"loss={loss}", "seed=0,1,2", *short)
    assert outcome.code == 0, outcome.err
    assert "Training 3 jobs in lockstep" in outcome.out + outcome.err
    assert "Not trained in lockstep" not in outcome.out + outcome.err
    assert len(outcome.records()) == 3
    for run, record in outcome.records().items():
        assert record["status"] == "done"
        assert {"return_mean", "return_mean_final"} <= record["test"].keys()
        assert (run / "figures" / "test_returns.png").is_file() == (run.name == "seed0")
        assert list(run.glob("events.out.tfevents.*"))
