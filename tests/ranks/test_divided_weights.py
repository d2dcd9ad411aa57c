"""Two processes that divide a network's weights train as one, and leave whole checkpoints."""

import pytest
import torch
from torch import nn

from losslab.modules.sharding import FULLY_SHARD
from rank_runs import (
    DIGITS,
    FAILING,
    LOSSES,
    OPTIONS_OF_RUNS,
    configs_of,
    require_divided,
    require_equal,
    require_failing,
)
from two_ranks import train_on_two

CLIPPED = "trainer.gradient_clip_val=0.01"
RUNS = {
    "mse": [*LOSSES["mse"], "callbacks=default", "callbacks.figures.every=1"],
    **{name: LOSSES[name] for name in ("cross_entropy", "triplet")},
    "regularizer": OPTIONS_OF_RUNS["regularizer"],
    "weights of a loss": [*LOSSES["uncertainty_sum"], CLIPPED, "optimizer.momentum=0.9"],
}
OF_OTHERS = [*DIGITS[:2], "loss=focal", f"model._target_={__name__}.Unusual"]
MORE = {
    **{name: LOSSES[name] for name in ("focal", "dice", "chamfer", "center", "proxy_anchor")},
    **{name: OPTIONS_OF_RUNS[name] for name in ("accumulated", "balanced weights", "clipped")},
    "accumulated penalty": [*OPTIONS_OF_RUNS["regularizer"], *OPTIONS_OF_RUNS["accumulated"]],
    "clipped values": [
        *LOSSES["uncertainty_sum"],
        CLIPPED,
        "+trainer.gradient_clip_algorithm=value",
    ],
    "frozen": [*DIGITS, "loss=cross_entropy", "+model.freeze=backbone"],
    "rates of layers": [*DIGITS, "loss=cross_entropy", "+optimizer.layer_decay=0.5"],
    "network of others": [*OF_OTHERS, "+model.shares=false"],
    "shared weights": [*OF_OTHERS, "+model.shares=true"],
}


class Unusual(nn.Module):
    """Network with layers in a list, changes of views in place, dropout, and a single number."""

    def __init__(self, outputs, shares):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 12), nn.Linear(12, 12), nn.Linear(12, 12)])
        if shares:
            self.layers[2].weight = self.layers[1].weight
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(12, outputs))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        values = images.squeeze(1)
        for layer in self.layers:
            values = layer(values).relu_()
        return self.scale * self.head(values.mean(dim=1))


def configs_of_divided(runs):
    """Return configs of runs, without the curves that divided weights lack."""
    return configs_of({name: [*given, "component_gradients=false"] for name, given in runs.items()})


def test_two_ranks_with_parts_of_the_weights_train_as_one(tmp_path):
    require_divided(tmp_path, configs_of_divided(RUNS), FULLY_SHARD)


@pytest.mark.slow
def test_what_reads_weights_and_gradients_gets_whole_ones(tmp_path):
    configs = configs_of_divided(MORE)
    train_on_two(tmp_path / "two", configs, FULLY_SHARD)
    require_equal(tmp_path, configs)


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_run_and_not_the_next_one(tmp_path, monkeypatch):
    runs = dict(list(FAILING.items())[3:])
    require_failing(tmp_path, configs_of_divided(runs), FULLY_SHARD, monkeypatch)
