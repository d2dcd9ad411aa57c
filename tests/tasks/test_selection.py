"""Which epoch of a run is tested, for tasks with classes or labels and every kind of loss."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import one_hot

from losslab.data import InMemoryData, Raw
from losslab.losses.base import InverseLink
from losslab.runs.buffered_writer import BufferedRunWriter
from losslab.tasks import ClassificationTask, MultiLabelTask, RegressionTask

DEAD, EPOCHS, SAMPLES, CLASSES = 10, 16, 300, 4
LINKS: tuple[InverseLink | None, ...] = ("softmax", "sigmoid", None)


class Imbalanced(InMemoryData):
    def load(self) -> Raw:
        targets = torch.arange(2 * SAMPLES) % CLASSES
        targets[torch.arange(2 * SAMPLES) % 3 > 0] = 0
        return Raw(torch.randn(2 * SAMPLES, 2), targets)


def target_of(seed: int) -> Tensor:
    frequent = np.random.default_rng(seed).choice(CLASSES, SAMPLES, p=[0.7, 0.1, 0.1, 0.1])
    return torch.from_numpy(frequent)


def logits_of_a_late_network(target: Tensor, seed: int, noise: float) -> Iterator[Tensor]:
    """Yield the outputs of each epoch: a drifting bias at first, then signal too.

    Args:
        target: classes of the validation split.
        seed: seed of the noise.
        noise: standard deviation of outputs that differ between samples.
    """
    rng = torch.Generator().manual_seed(seed)
    bias = torch.tensor([2.0, 0.0, 0.0, 0.0])
    for epoch in range(EPOCHS):
        own = noise * torch.randn(SAMPLES, CLASSES, generator=rng)
        signal = max(0, epoch + 1 - DEAD) * one_hot(target, CLASSES) * 0.3
        yield bias * min(epoch + 1, DEAD) / DEAD + own + signal


def chosen_epoch(folder: Path, outputs: Iterator[Tensor], target: Tensor, link: Any) -> int:
    """Return the epoch that a run with these outputs is tested at."""
    data = Imbalanced()
    data.setup()
    task = ClassificationTask(data)
    writer = BufferedRunWriter(folder, "val/auroc", "max", events=False)
    writer.start({"loss": str(link)})
    for epoch, prediction in enumerate(outputs):
        metrics = task.metrics(prediction, target, link, {})
        tagged = {f"val/{name}": float(value) for name, value in metrics.items()}
        broken = task.tie_break(prediction, target, link)
        writer.end_epoch(epoch, epoch, tagged, lambda path: None, lambda broken=broken: broken)
    best = writer.record["best"]
    assert best is not None
    return best["epoch"]


@pytest.mark.parametrize("noise", [0.0, 0.3], ids=["constant", "noise at chance"])
@pytest.mark.parametrize("link", LINKS)
def test_a_network_that_learns_after_ten_epochs_is_tested_after_them(
    link: InverseLink | None, noise: float, tmp_path: Path
) -> None:
    for seed in range(8):
        target = target_of(seed)
        outputs = logits_of_a_late_network(target, seed, noise)
        assert chosen_epoch(tmp_path / str(seed), outputs, target, link) >= DEAD


@pytest.mark.parametrize("link", LINKS)
def test_a_network_that_never_changes_is_tested_at_its_last_epoch(
    link: InverseLink | None, tmp_path: Path
) -> None:
    outputs = iter([torch.tensor([2.0, 0, 0, 0]).expand(SAMPLES, CLASSES)] * EPOCHS)
    assert chosen_epoch(tmp_path, outputs, target_of(0), link) == EPOCHS - 1


def ordered(target: Tensor) -> Tensor:
    """Return outputs that order the samples of each class without error."""
    noise = torch.randn(SAMPLES, CLASSES, generator=torch.Generator().manual_seed(0))
    return one_hot(target, CLASSES) + 0.1 * noise


@pytest.mark.parametrize("link", LINKS)
def test_the_scale_of_the_outputs_does_not_decide(link: Any, tmp_path: Path) -> None:
    target = target_of(0)
    outputs = iter([factor * ordered(target) for factor in (1, 50, 0.1)])
    assert chosen_epoch(tmp_path, outputs, target, link) == 2


def test_among_equal_orders_the_likelihood_decides(tmp_path: Path) -> None:
    target = target_of(0)
    good = ordered(target)
    biased = good + torch.linspace(-9, 9, CLASSES)  # each class on its own is ordered as before
    assert chosen_epoch(tmp_path, iter([biased, good, biased]), target, "sigmoid") == 1


def test_auroc_of_a_loss_without_probabilities_is_that_of_margins() -> None:
    data = Imbalanced()
    data.setup()
    target, scores = target_of(1), torch.randn(SAMPLES, CLASSES)
    others = [scores[:, [j for j in range(CLASSES) if j != c]].amax(1) for c in range(CLASSES)]
    expected = [roc_auc_score(target == c, scores[:, c] - other) for c, other in enumerate(others)]
    task = ClassificationTask(data)
    for scale in (1.0, 1e3):  # a softmax of large scores would saturate
        found = task.metrics(scale * scores, target, None, {})["auroc"]
        assert float(found) == pytest.approx(np.mean(expected))


class Labels(InMemoryData):
    def load(self) -> Raw:
        return Raw(torch.randn(50, 2), (torch.rand(50, 3) > 0.5).float(), "multilabel")


def test_labels_without_probabilities_have_an_auroc_and_a_tie_break() -> None:
    data = Labels()
    data.setup()
    task = MultiLabelTask(data)
    target = (torch.rand(50, 3) > 0.5).float()
    scores = target + torch.randn(50, 3)
    expected = roc_auc_score(target.numpy(), scores.numpy())
    assert float(task.metrics(scores, target, None, {})["auroc"]) == pytest.approx(expected)
    one, other = (task.tie_break(factor * scores, target, None) for factor in (1, 20))
    assert one.keys() == {"nll_temperature_scaled"}
    assert one == pytest.approx(other, rel=1e-6)


class Numbers(InMemoryData):
    def load(self) -> Raw:
        return Raw(torch.randn(50, 2), torch.randn(50, 1), "values")


def test_the_monitor_of_a_regression_lies_between_mae_and_rmse() -> None:
    data = Numbers()
    data.setup()
    prediction, target = torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [7.0]])
    values = RegressionTask(data).metrics(prediction, target, "identity", {})
    assert float(values["mae_rmse"]) == pytest.approx((4.0 * 5.0) ** 0.5)  # mae 4, rmse 5
