"""Two processes train as one: every loss, with global batches whose last one is uneven."""

import pytest
import torch
from torch import nn

from losslab.runs.record import read_record
from losslab.training import train
from rank_runs import DIGITS, LINE, LOSSES, OPTIONS_OF_RUNS, configs_of, require_equal
from two_ranks import train_on_two, weight_difference

FEW = ("sse", "rmse", "triplet", "adversarial")


class Drawing(nn.Module):
    """Network that draws of each kind: for elements, channels, attention, and folded samples."""

    def __init__(self, outputs):
        super().__init__()
        self.channels = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.Dropout2d(0.3))
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, batch_first=True)
        self.elements = nn.Dropout(0.3)
        self.head = nn.Linear(4, outputs)

    def forward(self, images):
        images = self.channels(images.to(memory_format=torch.channels_last))
        pixels = self.attention(images.flatten(2).transpose(1, 2))
        folded = self.elements(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        noise = torch.randn_like(folded[:, 0]) if self.training else 0
        return self.head(folded.mean(dim=1) + noise)


NETWORK = [*DIGITS[:2], "loss=cross_entropy", f"model._target_={__name__}.Drawing"]


def test_two_ranks_train_as_one(tmp_path):
    configs = configs_of({name: LOSSES[name] for name in FEW} | {"draws": NETWORK})
    fails = [*LINE, "loss=mse", "loss._target_=rank_runs.FailsOnOne"]
    failing = configs_of(
        {f"fails {n}": [*fails, "data.batch_size=35", f"+loss.samples={n}"] for n in (17, 18)}
    )
    interrupted = {"resumed": configs["rmse"].copy()}
    interrupted["resumed"].trainer.max_epochs = 1
    train_on_two(tmp_path / "two", failing | interrupted | configs)

    errors = [read_record(tmp_path / "two" / name)["error"]["message"] for name in failing]
    assert errors[0].startswith("RuntimeError: rank 1: ArithmeticError: this rank fails")
    assert errors[1].startswith("ArithmeticError: this rank fails")
    require_equal(tmp_path, configs)
    train(configs["rmse"], tmp_path / "two" / "resumed", resume=True)  # by this process alone
    assert weight_difference(tmp_path / "one" / "rmse", tmp_path / "two" / "resumed") < 1e-9


@pytest.mark.slow
def test_two_ranks_train_as_one_with_every_loss(tmp_path):
    configs = configs_of({name: given for name, given in LOSSES.items() if name not in FEW})
    configs |= configs_of(OPTIONS_OF_RUNS)
    train_on_two(tmp_path / "two", configs)
    require_equal(tmp_path, configs)
