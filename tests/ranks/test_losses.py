"""Two processes train as one: every loss, with global batches whose last one is uneven."""

import pytest

from losslab.config import groups
from two_ranks import SGD, metric_differences, train_all, train_all_on_two, weight_difference

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
OPTIONS = {
    "adversarial": ["data=ring", "data.n=103", "data.batch_size=21"],
    "reconstruction": ["data.batch_size=359"],
    "sum": ["++loss.of.bce=1", "++loss.of.dice=1", "data=segmentation", *MASKS],
    "uncertainty_sum": ["++loss.of.bce=1", "++loss.of.dice=1", "data=segmentation", *MASKS],
    "sse": [*LINE, "optimizer.lr=1e-4"],
}
MORE = {
    "dropout": [*DIGITS, "loss=cross_entropy", "model.dropout=0.3"],
    "balanced weights": [*DIGITS, "loss=cross_entropy", "loss.weight=balanced"],
    "whole batch dice": [*MASKS, "loss=dice", "loss.per_image=false"],
    "skipped regions": [*MASKS, "loss=bce_dice", "++loss.of.dice.loss.empty=skip", "data.empty_images=0.5"],
    "regularizer": [*LINE, "loss=mse", "regularizer=l2", "regularizer.strength=0.1"],
    "accumulated": [*LINE, "loss=rmse", "trainer.accumulate_grad_batches=2"],
    "clipped": [*DIGITS, "loss=focal", "trainer.gradient_clip_val=0.01"],
    "of torch": [*DIGITS, "loss=cross_entropy", "loss._target_=torch.nn.MultiMarginLoss"],
    "gradient penalty": [*OPTIONS["adversarial"], "loss=adversarial", "loss.kind=wasserstein"],
}
ALONE = ["policy_gradient", "q_learning"]
TRAINED = ["trainer.max_epochs=2", "trainer.log_every_n_steps=2", "threads=1"]


def runs_of_losses() -> dict[str, list[str]]:
    runs = {
        name: [f"loss={name}", *OPTIONS.get(name, OF_DATA.get(groups.default_data(name), []))]
        for name in groups.names("loss")
        if name not in ALONE
    }
    return runs | MORE


def differences(folder, runs: dict[str, list[str]]) -> dict[str, tuple[float, float, str]]:
    """Train runs in one process and in two; return how much weights and metrics differ."""
    train_all(folder / "one", runs)
    train_all_on_two(folder / "two", runs)
    found = {}
    for name in runs:
        one, two = folder / "one" / name, folder / "two" / name
        metrics = metric_differences(one, two)
        worst = max(metrics, key=lambda each: metrics[each])
        found[name] = weight_difference(one, two), metrics[worst], worst
    return found
