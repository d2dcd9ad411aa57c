"""How many runs are stacked, by what they need and what is free."""

import subprocess
import sys

import pytest
import torch

from losslab.components import build_components
from losslab.config.jobs import compose_jobs
from losslab.lockstep import memory, sweep

SMALL = ("loss=mse", "data=regression", "data.n=60", "task.epochs=1")
LARGE = ("data=digits", "model=mlp", "model.hidden=[1024,1024]", "task.epochs=2", "loss=focal")


def test_a_share_is_trained_in_parts_where_the_memory_is_short(jobs, monkeypatch):
    shares = []
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**6)
    monkeypatch.setattr(memory, "bytes_of_run", lambda *given: 350_000)  # 0.8 MB hold two
    train = sweep._train

    def counted(members, **options):
        shares.append(len(members))
        return train(members, **options)

    monkeypatch.setattr(sweep, "_train", counted)
    made = jobs("sweep", *SMALL, "seed=range(5)")
    assert sweep.train_jobs(made, workers=1) == []
    assert sorted(shares) == [1, 2, 2]
    assert all((job.folder / "record.json").is_file() for job in made)


def test_processes_share_the_memory(monkeypatch):
    [composed] = compose_jobs([[*SMALL, "trainer=cpu"]])
    parts = build_components(composed.config)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**9)
    alone, together = (
        memory.runs_that_fit(parts, torch.device("cpu"), torch.float32, sharing)
        for sharing in (1, 4)
    )
    assert together == pytest.approx(alone / 4, rel=0.01)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert memory.runs_that_fit(parts, torch.device("cpu"), torch.float32, 1) == 1


def test_a_replay_buffer_and_its_checkpoints_count():
    jobs = compose_jobs(
        [
            ["loss=q_learning", "trainer=cpu", f"task.module.replay_capacity={n}"]
            for n in (100, 1100)
        ]
    )
    small, large = (
        memory.bytes_of_run(build_components(one.config), torch.float32) for one in jobs
    )
    # 4 numbers of each observation, action, reward and end; in use, best, last and in the making
    assert large - small == 4 * 1000 * (4 + 1 + 1 + 4 + 1) * 4


def test_parameters_of_a_loss_count():
    common = ["data=digits_retrieval", "data.copies=1", "model=mlp", "trainer=cpu"]
    jobs = compose_jobs([[*common, f"loss={name}"] for name in ("contrastive", "arcface")])
    without, own = (
        memory.bytes_of_run(build_components(one.config), torch.float32) for one in jobs
    )
    assert own - without == memory.COPIES * 10 * 32 * 4  # a vector per digit


@pytest.mark.slow
def test_the_estimate_is_above_what_a_stack_takes_and_not_far(jobs, tmp_path):
    made = jobs("sweep", *LARGE, "seed=range(8)")
    # in a new process: one that other tests have used has memory at hand
    given = [sys.executable, "-c", GROWTH, str(tmp_path), repr(SMALL), repr(LARGE)]
    done = subprocess.run(given, check=True, capture_output=True, text=True, timeout=120)
    taken = 2**10 * int(done.stdout.splitlines()[-1])
    estimate = len(made) * memory.bytes_of_run(build_components(made[0].config), torch.float32)
    assert taken < estimate < 3 * taken


GROWTH = """
import ast, sys
from pathlib import Path
from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.lockstep.grouping import Job
from losslab.lockstep.sweep import train_in_process

def peak_kb():
    # resource.getrusage would begin with the peak of the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

def trained(name, overrides):
    common = ["trainer=cpu", "callbacks=quiet"]
    composed = compose_jobs(jobs_of([*common, *ast.literal_eval(overrides), "seed=range(8)"]))
    train_in_process([Job(one.config, Path(sys.argv[1]) / name / one.subdir) for one in composed])

trained("small", sys.argv[2])
before = peak_kb()
trained("large", sys.argv[3])
print(peak_kb() - before)
"""


def test_the_memory_left_in_a_container(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path)
    assert memory._bytes_to_limit() is None
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._bytes_to_limit() is None
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory._bytes_to_limit() == memory.free_bytes(torch.device("cpu")) == 2000
    (tmp_path / "memory.current").write_text("4000\n")
    assert memory._bytes_to_limit() == 0


@pytest.mark.parametrize("shares", [(0.1, 0.5), (0.5, 0.1)], ids=["test", "validation"])
def test_what_a_run_needs(monkeypatch, shares):
    """A line of two weights, by hand: copies, layers, predictions of the larger split, data."""
    fractions = [f"data.val_fraction={shares[0]}", f"data.test_fraction={shares[1]}"]
    size = ["data.n=100", "data.batch_size=8"]
    [composed] = compose_jobs([["loss=mse", "data=regression", "trainer=cpu", *size, *fractions]])
    parts = build_components(composed.config)
    sizes = [parts.data.train.size, parts.data.val.size, parts.data.test.size]
    assert sorted(sizes[1:]) == [10, 50]
    numbers = 18 * 2 + 5 * (8 + 8) + 10 * 8 * 7 + 2 * 2 * sum(sizes)
    assert memory.bytes_of_run(parts, torch.float32) == 4 * numbers
    # 4 recordings of the gradients where steps are captured
    monkeypatch.setattr(memory, "RECORDERS", {"cpu": None})
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**6)
    fit = memory.runs_that_fit(parts, torch.device("cpu"), torch.float32, 1)
    assert fit == int(0.8 * 10**6 / (4 * (numbers + 4 * 2)))
