"""What goes wrong in one run of a stack, or in building it, ends no other run."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from losslab.config.compose import compose
from losslab.config.interruption import Terminated
from losslab.config.jobs import finished_config
from losslab.lockstep import sweep
from losslab.lockstep.grouping import reason_against
from losslab.lockstep.stacked_run import StackedRun
from losslab.lockstep.sweep import run_logs, train_jobs

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ["data=digits", "model=mlp", "model.hidden=[8]", "task.epochs=1", "data.test_fraction=0.7"]
LOSSES = """
import torch
from losslab.losses import TargetFormat

class Own(torch.nn.Module):
    accepts = (TargetFormat.VALUES,)
    def __init__(self, **options):
        super().__init__()

class Raising(Own):
    def forward(self, prediction, target):
        if len(prediction) == 64:  # a batch, not a problem on which the loss is tried
            raise ValueError("not today")
        return (prediction - target).square().mean()

class Branching(Own):
    # in Python that torch.func.vmap cannot map
    def forward(self, prediction, target):
        error = (prediction - target).abs().mean()
        return error.square() if float(error) < 1 else error

class Drawing(Own):
    def forward(self, prediction, target):
        noise = 1e-3 * torch.rand_like(prediction)
        return (prediction - target + noise).square().mean()
"""


def status_of(job):
    return json.loads((job.folder / "record.json").read_text())["status"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raising", "the loss raises on an example: not today"),
        ("Drawing", "the loss draws random numbers"),
    ],
)
def test_a_loss_that_cannot_take_part_is_left_and_the_others_go_on(
    jobs, tmp_path, monkeypatch, caplog, name, reason
):
    (tmp_path / "own_losses.py").write_text(LOSSES)
    monkeypatch.syspath_prepend(tmp_path)
    line = ["data=regression", "task.epochs=1", "loss=mae", "seed=0,1"]
    own, fine = jobs("own", *line, f"loss._target_=own_losses.{name}"), jobs("fine", *line)
    left = train_jobs([*own, *fine], workers=1)
    assert left == [(job, reason) for job in own]
    assert [status_of(job) for job in fine] == ["done", "done"]
    assert train_jobs(own, workers=1) == left  # nothing is left of the stack
    assert "Traceback" not in caplog.text


def test_a_loss_that_cannot_be_mapped_is_evaluated_per_run(both, tmp_path, monkeypatch):
    (tmp_path / "own_losses.py").write_text(LOSSES)
    monkeypatch.syspath_prepend(tmp_path)
    line = ["data=regression", "task.epochs=2", "loss=mae", "seed=0,1"]
    pairs, left = both(*line, "loss._target_=own_losses.Branching", "trainer.precision=64-true")
    assert not left
    for pair in pairs:
        alone, together = (json.loads((one / "record.json").read_text()) for one in pair)
        assert together["test"] == pytest.approx(alone["test"])


def test_runs_with_other_numbers_of_classes_go_into_stacks_of_their_own(jobs):
    small = ["data=segmentation", "data.n=20", "model.channels=[4,8]", "task.epochs=1"]
    made = jobs("one", *small, "loss=cross_entropy", "data.classes=3,4", "seed=0,1")
    assert train_jobs(made, workers=1) == []
    assert [status_of(job) for job in made] == ["done"] * 4


def test_what_is_logged_stands_in_the_log_of_more_runs_than_files_can_be_open(tmp_path):
    folders = [tmp_path / str(number) for number in range(100)]
    for folder in folders:
        folder.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 90), hard))
    try:
        with run_logs(folders):
            logging.getLogger("losslab").warning("said once")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all((each / "run.log").read_text().count("said once") == 1 for each in folders)


def test_stacks_leave_the_memory_before_the_next_is_built(jobs, monkeypatch):
    import gc

    from losslab.lockstep.loop import RunBatch

    alive = []
    monkeypatch.setattr(sweep, "runs_that_fit", lambda *given: 2)
    build = RunBatch.__init__

    def counted(self, *given, **options):
        alive.append(sum(isinstance(one, RunBatch) for one in gc.get_objects()))
        build(self, *given, **options)

    monkeypatch.setattr(RunBatch, "__init__", counted)
    assert train_jobs(jobs("one", *DIGITS, "loss=bce", "seed=range(6)"), workers=1) == []
    assert alive == [1, 1, 1]  # the one that is being built


@pytest.mark.slow
def test_an_interruption_ends_the_stacks_that_wait_as_well(warm, tmp_path):
    launcher = ["hydra/launcher=lockstep", "hydra.launcher.workers=2", "hydra.launcher.max_jobs=1"]
    long = [*DIGITS, "trainer.max_epochs=100000", "loss=bce", "seed=range(6)", "callbacks=quiet"]
    process = warm.start(command_line(tmp_path, *long, *launcher), tmp_path)
    begun = time.monotonic()
    # values of steps: a run that has only its record is not in its loop yet
    while len(list(tmp_path.rglob("metrics.csv"))) < 2:
        assert time.monotonic() < begun + 100
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    assert [record["status"] for record in records] == ["interrupted"] * 2


@pytest.mark.slow
def test_an_interruption_while_runs_are_opened_ends_those_that_are_open(jobs, monkeypatch):
    waiting, open_run = jobs("stack", "loss=mse,mae,huber", "data=regression"), StackedRun.open
    opened = []

    def interrupted_at_the_second(member):
        open_run(member)
        opened.append(member)
        if len(opened) == 2:
            raise Terminated

    monkeypatch.setattr(StackedRun, "open", interrupted_at_the_second)
    with pytest.raises(Terminated):
        train_jobs(waiting, workers=1)
    assert [status_of(member) for member in opened] == ["interrupted", "interrupted"]


def test_processes_of_two_threads_each_end(tmp_path):
    """Forked from a process that has used its threads, they would wait for each other for ever."""
    launcher = ["hydra/launcher=lockstep", "hydra.launcher.workers=2", "threads=2"]
    line = [sys.executable, *command_line(tmp_path, *DIGITS, "loss=bce", "seed=0,1", *launcher)]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    subprocess.run(line, check=True, timeout=120, env=environment, cwd=tmp_path)


def command_line(logs, *overrides):
    given = [*overrides, "trainer=cpu", f"paths.log_dir={logs}"]
    return [str(ROOT / "train.py"), "-m", *given]


@pytest.mark.parametrize(("value", "stackable"), [(1, False), (1.0, True), (0.5, False)])
def test_one_batch_is_not_all_batches(value, stackable):
    config = compose(["loss=mse", f"trainer.limit_train_batches={value}"])
    reason = reason_against(finished_config(config, config.hydra))
    assert (reason is None) == stackable
