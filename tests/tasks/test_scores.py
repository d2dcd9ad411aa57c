"""The scores of test samples: one number per sample, whose mean is the metric of that name."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from losslab.data import InMemoryData, Raw
from losslab.data.boxes import ShapesBoxes
from losslab.data.digit_sequences import DigitSequences
from losslab.data.digits import Digits
from losslab.data.digits_captions import DigitsCaptions
from losslab.data.digits_retrieval import DigitsRetrieval
from losslab.data.pointcloud import PointCloud
from losslab.data.ranking import Ranking
from losslab.data.raw import IGNORED
from losslab.data.regression import Regression
from losslab.data.ring import Ring
from losslab.data.segmentation import ShapesSegmentation
from losslab.losses.base import InverseLink
from losslab.losses.links import FocalLink
from losslab.tasks import (
    ClassificationTask,
    GenerationTask,
    ImageTextTask,
    LocalizationTask,
    MetricLearningTask,
    MultiLabelTask,
    PointCloudTask,
    RankingTask,
    ReconstructionTask,
    RegressionTask,
    SegmentationTask,
    SequenceTask,
    Task,
)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


class Labels(InMemoryData):
    def load(self) -> Raw:
        return Raw(normal(200, 3), (normal(200, 3) > 0).float(), "multilabel")


class PartlyKnownLabels(Labels):
    def load(self) -> Raw:
        raw = super().load()
        return replace(raw, targets=raw.targets.where(normal(200, 3) > -0.5, IGNORED))


class Values(InMemoryData):
    def load(self) -> Raw:
        return Raw(normal(200, 3), 3 * normal(200, 3), "values")


class PaddedQueries(Ranking):
    def load(self) -> Raw:
        raw = super().load()
        counted = torch.ones_like(raw.targets)
        counted[::3, 12:] = 0
        raw.targets[::7] = 2  # no documents of different grade
        return replace(raw, targets=torch.stack([raw.targets, counted], dim=-1))


def of_shape(*shape: int) -> Callable[[InMemoryData, Tensor], Tensor]:
    return lambda data, target: 2 * normal(len(target), *shape)


def near_target(data: InMemoryData, target: Tensor) -> Tensor:
    return target + 0.1 * normal(*target.shape)


@dataclass(frozen=True)
class Case:
    task: Callable[[InMemoryData], Task]
    data: InMemoryData
    predict: Callable[[InMemoryData, Tensor], Tensor]
    means: str
    """Scores whose mean is the metric of that name."""
    others: str = ""
    link: InverseLink | None = None
    chooses: bool = True
    partly: tuple[str, ...] = field(default=())
    """Scores that some samples lack."""


CLASSES = "accuracy rare_recall"
COOLED = "brier_temperature_scaled bits_temperature_scaled nll_temperature_scaled"
SOFT = f"{CLASSES} brier entropy bits {COOLED}"
RARE = "rare_recall_best_threshold"
OVERLAP = "iou dice precision recall"
QUERIES = "ndcg_at_10 kendall_tau pairwise_accuracy"
NEIGHBOURS = "recall_at_1 map_at_r silhouette"

CASES = {
    "softmax": Case(
        ClassificationTask, Digits(), of_shape(10), SOFT, "nll", "softmax",
        partly=("rare_recall",),
    ),
    "sigmoid": Case(
        ClassificationTask, Digits(imbalance=0.2), of_shape(10), f"{SOFT} {RARE}",
        "nll", "sigmoid", partly=("rare_recall", RARE),
    ),
    "no link": Case(
        ClassificationTask, Digits(), of_shape(10),
        f"{CLASSES} brier_raw bits_raw nll_raw {COOLED}",
        partly=("rare_recall",),
    ),
    "no choice": Case(
        ClassificationTask, Digits(), of_shape(10), f"{CLASSES} brier entropy bits", "nll",
        "softmax", chooses=False, partly=("rare_recall",),
    ),
    "labels": Case(
        MultiLabelTask, Labels(), of_shape(3), "accuracy brier entropy bits", "nll", "sigmoid"
    ),
    "some labels": Case(
        MultiLabelTask, PartlyKnownLabels(), of_shape(3), "accuracy brier entropy bits", "nll",
        "sigmoid", partly=("accuracy", "brier"),
    ),
    "line": Case(RegressionTask, Regression(), of_shape(1), "mae", "squared_error", "identity"),
    "values": Case(RegressionTask, Values(), of_shape(3), "mae", "squared_error", "identity"),
    "foreground": Case(
        SegmentationTask, ShapesSegmentation(n=60), of_shape(1, 40, 40),
        f"{OVERLAP} dice_best_threshold", link="sigmoid",
    ),
    "masks": Case(
        SegmentationTask, ShapesSegmentation(n=60, classes=4), of_shape(4, 40, 40), "",
        " ".join(f"{name}/{label}" for name in OVERLAP.split() for label in (1, 2, 3)), "softmax",
        partly=("recall/1", "recall/2", "recall/3"),
    ),
    "boxes": Case(
        LocalizationTask, ShapesBoxes(n=100), of_shape(4),
        "iou accuracy_at_50 accuracy_at_75 centre_error",
    ),
    "clouds": Case(
        lambda data: PointCloudTask(data, emd_clouds=7), PointCloud(n=60, points=24), near_target,
        "chamfer emd f_score coverage", partly=("emd",),
    ),
    "queries": Case(RankingTask, Ranking(queries=100), of_shape(20), QUERIES),
    "padded queries": Case(
        RankingTask, PaddedQueries(queries=100), of_shape(20), QUERIES,
        partly=tuple(QUERIES.split()),
    ),
    "embeddings": Case(
        MetricLearningTask, DigitsRetrieval(copies=1), of_shape(32), NEIGHBOURS
    ),
    "held-out classes": Case(
        MetricLearningTask, DigitsRetrieval(copies=1, held_out_classes=[7, 8]), of_shape(32),
        f"{NEIGHBOURS} recall_at_1_held_out map_at_r_held_out",
        partly=("recall_at_1_held_out", "map_at_r_held_out"),
    ),
    "images and texts": Case(
        ImageTextTask, DigitsCaptions(copies=1), of_shape(2, 32),
        "recall_at_1 recall_at_1_image_to_text recall_at_1_text_to_image",
    ),
    "images": Case(
        lambda data: ReconstructionTask(data, frechet=True), Digits(), near_target,
        "psnr ssim mae", "squared_error", "identity",
    ),
    "sequences": Case(
        SequenceTask, DigitSequences(rows=100), of_shape(44, 11), "exact_match",
        "cer_edits cer_length",
    ),
}  # fmt: skip


def evaluated(case: Case) -> tuple[Task, tuple]:
    """Return the task of a case, and the arguments of its metrics on the test split."""
    case.data.setup()
    task = case.task(case.data)
    pairs = [task.pair(split.tensors()) for split in (case.data.val, case.data.test)]
    outputs = [(case.predict(case.data, target), target) for _, target in pairs]
    chosen = task.choose(*outputs[0], case.link) if case.chooses else {}
    return task, (*outputs[1], case.link, chosen)


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request) -> Case:
    return request.param


def test_the_mean_of_a_score_is_the_metric(case):
    task, given = evaluated(case)
    scores, metrics = task.scores(*given), task.metrics(*given)
    means, others = case.means.split(), case.others.split()
    assert sorted(scores) == sorted([*means, *others])
    assert not metrics.keys() & set(others)
    for name in means:
        mean = scores[name].double().nanmean().item()
        assert mean == pytest.approx(metrics[name].item(), abs=1e-6), name


def test_each_sample_has_one_value(case):
    task, given = evaluated(case)
    for name, values in task.scores(*given).items():
        assert values.shape == (len(given[1]),), name
        assert bool(values.isnan().any()) == (name in case.partly), name
        assert not values.isnan().all(), name


@pytest.mark.parametrize("kind", sorted(CASES.keys() - {"embeddings", "held-out classes"}))
def test_a_score_depends_on_its_sample_alone(kind):
    """The samples of metric learning are compared with each other."""
    task, (prediction, target, link, chosen) = evaluated(CASES[kind])
    whole = task.scores(prediction, target, link, chosen)
    part = task.scores(prediction[:5], target[:5], link, chosen)
    for name, values in part.items():
        torch.testing.assert_close(values, whole[name][:5], equal_nan=True)


@pytest.mark.parametrize("kind", ["softmax", "no link", "no choice", "labels", "line", "values"])
def test_scores_can_be_mapped_where_metrics_can(kind):
    task, (prediction, target, link, chosen) = evaluated(CASES[kind])
    assert task.maps_metrics
    predictions = torch.stack([prediction, -prediction])
    mapped = vmap(lambda one: task.scores(one, target, link, chosen))(predictions)
    for row, one in enumerate(predictions):
        for name, values in task.scores(one, target, link, chosen).items():
            torch.testing.assert_close(mapped[name][row], values, equal_nan=True)


def test_derived_metrics_follow_from_the_scores():
    task, given = evaluated(CASES["values"])
    scores, metrics = task.scores(*given), task.metrics(*given)
    assert task.derived == ("rmse",)
    assert scores["squared_error"].mean().sqrt().item() == pytest.approx(metrics["rmse"].item())
    task, given = evaluated(CASES["sequences"])
    scores, metrics = task.scores(*given), task.metrics(*given)
    assert task.derived == ("cer",)
    ratio = scores["cer_edits"].sum() / scores["cer_length"].sum()
    assert ratio.item() == pytest.approx(metrics["cer"].item())


def test_raw_scores_of_a_loss_without_the_link_of_cross_entropy_are_read_as_its_logits():
    task, (prediction, target, _, chosen) = evaluated(CASES["no link"])
    raw = task.metrics(prediction, target, None, chosen)
    read = task.metrics(prediction, target, "softmax", chosen)
    assert (raw["ece_raw"], raw["brier_raw"]) == (read["ece"], read["brier"])
    assert "ece" not in raw
    assert "ece_raw" not in read
    link = FocalLink(2.0)
    own = task.metrics(prediction, target, link, chosen)
    assert own["ece_raw"] == read["ece"] != own["ece"]
    # in training, nothing reads them
    assert "ece_raw" not in task.metrics(prediction, target, None, {})


@pytest.mark.parametrize("data", [Ring(n=6000), Digits()], ids=["plane", "images"])
def test_real_samples_have_the_recall_of_generated_ones(data):
    data.setup()
    task = GenerationTask(data)
    real, fake = data.test.inputs, near_target(data, data.val.inputs)
    scores = task.scores(fake, real, None, {})["sample_recall"]
    assert scores.shape == (len(real),)
    assert int(scores.isnan().sum()) == max(0, len(real) - 1000)
    assert scores.nanmean().item() == pytest.approx(task.evaluate(real, fake)["sample_recall"])
