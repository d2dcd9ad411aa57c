"""A stack that is killed or interrupted goes on from its checkpoints as if nothing had happened."""

import json
import os
from multiprocessing import get_context

import pytest
import torch

from losslab.lockstep import rows
from losslab.lockstep.loop import RunBatch
from losslab.lockstep.sweep import train_jobs
from losslab.runs import buffered_writer, writer
from losslab.runs.curves import read_curves
from losslab.runs.folder import RunFolder
from losslab.runs.record import read_record
from losslab.training import train

EPOCHS = "trainer.max_epochs=6"
DOUBLE = "trainer.precision=64-true"
DIGITS = [
    *("data=digits", "model=mlp", "model.hidden=[16]"),
    *("data.val_fraction=0.1", "data.test_fraction=0.7"),
]
DQN = [
    *("loss=q_learning", "data=cartpole", "model.hidden=[16]", "data.num_envs=2"),
    *("data.steps_per_epoch=300", "data.steps_per_batch=100", "task.module.warmup=50"),
    *("data.choice_episodes=6", "data.val_episodes=5", "data.test_episodes=7"),
]
# what tells when and how a run ran
APART = {"pid", "process_start", "heartbeat", "seconds", "peak_memory_mb", "cost", "command"}
SWEEPS = {
    "adam": [*DIGITS, "loss=bce,hinge", "model.dropout=0.3", "seed=0,1"],
    "sgd with plateau": [
        *(*DIGITS, "loss=bce", "optimizer=sgd", "optimizer.momentum=0.9", "seed=0,1"),
        *("scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.1,0.001"),
    ],
    "cosine": [*DIGITS, "loss=bce,focal", "scheduler=cosine", "optimizer=adamw"],
    "parameters of losses": [
        *("data=digits_retrieval", "data.copies=1", "model=mlp", "model.hidden=[16]"),
        *("data.val_fraction=0.05", "data.test_fraction=0.05", "loss=arcface,proxy_anchor,triplet"),
        *("seed=0,1", "optimizer.loss_lr=0.05", "scheduler=cosine"),
    ],
    "batch normalization": [
        *("data=digits", "model._target_=small_networks.BatchNet", "model.freeze=['0']"),
        *(*DIGITS[3:], "data.batch_size=50", "loss=bce", "seed=0,1"),
    ],
    "some stopped": [
        *(*DIGITS, "loss=cross_entropy", "optimizer.lr=1e-9,0.01", "seed=0,1"),
        "callbacks.run_writer.patience=1",
    ],
}


def let_save_after(monkeypatch, *epochs):
    """Let stacks save their runs after these epochs only, and records be ahead of checkpoints."""
    for module in (writer, buffered_writer):
        monkeypatch.setattr(module, "HEARTBEAT_EVERY", -1.0)
    monkeypatch.setattr(rows, "SAVE_EVERY", 0.0)
    save = rows.StackedRuns.save_if_due

    def save_then(self, members):
        if read_record(members[-1].folder)["epochs"] - 1 in epochs:
            save(self, members)

    monkeypatch.setattr(rows.StackedRuns, "save_if_due", save_then)


@pytest.fixture
def trained(monkeypatch):
    """Return the epochs that stacks train, and the number of their runs."""
    seen = []
    train_epoch = RunBatch._train_epoch

    def noted(self, epoch):
        seen.append((epoch, len(self.members)))
        train_epoch(self, epoch)

    monkeypatch.setattr(RunBatch, "_train_epoch", noted)
    return seen


def ending(monkeypatch, epoch, end):
    """Call a function in the middle of this epoch, once."""
    train_epoch = RunBatch._train_epoch

    def ended(self, current):
        train_epoch(self, current)
        if current == epoch:
            end()

    monkeypatch.setattr(RunBatch, "_train_epoch", ended)


def die_in_an_epoch(jobs):
    """Save runs after epoch 2, and end the process in epoch 4."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        let_save_after(monkeypatch, 2)
        ending(monkeypatch, 4, lambda: os._exit(9))
        train_jobs(jobs, workers=1)


def die_at_an_end(jobs):
    """Save runs after epoch 2, and end the process when epoch 4 has ended."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        let_save_after(monkeypatch, 2)
        save = rows.StackedRuns.save_if_due

        def save_or_die(self, members):
            save(self, members)
            if read_record(members[-1].folder)["epochs"] == 5:
                os._exit(9)

        monkeypatch.setattr(rows.StackedRuns, "save_if_due", save_or_die)
        train_jobs(jobs, workers=1)


def kill(jobs, die=die_in_an_epoch):
    """Train jobs in a process that dies without a word."""
    # not forked from this one, which other tests may have left unable to train in a fork
    context = get_context("forkserver")
    context.set_forkserver_preload(["losslab.lockstep.sweep", "losslab.training"])
    process = context.Process(target=die, args=(jobs,))
    process.start()
    process.join()
    assert process.exitcode == 9, [read_record(job.folder)["error"] for job in jobs]
    assert {read_record(job.folder)["status"] for job in jobs} == {"running"}


