"""A run of a sweep goes on from its last checkpoint in the way it began, whatever launches it."""

import json
import os
import time

import pytest
import torch

from losslab.continuing import train_alone, train_run, train_stacks
from losslab.lockstep.loop import RunBatch
from losslab.lockstep.resuming import begun
from losslab.lockstep.sweep import train_jobs
from losslab.runs.curves import read_curves
from losslab.runs.folder import RunFolder
from losslab.runs.record import read_record, write_record
from losslab.runs.writer import RunWriter

EPISODES = [
    *("loss=policy_gradient", "model.hidden=[4]", "data.steps_per_epoch=60", "data.num_envs=2"),
    *("data.test_episodes=2", "data.val_episodes=2", "data.choice_episodes=2", "seed=0,1"),
    *("data.steps_per_batch=20", "trainer.max_epochs=4"),
]
LINES = ["data=regression", "data.n=60", "loss=mse,mae", "trainer.max_epochs=4", "scheduler=cosine"]


def train_runs(jobs, *, stacked):
    """Train runs as a worker does."""
    train_alone(train_stacks(jobs) if stacked else jobs)


def left_by(folder):
    """Return what a run found, without times and the process."""
    record, curves = read_record(folder), read_curves(folder).drop(columns="seconds")
    files = RunFolder(folder)
    saved = [torch.load(path, weights_only=True)["state_dict"] for path in (files.best, files.last)]
    weights = [{name: value.tolist() for name, value in each.items()} for each in saved]
    return record["status"], record["best"], record["test"], curves.to_csv(), weights


def interrupted(monkeypatch, train, number=3):
    """Interrupt a training by Lightning or in a stack when its second epoch has ended."""
    original, calls = RunWriter.end_epoch, []

    def end_epoch(self, epoch, *arguments):
        stop = original(self, epoch, *arguments)
        if epoch == 1:
            calls.append(self)
            if len(calls) == number:
                raise KeyboardInterrupt
        return stop

    with monkeypatch.context() as during:
        during.setattr(RunWriter, "end_epoch", end_epoch)
        with pytest.raises(KeyboardInterrupt):
            train()


@pytest.fixture
def trained(monkeypatch):
    """Return the epochs that are trained in stacks."""
    seen = []
    train_epoch = RunBatch._train_epoch

    def noted(self, epoch):
        seen.append(epoch)
        train_epoch(self, epoch)

    monkeypatch.setattr(RunBatch, "_train_epoch", noted)
    return seen


@pytest.mark.parametrize("stacked", [False, True], ids=["alone", "by a launcher of stacks"])
def test_a_run_that_began_alone_goes_on_alone(jobs, monkeypatch, trained, stacked):
    whole, killed = jobs("whole", *LINES), jobs("killed", *LINES)
    train_runs(whole, stacked=False)
    for job in killed:
        interrupted(monkeypatch, lambda job=job: train_run(job), number=1)
    assert {read_record(job.folder)["epochs"] for job in killed} == {2}
    train_runs(killed, stacked=stacked)
    assert not trained
    for one, other in zip(whole, killed, strict=True):
        assert left_by(one.folder) == left_by(other.folder)
        assert len(read_record(other.folder)["resumed"]) == 1


def test_runs_that_began_in_a_stack_go_on_in_stacks(jobs, monkeypatch, trained):
    whole, killed = jobs("whole", *LINES), jobs("killed", *LINES)
    train_jobs(whole, workers=1)
    interrupted(monkeypatch, lambda: train_jobs(killed, workers=1), number=2)
    trained.clear()
    train_runs(killed, stacked=False)
    assert trained == [2, 3, 2, 3]
    for one, other in zip(whole, killed, strict=True):
        tests = [read_record(job.folder)["test"] for job in (one, other)]
        assert tests[0] == pytest.approx(tests[1], rel=1e-5)
        assert len(read_record(other.folder)["resumed"]) == 1


@pytest.mark.slow
def test_a_stack_of_reinforcement_learning_goes_on_alone(jobs, monkeypatch):
    killed = jobs("killed", *EPISODES)
    interrupted(monkeypatch, lambda: train_jobs(killed, workers=1), number=1)
    assert {begun(job.folder) for job in killed} == {"stacked"}
    train_runs(killed, stacked=True)
    for job in killed:
        record = read_record(job.folder)
        assert (record["status"], record["epochs"], len(record["resumed"])) == ("done", 4, 1)


@pytest.mark.parametrize("kind", ["space", "diverged"])
def test_a_failed_run_begins_again_unless_it_lacked_space(jobs, monkeypatch, kind):
    [job, _] = jobs("killed", *LINES)
    interrupted(monkeypatch, lambda: train_run(job), number=1)
    error = {"kind": kind, "message": "", "step": None}
    write_record(job.folder, read_record(job.folder) | {"status": "failed", "error": error})
    train_run(job)
    record = read_record(job.folder)
    assert record["status"] == "done"
    assert len(record["resumed"]) == (kind == "space")


@pytest.mark.parametrize("damaged", ["config.yaml", "metrics.csv", "checkpoints/last.ckpt"])
def test_a_damaged_run_begins_again(jobs, monkeypatch, damaged):
    [job, _] = jobs("killed", *LINES)
    interrupted(monkeypatch, lambda: train_run(job), number=1)
    (job.folder / damaged).write_bytes(b"x")
    train_run(job)
    record = read_record(job.folder)
    assert (record["status"], record["resumed"]) == ("done", [])


def test_a_run_on_a_lost_node_is_taken_over_after_two_minutes(jobs, monkeypatch):
    [job, _] = jobs("killed", *LINES)
    interrupted(monkeypatch, lambda: train_run(job), number=1)
    [released] = job.folder.glob("claim.*")
    owner = json.loads(released.read_text()) | {"host": "lost"}
    released.write_text(json.dumps(owner))
    write_record(job.folder, read_record(job.folder) | {"status": "running", "host": "lost"})
    os.utime(released, (time.time() - 60,) * 2)
    train_runs([job], stacked=False)
    assert read_record(job.folder)["epochs"] == 2
    os.utime(released, (time.time() - 130,) * 2)
    train_runs([job], stacked=False)
    assert read_record(job.folder)["status"] == "done"
