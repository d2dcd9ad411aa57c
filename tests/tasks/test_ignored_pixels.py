"""Pixels to ignore count for no loss, no metric and no figure, whatever is predicted there."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score

from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.data.raw import IGNORED
from losslab.losses import Loss, TargetFormat, WithoutIgnored
from losslab.runs.figure_data import Images
from losslab.runs.record import read_record
from losslab.tasks import SegmentationTask
from losslab.training import train


def task(outputs):
    return SegmentationTask(SimpleNamespace(outputs=outputs, target_kind="masks", ignores=True))


@pytest.fixture(params=[1, 3], ids=["binary", "three classes"])
def sample(request):
    """Return a task with predictions and targets in which a fifth of the pixels is ignored."""
    outputs = request.param
    rng = torch.Generator().manual_seed(0)
    prediction = torch.randn(4, outputs, 8, 8, generator=rng)
    target = torch.randint(max(2, outputs), (4, 8, 8), generator=rng)
    target[torch.rand(4, 8, 8, generator=rng) < 0.2] = IGNORED
    return task(outputs), prediction, target


def test_metrics_are_those_of_the_other_pixels(sample):
    task, prediction, target = sample
    metrics = task.metrics(prediction, target, "softmax", {})
    binary = prediction.shape[1] == 1
    kept = target != IGNORED
    dice, precision = [], []
    for label in range(1, max(2, prediction.shape[1])):
        guess = prediction[:, 0] > 0 if binary else prediction.argmax(dim=1) == label
        for image in range(4):
            counted = kept[image]
            dice.append(f1_score(target[image][counted] == label, guess[image][counted]))
        probability = prediction.sigmoid() if binary else prediction.double().softmax(dim=1)
        score = probability[:, 0 if binary else label][kept]
        precision.append(average_precision_score(target[kept] == label, score))
    assert metrics["dice"].item() == pytest.approx(np.mean(dice), abs=1e-12)
    assert metrics["average_precision"].item() == pytest.approx(np.mean(precision), abs=1e-6)


def test_predictions_at_ignored_pixels_change_nothing(sample):
    task, prediction, target = sample
    other = torch.where((target == IGNORED).unsqueeze(1), -5 * prediction + 3, prediction)
    for chosen in ({}, {"threshold": 0.3} if prediction.shape[1] == 1 else {}):
        first, second = (
            {
                **task.metrics(each, target, "softmax", chosen),
                **{f"score/{k}": v for k, v in task.scores(each, target, None, chosen).items()},
            }
            for each in (prediction, other)
        )
        for name, value in first.items():
            assert torch.equal(value, second[name]), name
    assert task.choose(prediction, target, None) == task.choose(other, target, None)


def test_the_threshold_is_not_raised_for_ignored_pixels():
    prediction = torch.tensor([7.0, 1.0, *[5.0] * 10]).view(1, 1, 3, 4)
    target = torch.tensor([1, 1, *[IGNORED] * 10]).view(1, 3, 4)
    assert task(1).choose(prediction, target, None) == {"threshold": 0.0}


def test_ignored_pixels_have_a_colour_of_their_own(sample):
    task, prediction, target = sample
    figures = task.figures(torch.zeros(4, 3, 8, 8), prediction, target, torch.nn.Identity())
    masks = figures["masks"]
    assert isinstance(masks, Images)
    assert np.array_equal(np.isnan(masks.given[1]), (target == IGNORED).numpy())


def test_one_hot_masks_mark_ignored_pixels_in_each_class():
    target = torch.tensor([[[0, IGNORED], [2, 1]]])
    masks = task(3).target(target, TargetFormat.CLASS_PROBABILITIES)
    assert (masks[0, :, 0, 1] == IGNORED).all()
    others = target != IGNORED
    assert torch.equal(masks.argmax(dim=1)[others], target[others])


# --- whole runs ---------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    rng = np.random.default_rng(0)

    def compose(loss, classes, *overrides):
        for index in range(6):
            mask = rng.integers(0, classes, (8, 8)).astype(np.uint8)
            mask[:2] = 255
            for kind, values in (("images", mask * 100), ("masks", mask)):
                (tmp_path / kind).mkdir(exist_ok=True)
                Image.fromarray(values).save(tmp_path / kind / f"{index}.png")
        given = ["data=image_masks", f"data.path={tmp_path}", "data.image_size=8", f"loss={loss}"]
        given += ["trainer=cpu", "trainer.max_epochs=1", "callbacks=quiet", "logger=none"]
        [job] = compose_jobs(jobs_of([*given, "model.channels=[4,8]", *overrides]))
        return job.config

    return compose


def test_a_run_says_what_it_ignores(config, tmp_path):
    train(config("cross_entropy", 3), tmp_path / "run")
    record = read_record(tmp_path / "run")
    assert record["status"] == "done"
    assert "pixels of value 255 ignored: 96 (first: masks/0.png)" in record["data_notes"]
    assert "ref/dice" in record["test"]


@pytest.mark.parametrize(
    ("loss", "classes"),
    [
        *(("dice", 2), ("tversky", 3), ("cross_entropy", 3), ("categorical_cross_entropy", 3)),
        *(("bce_dice", 2), ("focal_tversky", 2), ("bce", 3)),
    ],
    ids=str,
)
def test_losses_leave_out_the_pixels(config, loss, classes):
    components = build_components(config(loss, classes))
    targets = components.data.train.targets
    supervision = components.module.supervision
    logits = torch.zeros(len(targets), components.data.outputs, 8, 8, requires_grad=True)
    target = components.task.target(targets, supervision.target_format)
    supervision.loss(logits, target).backward()
    assert (logits.grad.movedim(1, -1)[targets == IGNORED] == 0).all()
    assert (logits.grad.movedim(1, -1)[targets != IGNORED] != 0).any()


class SoftDice(torch.nn.Module):
    """Dice of probabilities per image, or of the whole batch, as a library might have it."""

    def __init__(self, per_image):
        super().__init__()
        self.first = int(per_image)

    def forward(self, prediction, target):
        pixels = tuple(range(self.first, target.ndim))
        probability = prediction.sigmoid()
        overlap = (probability * target).sum(pixels)
        return (1 - 2 * overlap / (probability + target).sum(pixels)).mean()


class Own(Loss):
    """A loss of the user that has no such option."""

    accepts = (TargetFormat.BINARY_TARGETS,)


def terms_of_classes(prediction, target):
    if prediction.ndim > 2:
        raise ValueError("no images")
    return torch.nn.functional.nll_loss(prediction.log_softmax(1), target)


TORCHS = {
    "binary": (2, "torch.nn.BCEWithLogitsLoss", "losslab.losses.BCELoss"),
    "several labels": (3, "torch.nn.BCEWithLogitsLoss", "losslab.losses.BCELoss"),
    "a function": (3, f"{__name__}.terms_of_classes", "losslab.losses.CrossEntropyLoss"),
    "its own ignore_index": (3, "torch.nn.CrossEntropyLoss", "losslab.losses.CrossEntropyLoss"),
}


@pytest.mark.parametrize(("classes", "theirs", "ours"), TORCHS.values(), ids=TORCHS)
def test_losses_of_other_libraries_are_given_the_other_pixels(config, classes, theirs, ours):
    made = [
        build_components(config("bce", classes, f"loss._target_={each}")) for each in (theirs, ours)
    ]
    truth = made[0].data.train.targets
    start = torch.randn(len(truth), made[0].data.outputs, 8, 8)
    gradients = []
    for components in made:
        supervision, logits = components.module.supervision, start.clone().requires_grad_()
        supervision.from_total(*supervision.total(logits, truth)).backward()
        gradients.append(logits.grad)
    assert (gradients[0].movedim(1, -1)[truth == IGNORED] == 0).all()
    torch.testing.assert_close(*gradients)


def test_a_loss_in_an_adapter_ignores_them(config):
    adapter = "loss._target_=losslab.losses.WithOneHotTargets"
    inner = "++loss.loss._target_=losslab.losses.CategoricalCrossEntropyLoss"
    loss = build_components(config("bce", 3, adapter, inner)).module.loss
    assert loss.loss.ignore_index == IGNORED


def test_a_batch_of_ignored_pixels_is_0():
    logits = torch.ones(2, 3, 4, 4, requires_grad=True)
    loss = WithoutIgnored(torch.nn.MultiMarginLoss())
    loss(logits, torch.full((2, 4, 4), IGNORED)).backward()
    assert not logits.grad.any()


@pytest.mark.parametrize("per_image", [True, False])
def test_a_loss_of_regions_without_the_option_is_refused(config, per_image):
    foreign = f"loss._target_={__name__}.SoftDice", f"++loss.per_image={per_image}"
    with pytest.raises(UserError, match=r"nor terms of single targets.*Losses that fit: .*dice"):
        build_components(config("bce", 2, *foreign))


def test_a_loss_that_cannot_ignore_is_refused(config):
    ours = f"loss._target_={__name__}.Own"
    with pytest.raises(UserError, match=r"Own has no ignore_index.*data.ignore=null"):
        build_components(config("bce", 2, ours))
    with pytest.raises(UserError, match=r"loss.ignore_index=7 must not be set"):
        build_components(config("dice", 2, "loss.ignore_index=7"))
