"""The task of segmentation: targets in each form, metrics, the threshold, pictures."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve
from torch.nn.functional import one_hot

from losslab.losses import TargetFormat
from losslab.tasks import SegmentationTask


def data(outputs, kind="masks"):
    return SimpleNamespace(outputs=outputs, target_kind=kind)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


BINARY, THREE = SegmentationTask(data(1)), SegmentationTask(data(3))


def test_binary_masks():
    target = torch.tensor([[[0, 1], [1, 0]]])
    assert BINARY.provides == (TargetFormat.BINARY_TARGETS,)
    assert torch.equal(BINARY.target(target, TargetFormat.BINARY_TARGETS), target[:, None].float())


def test_classes():
    target = torch.tensor([[[0, 2], [1, 0]]])
    assert TargetFormat.BINARY_TARGETS not in THREE.provides
    assert torch.equal(THREE.target(target, TargetFormat.CLASS_MASKS), target)
    hot = THREE.target(target, TargetFormat.CLASS_PROBABILITIES)
    assert (hot.shape, hot.dtype) == ((1, 3, 2, 2), torch.float32)
    assert torch.equal(hot.argmax(dim=1), target)


def test_other_data_are_refused():
    with pytest.raises(ValueError, match="task=segmentation expects mask targets, got classes"):
        SegmentationTask(data(10, "classes"))


def test_binary_metrics():
    target = (torch.rand(6, 8, 8, generator=rng()) < 0.2).long()
    logits = torch.randn(6, 1, 8, 8, generator=rng(1)) + 2 * target[:, None] - 1
    values = BINARY.metrics(logits, target, "sigmoid", {})
    dice = []
    for guess, truth in zip(logits[:, 0].numpy() > 0, target.numpy() == 1, strict=True):
        dice.append(2 * (guess & truth).sum() / (guess.sum() + truth.sum()))
    assert values["dice"].item() == pytest.approx(np.mean(dice))
    expected = average_precision_score(target.flatten(), logits.flatten())
    assert values["average_precision"].item() == pytest.approx(expected)
    assert "dice_best_threshold" not in values


def test_the_threshold_is_the_best_on_validation():
    target = torch.zeros(2, 4, 4, dtype=torch.int64)
    target[:, :2] = 1
    logits = torch.where(target[:, None] > 0, -2.0, -3.0)  # right, but for the threshold
    chosen = BINARY.choose(logits, target, "sigmoid")
    assert -3 <= chosen["threshold"] < -2
    values = BINARY.metrics(logits, target, "sigmoid", chosen)
    assert values["dice"].item() == 0
    assert values["dice_best_threshold"].item() == 1


@pytest.mark.parametrize("outputs", [1, 3])
def test_dice_of_small_objects_is_that_of_the_smallest_quarter(outputs):
    """Of nine images, one is empty; two of the others are a quarter."""
    sizes = [5, 2, 9, 0, 7, 3, 8, 6, 4]
    target = torch.zeros(9, 4, 4, dtype=torch.int64)
    for image, size in zip(target, sizes, strict=True):
        image.view(-1)[:size] = 1
    task = SegmentationTask(data(outputs))
    guess = target.clone()
    guess[1, 3, 3] = 1  # of size 2: Dice 4 / 5
    guess[2] = 0  # of size 9, which does not count
    logits = 2.0 * guess[:, None] - 1 if outputs == 1 else one_hot(guess, 3).movedim(-1, 1).float()
    assert task.metrics(logits, target, "sigmoid", {})["dice_small"].item() == pytest.approx(0.9)


def test_equal_sizes_are_all_small():
    target = torch.eye(4, dtype=torch.int64).expand(5, 4, 4)
    logits = 2.0 * target[:, None] - 1
    logits[0] *= -1  # all wrong in one of five
    values = BINARY.metrics(logits, target, "sigmoid", {})
    assert values["dice_small"].item() == pytest.approx(0.8)


def test_without_foreground_there_are_no_small_objects():
    nothing = torch.zeros(3, 4, 4, dtype=torch.int64)
    assert BINARY.metrics(torch.ones(3, 1, 4, 4), nothing, "sigmoid", {})["dice_small"].isnan()


def test_of_equal_thresholds_the_one_nearest_to_a_half_is_chosen():
    target = torch.eye(4, dtype=torch.int64)[None]
    logits = 20 * (2 * target[:, None].float() - 1)
    assert BINARY.choose(logits, target, "sigmoid") == {"threshold": 0.0}


@pytest.mark.parametrize(
    ("inverse_link", "probability"),
    [
        ("softmax", lambda z: z.softmax(dim=1)),
        ("sigmoid", lambda z: z.sigmoid()),
    ],
)
def test_several_classes(inverse_link, probability):
    target = torch.randint(3, (4, 6, 6), generator=rng())
    logits = 2 * torch.randn(4, 3, 6, 6, generator=rng(1))
    values = THREE.metrics(logits, target, inverse_link, {})
    truth = one_hot(target, 3).movedim(-1, 1).numpy() == 1
    scores = probability(logits.double()).numpy()
    expected = np.mean(
        [average_precision_score(truth[:, c].ravel(), scores[:, c].ravel()) for c in (1, 2)]
    )
    assert values["average_precision"].item() == pytest.approx(expected)
    guess = logits.argmax(dim=1).numpy()
    recall = np.mean([(guess[n] == c)[truth[n, c]].mean() for n in range(4) for c in (1, 2)])
    assert values["recall"].item() == pytest.approx(recall)
    assert THREE.choose(logits, target, inverse_link) == {}


def test_a_loss_without_probability_has_its_average_precision_too():
    target = torch.randint(3, (2, 4, 4), generator=rng())
    hot = one_hot(target, 3).movedim(-1, 1).float()
    assert THREE.metrics(hot, target, None, {})["average_precision"].item() == 1


@pytest.mark.parametrize(
    ("task", "names"), [(BINARY, {"masks", "precision_recall"}), (THREE, {"masks"})]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures(task, names, channels):
    inputs = torch.randn(5, channels, 8, 8, generator=rng())
    target = torch.randint(2, (5, 8, 8), generator=rng())
    prediction = torch.randn(5, task.outputs, 8, 8, generator=rng())
    figures = task.figures(inputs, prediction, target, torch.nn.Identity())
    assert set(figures) == names
    masks = figures["masks"]
    assert masks.given.shape == (2, 5, 8, 8)
    np.testing.assert_array_equal(masks.given[1] > 0, target > 0)
    assert masks.made.shape == (1, 5, 8, 8)
    assert 0 <= masks.made.min() <= masks.made.max() <= 1


def test_the_precision_recall_curve_and_its_point_at_one_half():
    target = torch.tensor([[[1, 1, 0, 0]]])
    logits = torch.tensor([[[[2.0, -1.0, 1.0, -2.0]]]])  # one right, one missed, one wrong
    curve = BINARY.figures(torch.zeros(1, 1, 1, 4), logits, target, None)["precision_recall"]
    precision, recall, _ = precision_recall_curve([1, 1, 0, 0], [2.0, -1.0, 1.0, -2.0])
    np.testing.assert_allclose(sorted(curve.x), sorted(recall), atol=1e-6)
    np.testing.assert_allclose(sorted(curve.y), sorted(precision), atol=1e-6)
    assert curve.mark.tolist() == [0.5, 0.5]


def test_a_picture_without_any_foreground():
    nothing = torch.zeros(3, 8, 8, dtype=torch.int64)
    figures = BINARY.figures(torch.zeros(3, 1, 8, 8), torch.zeros(3, 1, 8, 8), nothing, None)
    assert set(figures) == {"masks"}
