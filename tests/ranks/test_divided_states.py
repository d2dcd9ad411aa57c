"""Two processes that divide gradients and states of the optimizer (DeepSpeed) train as one."""

import os
import sys

import pytest
import torch
from torch import nn

pytest.importorskip("deepspeed", reason="needs the extra deepspeed")

from losslab.modules.zero import ZERO
from losslab.runs.record import read_record
from losslab.training import train
from rank_runs import (
    DIGITS,
    FAILING,
    LINE,
    LOSSES,
    OPTIONS_OF_RUNS,
    configs_of,
    require_divided,
    require_equal,
    require_failing,
)
from two_ranks import together, train_in_order, train_on_two, weight_difference

CLIPPED = "trainer.gradient_clip_val=0.01"
RUNS = {
    "mse": [*LOSSES["mse"], "callbacks=default", "callbacks.figures.every=1"],
    **{name: LOSSES[name] for name in ("cross_entropy", "triplet", "sse")},
    "regularizer": OPTIONS_OF_RUNS["regularizer"],
    "weights of a loss": [*LOSSES["uncertainty_sum"], CLIPPED, "optimizer.momentum=0.9"],
}
MORE = {
    **{name: LOSSES[name] for name in ("focal", "dice", "chamfer", "center", "proxy_anchor")},
    **{name: OPTIONS_OF_RUNS[name] for name in ("balanced weights", "clipped")},
    "components": [*LOSSES["sum"], "component_gradients=true"],
    "frozen": [*DIGITS, "loss=cross_entropy", "+model.freeze=backbone"],
    "rates of layers": [*DIGITS, "loss=cross_entropy", "+optimizer.layer_decay=0.5"],
}
ADAMW = {"adamw": [*MORE["rates of layers"], "scheduler=cosine"]}

pytestmark = pytest.mark.slow


class NoSlope(nn.Linear):
    """Line whose gradient is NaN."""

    def __init__(self, outputs):
        super().__init__(1, outputs)

    def forward(self, inputs):
        values = super().forward(inputs)
        return values + (values - values.detach()).abs().sqrt()


def configs_in_float32(runs, **options):
    """Return configs of runs, with the precision in which DeepSpeed keeps weights."""
    return configs_of(runs, "32-true", **options)


def test_two_ranks_with_parts_of_the_states_train_as_one(tmp_path):
    require_divided(tmp_path, configs_in_float32(RUNS), ZERO, weights=1e-6, metrics=1e-5)


def states_of(run):
    """Return the states of the optimizer in a run's last checkpoint."""
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return saved["optimizer_states"][0]


def test_states_of_the_optimizer_are_saved_as_by_one_process(tmp_path):
    [(name, config)] = configs_in_float32(ADAMW, optimizer=["optimizer=adamw", "threads=1"]).items()
    failing = configs_in_float32(
        {"fails": [*LINE, "loss=mse", f"model._target_={__name__}.NoSlope", CLIPPED]}
    )
    train_on_two(tmp_path / "two", failing | {name: config}, ZERO)
    train(config, tmp_path / "one")
    one, two = states_of(tmp_path / "one"), states_of(tmp_path / "two" / name)
    assert two["param_groups"] == one["param_groups"]
    assert two["state"].keys() == one["state"].keys()
    for place, expected in one["state"].items():
        torch.testing.assert_close(two["state"][place], expected, rtol=1e-5, atol=1e-8)
    assert weight_difference(tmp_path / "one", tmp_path / "two" / name) < 1e-6
    failed = read_record(tmp_path / "two" / "fails")
    assert failed["status"] == "failed"
    assert failed["error"]["message"] == "loss=mse became nan at step 1"


def test_a_rank_that_fails_ends_the_run_and_not_the_next_one(tmp_path, monkeypatch):
    runs = dict(list(FAILING.items())[:3])
    require_failing(tmp_path, configs_in_float32(runs), ZERO, monkeypatch)


def test_ranks_of_this_process_end_a_failed_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the other rank
    configs = configs_in_float32(dict(list(FAILING.items())[3:]))
    records = [train(together(each, ZERO), tmp_path / name) for name, each in configs.items()]
    assert [each["status"] for each in records] == ["failed", "done"]


def test_half_precision_is_that_of_whole_states(tmp_path):
    runs = {"half": LOSSES["cross_entropy"]}
    [half] = configs_of(runs, "bf16-mixed").values()
    [single] = configs_in_float32(runs).values()
    train_in_order(
        tmp_path,
        [
            ("single", together(single, ZERO)),
            ("whole", together(half)),
            ("divided", together(half, ZERO)),
        ],
    )
    assert weight_difference(tmp_path / "whole", tmp_path / "divided") < 1e-9
    assert weight_difference(tmp_path / "single", tmp_path / "divided") > 1e-6


def test_one_process_trains_with_deepspeed(tmp_path):
    [config] = configs_in_float32({"mse": LOSSES["mse"]}).values()
    train(config, tmp_path / "whole")
    config = together(config, ZERO)
    config.trainer.devices = 1
    train(config, tmp_path / "divided")
    assert weight_difference(tmp_path / "whole", tmp_path / "divided") < 1e-6


def test_what_reads_weights_and_gradients_gets_whole_ones(tmp_path):
    configs = configs_in_float32(MORE)
    train_on_two(tmp_path / "two", configs, ZERO)
    require_equal(tmp_path, configs, weights=1e-6, metrics=1e-5)
