"""Runs of every loss, with global batches whose last one is uneven, and their comparison."""

import os
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from kinds_of_run import config_of
from losslab.config import groups
from losslab.losses import Loss, MSELoss
from losslab.runs.record import read_record
from losslab.training import evaluate, train
from two_ranks import (
    metric_differences,
    together,
    train_in_order,
    train_on_two,
    weight_difference,
)

COMMON = ["trainer.max_epochs=2", "trainer.log_every_n_steps=2"]
# Adam would turn gradients that are 0 but for rounding into steps
SGD = ["optimizer=sgd", "optimizer.momentum=0", "threads=1"]
DIGITS = ["data=digits", "data.batch_size=359", "model=mlp", "model.hidden=[16]"]
RETRIEVAL = ["data.copies=1", "data.batch_size=267", "model.channels=[2,4]"]
MASKS = ["data.n=40", "data.image_size=16", "data.batch_size=9", "model.channels=[4,8]"]
CLOUDS = ["data.n=60", "data.points=16", "data.batch_size=21", "task.definition.emd_clouds=5"]
BOXES = ["data.n=60", "data.image_size=16", "data.sizes=[0.3,0.6]", "data.batch_size=13"]
DETECTOR = ["model.channels=[2,4]", "model.hidden=4"]
LINE = ["data.n=101", "data.batch_size=21"]
OF_DATA = {
    "digits": DIGITS,
    "digits_retrieval": RETRIEVAL,
    "digits_captions": RETRIEVAL,
    "segmentation": MASKS,
    "pointcloud": CLOUDS,
    "boxes": [*BOXES, "model.channels=[2,4]"],
    "regression": LINE,
    "ranking": ["data.queries=60", "data.batch_size=13"],
    "ratings": ["data.users=40", "data.items=60", "data.batch_size=13"],
    "digit_sequences": ["data.rows=60", "data.batch_size=13"],
}
OF_BOTH = ["++loss.of.bce=1", "++loss.of.dice=1", "data=segmentation", *MASKS]
OPTIONS = {
    "detection": [*BOXES, "data.objects=2", "data.empty_images=0.3", *DETECTOR],
    "adversarial": ["data=ring", "data.n=103", "data.batch_size=21"],
    "reconstruction": ["data.batch_size=359"],
    "adversarial_reconstruction": ["data.batch_size=359"],
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
OPTIONS_OF_RUNS = {
    "balanced weights": [*DIGITS, "loss=cross_entropy", "loss.weight=balanced"],
    "regions of batches": [*MASKS, "loss=dice", "loss.per_image=false"],
    "skipped regions": [*MASKS, "loss=bce_dice", "++loss.of.dice.loss.empty=skip"],
    "regularizer": [*LINE, "loss=mse", "regularizer=l2", "regularizer.strength=0.1"],
    "coordinates of boxes": ["loss=smooth_l1", "data=boxes", *OF_DATA["boxes"]],
    "exclusive classes of boxes": [
        *("loss=detection", "loss.classification=cross_entropy", "loss.box=smooth_l1"),
        *(*BOXES, "data.classes=2", *DETECTOR),
    ],
    "accumulated": [*LINE, "loss=rmse", "trainer.accumulate_grad_batches=2"],
    "clipped": [*DIGITS, "loss=focal", "trainer.gradient_clip_val=0.01"],
    "of torch": [*DIGITS, "loss=cross_entropy", "loss._target_=torch.nn.MultiMarginLoss"],
    "gradient penalty": [*OPTIONS["adversarial"], "loss=adversarial", "loss.kind=wasserstein"],
}

_FAILS = [*LINE, "loss=mse", "data.batch_size=35", "loss._target_=rank_runs.FailsOnOne"]
FAILING = {
    "fails on 0": [*_FAILS, "+loss.samples=18"],
    "fails on 1 in its backward pass": [*_FAILS, "+loss.samples=17", "+loss.backward=true"],
    "after 1": LOSSES["mse"],
    "fails on 0 in its backward pass": [*_FAILS, "+loss.samples=18", "+loss.backward=true"],
    "after 0": LOSSES["mse"],
}
"""Runs that fail on one of two ranks, and runs that then do not."""


class FailsOnOne(Loss):
    """Raises on a rank by its number of samples (rank 0 has 18 of 35), or in its backward pass."""

    accepts = MSELoss.accepts

    def __init__(self, samples, backward=False):
        super().__init__()
        self.samples, self.backward = samples, backward

    def forward(self, prediction, target):
        if len(prediction) == self.samples and not self.backward:
            raise ArithmeticError("this rank fails")
        if len(prediction) == self.samples and prediction.requires_grad:
            prediction.register_hook(self.fail)
        return self.reduce((prediction - target).square())

    def fail(self, gradient):
        raise ArithmeticError("this rank fails")


def configs_of(
    runs: dict[str, list[str]], precision: str = "64-true", optimizer: list[str] = SGD
) -> dict[str, DictConfig]:
    """Return the configs of runs, in float64 and with plain SGD unless something else is given."""
    options = [*COMMON, f"trainer.precision={precision}"]
    return {name: config_of(*optimizer, *given, *options) for name, given in runs.items()}


def require_equal(
    folder: Path, configs: dict[str, DictConfig], weights: float = 1e-9, metrics: float = 1e-8
) -> None:
    """Train runs in this process, and compare them with those in another folder.

    Args:
        folder: where runs of two processes are, in ``two``.
        configs: configs of the runs, by name.
        weights: largest relative difference of the weights.
        metrics: largest relative difference of a curve or a metric.
    """
    for name, config in configs.items():
        train(config, folder / "one" / name)
        one, two = folder / "one" / name, folder / "two" / name
        assert weight_difference(one, two) < weights, name
        assert max(metric_differences(one, two).values()) < metrics, name


def require_divided(
    folder: Path,
    configs: dict[str, DictConfig],
    strategy: str,
    *,
    weights: float = 1e-9,
    metrics: float = 1e-8,
) -> None:
    """Train runs on two processes that divide them, compare them with one process, and resume.

    The run named "weights of a loss" goes on from one process to two and back, and from this
    strategy to ddp and back; the one named "mse" draws its figures, and is evaluated.

    Args:
        folder: folder of the runs.
        configs: configs of the runs, by name.
        strategy: what divides weights or states.
        weights: see :func:`require_equal`.
        metrics: see there; also for what is evaluated later.
    """
    config = configs["weights of a loss"]
    first = config.copy()
    first.trainer.max_epochs = 1
    begun = {"divided, alone": strategy, "divided, whole": strategy, "whole, divided": "ddp"}
    runs = [(name, together(first, each)) for name, each in begun.items()]
    runs.append(("divided, whole", together(config, "ddp")))
    runs.append(("whole, divided", together(config, strategy)))
    runs += [(name, together(each, strategy)) for name, each in configs.items()]
    train_in_order(folder / "two", runs)
    require_equal(folder, configs, weights, metrics)

    one, two = (folder / ranks / "mse" for ranks in ("one", "two"))
    drawn = {path.name for path in one.rglob("*.png")}
    assert drawn
    assert drawn == {path.name for path in two.rglob("*.png")}
    expected, evaluated = (evaluate(run, ("test",))["test"] for run in (one, two))
    assert evaluated == pytest.approx(expected, rel=min(metrics, 1e-6))
    train(config, folder / "two" / "divided, alone", resume=True)
    for name in begun:
        whole = folder / "one" / "weights of a loss"
        assert weight_difference(whole, folder / "two" / name) < weights, name


def require_failing(
    folder: Path, configs: dict[str, DictConfig], strategy: str, patch: pytest.MonkeyPatch
) -> None:
    """Train runs that fail on one of two processes, and between them runs that do not.

    Processes that are started anew find the modules of the tests.
    """
    patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    train_on_two(folder, configs, strategy)
    for name in configs:
        record = read_record(folder / name)
        if name.startswith("fails"):
            assert record["status"] == "failed", name
            of = "rank 1: " if "on 1" in name else ""
            assert f"{of}ArithmeticError: this rank fails" in record["error"]["message"]
        else:
            assert record["status"] == "done", record["error"]
