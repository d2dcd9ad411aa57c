"""The cost of a loss and of a run: measured, recorded, and without effect on results."""

import logging
import random
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from kinds_of_run import DIGITS, LINE, RUNS, config_of
from losslab.losses import CrossEntropyLoss
from losslab.modules import cost
from losslab.modules.cost import LossCall, StepTimer, loss_cost, memory_cost
from losslab.modules.supervised import SupervisedModule
from losslab.runs.record import read_record
from losslab.training import train

FIELDS = {"loss_ms", "loss_mb", "step_ms", "run_mb"}
X = torch.linspace(0, 1, 2**18)  # 1 MiB of float32

MORE = {
    "hard triplets": ["data.copies=1", "loss=triplet", "loss.mining=hard"],
    "entropic transport": ["data.n=60", "data.points=32", "loss=emd", "loss.method=sinkhorn"],
    "assignments": ["data.n=60", "data.points=32", "loss=emd"],
    "gradient penalty": ["loss=adversarial", "data=ring", "loss.kind=wasserstein"],
    "transitions": [
        "loss=q_learning",
        "model.hidden=[16]",
        "data.steps_per_epoch=300",
        "task.module.warmup=50",
    ],
    "loss of torch": [*LINE, "loss._target_=torch.nn.MSELoss"],
    "regularizer": [*LINE, "regularizer=l2"],
}


def kept_mb(components, *outputs, **options) -> float:
    measured = loss_cost(lambda: LossCall(components, outputs, **options))
    return round(measured["loss_mb"], 3)


def test_memory_is_what_backward_needs_and_the_loss_returns():
    weight = torch.ones_like(X)
    assert kept_mb(lambda x: {"loss": x.sum()}, X) == 0
    assert kept_mb(lambda x: {"loss": x.exp().mean()}, X) == 1
    assert kept_mb(lambda x: {"loss": (x.exp() * x.sigmoid()).mean()}, X) == 2
    assert kept_mb(lambda x: {"loss": (x.exp()[:10] * x.exp()[10:20]).sum()}, X) == 2  # storages
    assert kept_mb(lambda x: {"loss": x.double().exp().mean()}, X) == 2
    assert kept_mb(lambda x: {"loss": (x * weight).sum()}, X, others=(weight,)) == 0
    assert kept_mb(lambda x: {"loss": (x * (2 * weight)).sum()}, X, others=(weight,)) == 1
    assert kept_mb(lambda x, y: {"a": (x * y).sum(), "b": x.exp().sum()}, X, X) == 1


def test_time_is_the_median_of_passes_after_warm_ups(monkeypatch):
    passes = []

    def components(x):
        passes.append(time.perf_counter())
        time.sleep(0.05 if len(passes) == 2 else 0.001)
        return {"loss": x.sum()}

    monkeypatch.setattr(cost, "BUDGET", 60)
    measured = loss_cost(lambda: LossCall(components, (X[:10],)))
    assert len(passes) == 1 + cost.WARM_UPS + cost.REPETITIONS  # one for the memory
    between = statistics.median(np.diff(passes)) * 1e3
    assert 1 <= measured["loss_ms"] <= 1.5 * between


def test_a_slow_loss_is_repeated_once():
    passes = []

    def components(x):
        passes.append(None)
        time.sleep(0.05)
        return {"loss": x.sum()}

    assert loss_cost(lambda: LossCall(components, (X[:10],)))["loss_ms"] >= 50
    assert len(passes) == 2


def test_the_generators_are_left_as_they_were():
    def components(x):
        noise = torch.rand(3).sum() + np.random.rand() + random.random()
        return {"loss": (x * noise).sum()}

    states = [torch.get_rng_state(), np.random.get_state()[1], random.getstate()]
    assert loss_cost(lambda: LossCall(components, (X,)))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


def test_a_loss_is_measured_within_inference_mode():
    with torch.inference_mode():
        assert loss_cost(lambda: LossCall(lambda x: {"loss": x.exp().sum()}, (X.clone(),)))