def results_of(folder):
    record = json.loads((folder / "record.json").read_text())
    record = {name: value for name, value in record.items() if name not in {*APART, "resumed"}}
    files = RunFolder(folder)
    saved = [torch.load(path, weights_only=True) for path in (files.best, files.last)]
    numbers = [{n: v.tolist() for n, v in each["state_dict"].items()} for each in saved]
    states = [repr((each["optimizer_states"], each["lr_schedulers"])) for each in saved]
    curves = {(row.step, row.name): row.value for row in read_curves(folder).itertuples()}
    return record, numbers, states, curves


def require_close(folder, other):
    """Compare runs of stacks of other sizes, which agree up to rounding."""
    records, numbers, _, curves = zip(*map(results_of, (folder, other)), strict=True)
    assert records[0]["best"]["metrics"] == pytest.approx(records[1]["best"]["metrics"], rel=1e-6)
    for name in ("improved", "epochs", "steps", "stopped", "status"):
        assert records[0][name] == records[1][name]
    for own, others in zip(*numbers, strict=True):
        for name, value in own.items():
            torch.testing.assert_close(
                torch.tensor(value), torch.tensor(others[name]), rtol=1e-10, atol=1e-10
            )
    assert curves[0] == pytest.approx(curves[1], rel=1e-6)


@pytest.mark.parametrize("overrides", SWEEPS.values(), ids=SWEEPS)
def test_a_killed_stack_goes_on_where_it_was_saved(jobs, trained, overrides):
    whole, killed = (jobs(name, *overrides, EPOCHS, DOUBLE) for name in ("whole", "killed"))
    assert train_jobs(whole, workers=1) == []
    kill(killed)
    ahead = {read_record(job.folder)["epochs"] for job in killed}
    assert max(ahead) == 4
    trained.clear()
    assert train_jobs(killed, workers=1) == []
    assert [epoch for epoch, _ in trained] == [3, 4, 5]
    for one, other in zip(whole, killed, strict=True):
        assert results_of(one.folder) == results_of(other.folder)
        assert len(read_record(other.folder)["resumed"]) == 1


def test_an_interrupted_stack_goes_on_at_its_last_epoch(jobs, trained, monkeypatch):
    overrides = [*SWEEPS["adam"], EPOCHS, DOUBLE]
    whole, interrupted = jobs("whole", *overrides), jobs("interrupted", *overrides)
    train_jobs(whole, workers=1)

    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        ending(during, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_jobs(interrupted, workers=1)
    assert {read_record(job.folder)["status"] for job in interrupted} == {"interrupted"}
    # one of them is gone on with alone, as the rest of a stack
    trained.clear()
    assert train_jobs(interrupted[:1], workers=1) == []
    assert trained == [(3, 1), (4, 1), (5, 1)]
    train_jobs(interrupted[1:], workers=1)
    for one, other in zip(whole, interrupted, strict=True):
        require_close(one.folder, other.folder)


def test_runs_of_other_epochs_and_damaged_ones_go_on_in_other_stacks(jobs, trained):
    overrides = [*SWEEPS["adam"], EPOCHS, DOUBLE]
    whole, killed = jobs("whole", *overrides), jobs("killed", *overrides)
    train_jobs(whole, workers=1)
    kill(killed)
    last = RunFolder(killed[0].folder).last
    last.write_bytes(last.read_bytes()[:1000])
    trained.clear()
    train_jobs(killed, workers=1)
    assert sorted(trained) == [(0, 1), (1, 1), (2, 1), *[(e, k) for e in (3, 4, 5) for k in (1, 3)]]
    for one, other in zip(whole, killed, strict=True):
        require_close(one.folder, other.folder)


def test_a_run_with_other_options_begins_again(jobs, trained):
    killed = jobs("killed", *SWEEPS["adam"], EPOCHS)
    kill(killed)
    for job in killed:
        job.config.optimizer.lr = 0.02
    trained.clear()
    train_jobs(killed, workers=1)
    assert [epoch for epoch, _ in trained] == list(range(6))


@pytest.mark.parametrize(
    "overrides",
    [SWEEPS["adam"], pytest.param([*DQN, "seed=0,1"], marks=pytest.mark.slow)],
    ids=["adam", "dqn"],
)
def test_a_run_of_a_killed_stack_is_resumed_alone(jobs, overrides):
    whole, killed = (jobs(name, *overrides, EPOCHS, DOUBLE) for name in ("whole", "killed"))
    train_jobs(whole, workers=1)
    kill(killed, die_at_an_end)
    one, other = whole[1].folder, killed[1].folder
    train(killed[1].config, other, resume=True)
    require_close(one, other)


def test_saving_takes_a_fiftieth_of_the_time_at_most(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(rows.time, "monotonic", lambda: now[0])
    saved = []

    class Writer:
        def save(self):
            saved.append(now[0])
            now[0] += 10.0

    class Run:
        writer = Writer()

    stack = rows.StackedRuns()
    for second in range(1200):
        now[0] = max(now[0], float(second))
        stack.save_if_due([Run()])
    assert saved == [60.0, 570.0, 1080.0]
