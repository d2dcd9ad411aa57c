"""Steps that are recorded and replayed leave what steps that are called leave.

A CUDA graph repeats kernels in the same memory; on a machine without a GPU, here, operations of the
CPU are repeated in the same memory, and what a graph cannot hold is refused.
"""

from pathlib import Path

import pytest
import torch

from losslab.lockstep import capture
from losslab.lockstep.capture import Captured, captured
from losslab.lockstep.sweep import train_jobs

from .recording import record_operations
from .test_sweep import curves_of


@pytest.fixture
def recorded(monkeypatch):
    """Lets steps on the CPU be recorded; what was called, and how."""
    made = []

    class Watched(Captured):
        def __init__(self, *given) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(capture, "Captured", Watched)
    monkeypatch.setitem(capture.RECORDERS, "cpu", lambda: record_operations)
    return made


def test_a_recorded_function_sees_new_arguments_and_what_it_reads_in_place():
    weight = torch.ones(2)
    calls = []

    def function(factor: int, x: torch.Tensor) -> torch.Tensor:
        calls.append(factor)
        return (weight * x * factor).sum()

    replayed = Captured(function, record_operations)
    results = []
    for step in range(5):
        weight += 1
        results.append(replayed(3, torch.full((2,), float(step))).item())
    assert results == [3 * 2 * (step + 2) * step for step in range(5)]
    assert calls == [3, 3]  # the first time, and to be recorded


def test_each_shape_and_each_other_argument_has_its_recording():
    replayed = Captured(lambda factor, x: x.sum() * factor, record_operations)
    for _ in range(3):
        for factor in (1, 2):
            for size in (3, 4):
                assert replayed(factor, torch.ones(size)) == factor * size


def test_a_function_that_waits_for_the_device_is_called_as_it_is(caplog):
    caplog.set_level("INFO", "losslab.lockstep.capture")
    replayed = Captured(lambda x: x * x.sum().item(), record_operations)
    assert [replayed(torch.full((1,), float(x))).item() for x in range(4)] == [0, 1, 4, 9]
    assert "waits for the device" in replayed.refused
    assert caplog.text.count("kernel by kernel") == 1


def test_a_device_that_cannot_record_calls_the_function_itself():
    function = torch.square
    assert captured(function, torch.device("cpu")) is function
    assert captured(function, None) is function


SMALL = ["data.val_fraction=0.1", "data.test_fraction=0.7", "trainer.max_epochs=3"]
DIGITS = ["data=digits", "model=mlp", "model.hidden=[16]", *SMALL]
SWEEPS = {
    "losses": [*DIGITS, "loss=cross_entropy,categorical_cross_entropy,bce,hinge,focal"],
    "schedule": [*DIGITS, "loss=bce", "scheduler=cosine", "optimizer.lr=0.01,0.001"],
    "dropout": [*DIGITS, "loss=hinge", "model.dropout=0.5", "seed=0,1"],
    "clipping": [*DIGITS, "loss=bce,hinge", "trainer.gradient_clip_val=0.1"],
    "regularizer": [*DIGITS, "loss=bce", "regularizer=l1,l2,none"],
    "one stops": [*DIGITS, "loss=bce", "callbacks.run_writer.patience=1", "optimizer.lr=1e-9,0.01"],
    "cnn": ["model=cnn", "model.channels=[8]", *SMALL, "loss=bce,focal"],
    "masks": [
        *["data=segmentation", "data.n=40", "model.channels=[4,8]", SMALL[-1]],
        "loss=dice,tversky,focal_tversky,bce,hinge,focal",
    ],
    "line": ["data=regression", "loss=sse,mse,rmse,mae,huber,smooth_l1", SMALL[-1]],
    "ranking": ["data.queries=300", "loss=margin_ranking", "loss.margin=0.1,1", SMALL[-1]],
    "parameters": [
        *["data=digits_retrieval", "data.copies=1", "model=mlp", "model.hidden=[16]"],
        *["loss=arcface,center,triplet", "trainer.gradient_clip_val=0.1", *SMALL],
    ],
    "learned weights": [
        *["data=segmentation", "data.n=40", "model.channels=[4,8]", SMALL[-1]],
        *["loss=uncertainty_sum", "loss.of.dice=1", "loss.of.bce=0.5", "seed=0,1"],
    ],
    "images": ["loss=reconstruction", "task=reconstruction", "seed=0,1", SMALL[-1]],
}


@pytest.mark.parametrize("overrides", SWEEPS.values(), ids=SWEEPS)
def test_runs_whose_steps_are_replayed_leave_what_others_leave(jobs, recorded, overrides):
    called, replayed = jobs("called", *overrides), jobs("replayed", *overrides)
    assert not train_jobs(called, workers=1, capture=False)
    assert not recorded
    assert not train_jobs(replayed, workers=1)
    assert any(steps.recordings for steps in recorded)
    assert [steps.refused for steps in recorded] == [None] * len(recorded)
    for one, other in zip(called, replayed, strict=True):
        assert curves_of(other.folder) == curves_of(one.folder)
        weights, others = weights_of(one.folder), weights_of(other.folder)
        assert all(torch.equal(others[name], weight) for name, weight in weights.items())


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
