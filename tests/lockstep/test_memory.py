"""How many runs are stacked, by what they need and what is free."""

import multiprocessing

import pytest
import torch

from losslab.assembly import assemble
from losslab.composition import compose_cells
from losslab.lockstep import memory, sweep
from losslab.runs.keeper import peak_memory_mb

SMALL = ("loss=mse", "data=regression", "data.n=60", "task.epochs=1")
LARGE = ("data=digits", "model=mlp", "model.hidden=[1024,1024]", "task.epochs=2", "loss=focal")


def test_a_share_is_trained_in_parts_where_the_memory_is_short(cells, monkeypatch):
    shares = []
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**6)
    monkeypatch.setattr(memory, "bytes_of_run", lambda *given: 350_000)  # 0.8 MB hold two
    train = sweep._train

    def counted(members, **options):
        shares.append(len(members))
        return train(members, **options)

    monkeypatch.setattr(sweep, "_train", counted)
    made = cells("sweep", *SMALL, "seed=range(5)")
    assert sweep.train_cells(made, workers=1) == []
    assert sorted(shares) == [1, 2, 2]
    assert all((cell.folder / "record.json").is_file() for cell in made)


def test_processes_share_the_memory(monkeypatch):
    [composed] = compose_cells([[*SMALL, "trainer=cpu"]])
    parts = assemble(composed.config)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**9)
    alone, together = (
        memory.cells_that_fit(parts, torch.device("cpu"), torch.float32, sharing)
        for sharing in (1, 4)
    )
    assert together == pytest.approx(alone / 4, rel=0.01)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert memory.cells_that_fit(parts, torch.device("cpu"), torch.float32, 1) == 1


def test_a_replay_buffer_and_its_checkpoints_count():
    cells = compose_cells(
        [
            ["loss=q_learning", "trainer=cpu", f"task.module.replay_capacity={n}"]
            for n in (100, 1100)
        ]
    )
    small, large = (memory.bytes_of_run(assemble(one.config), torch.float32) for one in cells)
    # 4 numbers of each observation, action, reward and end; in use, best, last and in the making
    assert large - small == 4 * 1000 * (4 + 1 + 1 + 4 + 1) * 4


@pytest.mark.slow
def test_the_estimate_is_above_what_a_stack_takes_and_not_far(cells):
    warm_up, made = (
        cells("warm_up", *SMALL, "seed=range(2)"),
        cells("sweep", *LARGE, "seed=range(8)"),
    )
    receiver, sender = multiprocessing.Pipe()
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_growth, args=(warm_up, made, sender))
    process.start()
    sender.close()  # so that a process that fails leaves an end of file
    taken = receiver.recv()
    process.join()
    estimate = len(made) * memory.bytes_of_run(assemble(made[0].config), torch.float32)
    assert taken < estimate < 3 * taken


def _growth(warm_up, made, pipe):
    sweep.train_share(warm_up)
    before = peak_memory_mb()
    sweep.train_share(made)
    pipe.send(2**20 * (peak_memory_mb() - before))
