"""Two processes train as one: every loss, with global batches whose last one is uneven."""

import pytest
import torch
from torch import nn

from kinds_of_run import config_of
from losslab.config import groups
from losslab.losses import Loss, MSELoss
from losslab.runs.record import read_record
from losslab.training import train
from two_ranks import metric_differences, train_on_two, weight_difference

COMMON = ["trainer.precision=64-true", "trainer.max_epochs=2", "trainer.log_every_n_steps=2"]
# Adam would turn gradients that are 0 but for rounding into steps
SGD = ["optimizer=sgd", "optimizer.momentum=0", "threads=1"]
DIGITS = ["data=digits", "data.batch_size=359", "model=mlp", "model.hidden=[16]"]
RETRIEVAL = ["data.copies=1", "data.batch_size=267", "model.channels=[2,4]"]
MASKS = ["data.n=40", "data.image_size=16", "data.batch_size=9", "model.channels=[4,8]"]
CLOUDS = ["data.n=60", "data.points=16", "data.batch_size=21", "task.definition.emd_clouds=5"]
LINE = ["data.n=101", "data.batch_size=21"]
OF_DATA = {
    "digits": DIGITS,
    "digits_retrieval": RETRIEVAL,
    "segmentation": MASKS,
    "pointcloud": CLOUDS,
    "regression": LINE,
    "ranking": ["data.queries=60", "data.batch_size=13"],
    "digit_sequences": ["data.rows=60", "data.batch_size=13"],
}
OF_BOTH = ["++loss.of.bce=1", "++loss.of.dice=1", "data=segmentation", *MASKS]
OPTIONS = {
    "adversarial": ["data=ring", "data.n=103", "data.batch_size=21"],
    "reconstruction": ["data.batch_size=359"],
    "sse": [*LINE, "optimizer.lr=1e-4"],
    "sum": OF_BOTH,
    "uncertainty_sum": OF_BOTH,
}
ALONE = ("policy_gradient", "q_learning")
LOSSES = {
    name: [f"loss={name}", *OPTIONS.get(name, OF_DATA.get(groups.default_data(name), []))]
    for name in groups.names("loss")
    if name not in ALONE
}
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


class FailsOnOne(Loss):
    """Raises on a rank by its number of samples: rank 0 has 18 of 35."""

    accepts = MSELoss.accepts

    def __init__(self, samples):
        super().__init__()
        self.samples = samples

    def forward(self, prediction, target):
        if len(prediction) == self.samples:
            raise ArithmeticError("this rank fails")
        return self.reduce((prediction - target).square())


NETWORK = [*DIGITS[:2], "loss=cross_entropy", f"model._target_={__name__}.Drawing"]
OPTIONS_OF_RUNS = {
    "balanced weights": [*DIGITS, "loss=cross_entropy", "loss.weight=balanced"],
    "regions of batches": [*MASKS, "loss=dice", "loss.per_image=false"],
    "skipped regions": [*MASKS, "loss=bce_dice", "++loss.of.dice.loss.empty=skip"],
    "regularizer": [*LINE, "loss=mse", "regularizer=l2", "regularizer.strength=0.1"],
    "accumulated": [*LINE, "loss=rmse", "trainer.accumulate_grad_batches=2"],
    "clipped": [*DIGITS, "loss=focal", "trainer.gradient_clip_val=0.01"],
    "of torch": [*DIGITS, "loss=cross_entropy", "loss._target_=torch.nn.MultiMarginLoss"],
    "gradient penalty": [*OPTIONS["adversarial"], "loss=adversarial", "loss.kind=wasserstein"],
}


def configs_of(runs):
    return {name: config_of(*SGD, *given, *COMMON) for name, given in runs.items()}


def require_equal(folder, configs):
    """Train runs in this process, and compare them with those in another folder."""
    for name, config in configs.items():
        train(config, folder / "one" / name)
        one, two = folder / "one" / name, folder / "two" / name
        assert weight_difference(one, two) < 1e-9, name
        assert max(metric_differences(one, two).values()) < 1e-8, name


def test_two_ranks_train_as_one(tmp_path):
    configs = configs_of({name: LOSSES[name] for name in FEW} | {"draws": NETWORK})
    fails = [*LINE, "loss=mse", f"loss._target_={__name__}.FailsOnOne"]
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