def test_a_loss_that_fails_is_left_out(caplog):
    def components(x):
        raise KeyError("no such pair")

    assert loss_cost(lambda: LossCall(components, (X,))) == {}
    assert "the cost of the loss was not measured: KeyError: 'no such pair'" in caplog.text
    assert loss_cost(lambda: None) == {}


def test_steps_are_timed_by_epoch(monkeypatch):
    now = iter([0.0, 5.0, 10.0, 11.0, 20.0, 21.0, 30.0, 32.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    timer = StepTimer(steps=100)
    assert timer.cost() == {}
    for steps in (110, 120, 120, 130):  # in the third epoch no step was due
        timer.start()
        timer.start()
        timer.stop()
        timer.end_epoch(steps)
    assert timer.cost()["step_ms"] == pytest.approx(300)  # of 500, 100, and (1 + 2) s / 10


def test_memory_without_a_gpu_is_that_of_the_process():
    assert memory_cost(torch.device("cpu"))["run_mb"] > 100


@pytest.mark.parametrize("overrides", (RUNS | MORE).values(), ids=RUNS | MORE)
def test_every_kind_of_run_has_a_cost(overrides, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger=cost.__name__)
    record = train(config_of(*overrides), tmp_path)
    assert record["status"] == "done"
    assert record["cost"].keys() == FIELDS, caplog.text
    assert record["cost"]["loss_ms"] > 0
    assert record["cost"]["loss_mb"] > 0
    steps = record["cost"]["step_ms"] * record["steps"] / 1e3
    assert 0 < steps < record["seconds"]
    assert record == read_record(tmp_path)


def left_by(folder, *overrides):
    torch.manual_seed(0)
    np.random.seed(0)
    record = train(config_of(*overrides), folder)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return record, saved, torch.get_rng_state(), np.random.get_state()[1]


def test_measuring_changes_no_result(tmp_path, monkeypatch):
    original = CrossEntropyLoss.forward

    def noisy(self, prediction, target):
        noise = torch.randn(prediction.shape) * (1 + np.random.rand())
        return original(self, prediction + 0.1 * noise, target)

    monkeypatch.setattr(CrossEntropyLoss, "forward", noisy)
    overrides = [*DIGITS, "model.dropout=0.5"]
    measured = left_by(tmp_path / "measured", *overrides)
    monkeypatch.setattr("losslab.callbacks.run_writer.loss_cost", lambda make: {})
    not_measured = left_by(tmp_path / "not", *overrides)
    assert measured[0]["cost"].keys() == FIELDS
    assert not_measured[0]["cost"].keys() == {"step_ms", "run_mb"}
    for name in ("test", "best", "final", "hashes"):
        assert measured[0][name] == not_measured[0][name]
    for name, value in measured[1].items():
        assert torch.equal(value, not_measured[1][name]), name
    assert torch.equal(measured[2], not_measured[2])
    assert np.array_equal(measured[3], not_measured[3])


def test_a_run_does_not_fail_for_its_cost(tmp_path, monkeypatch, caplog):
    def fails(self):
        raise RuntimeError("cannot be called here")

    monkeypatch.setattr(SupervisedModule, "loss_call", fails)
    record = train(config_of(*LINE), tmp_path)
    assert record["status"] == "done"
    assert record["cost"].keys() == {"step_ms", "run_mb"}
    assert "was not measured: RuntimeError: cannot be called here" in caplog.text


def test_validation_is_not_part_of_a_step(tmp_path, monkeypatch):
    seconds = 0.5
    original = SupervisedModule.on_validation_epoch_end

    def slow(self):
        time.sleep(seconds)
        original(self)

    monkeypatch.setattr(SupervisedModule, "on_validation_epoch_end", slow)
    record = train(config_of(*DIGITS, "trainer.max_epochs=2"), tmp_path)
    assert record["cost"]["step_ms"] * record["steps"] / 2 < 1e3 * seconds


def test_records_of_earlier_versions_have_no_cost():
    past = Path(__file__).parents[1] / "past" / "v0_1" / "runs" / "focal"
    assert read_record(past)["cost"] == {}
