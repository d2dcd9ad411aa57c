"""The task of detection: what losses and metrics get, what runs reach, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torchvision.models.detection.fcos import FCOS

import losslab
from kinds_of_run import SMALL as BRIEF
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.config.expansion import complete, jobs_of
from losslab.config.jobs import compose_jobs
from losslab.data.boxes import ShapesBoxes
from losslab.losses import BCELoss, DetectionLoss, GIoULoss, MAELoss, SumLoss, TargetFormat
from losslab.metrics.detection import Detections, mean_average_precision
from losslab.runs.curves import read_curves
from losslab.runs.folder import job_name, named
from losslab.runs.record import read_record
from losslab.tasks import DetectionTask
from losslab.tasks.suppression import detections
from losslab.training import check, train

FORMAT = TargetFormat.CLASSIFIED_BOXES


def data(classes=2, kind="boxes"):
    names = ["disc", "square"][:classes]
    return SimpleNamespace(
        outputs=classes, target_kind=kind, input_shape=(1, 20, 40), class_names=names
    )


TASK = DetectionTask(data())


def at_anchors(places, logits, boxes=None):
    """A prediction of one image: its anchors as boxes, if no others are given."""
    places, logits = torch.tensor(places), torch.tensor(logits)
    return torch.cat([logits, places if boxes is None else torch.tensor(boxes), places], dim=1)[
        None
    ]


SQUARES = [[0.0, 0, 8, 8], [8.0, 0, 16, 8], [0.0, 8, 8, 16], [8.0, 8, 16, 16]]


def test_losses_get_the_class_and_the_box_of_each_place():
    prediction = at_anchors(SQUARES, [[0.0, 1]] * 4)
    target = torch.tensor([[[1.0, 8, 0, 16, 7], [-1, 0, 0, 0, 0]]])
    seen, assigned = TASK.seen_by_loss(prediction, target, FORMAT)
    assert_close(seen, prediction[..., :6])
    assert assigned[0, :, 0].tolist() == [-1, 1, -1, -1]
    assert_close(assigned[0, 1, 1:], target[0, 0, 1:])
    assert_close(assigned[0, 2, 1:], torch.tensor(SQUARES[2]))  # its own, where there is none


def test_normalized_coordinates_are_divided_by_the_longer_side():
    prediction, target = at_anchors(SQUARES, [[0.0, 1]] * 4), torch.tensor([[[1.0, 8, 0, 16, 7]]])
    pixels = TASK.seen_by_loss(prediction, target, FORMAT)
    scaled = DetectionTask(data(), normalized=True).seen_by_loss(prediction, target, FORMAT)
    for ours, theirs, corners in zip(scaled, pixels, (2, 1), strict=True):
        assert_close(ours[..., :corners], theirs[..., :corners])
        assert_close(40 * ours[..., corners:], theirs[..., corners:])


TRUE = torch.tensor([[[0.0, 0, 0, 8, 8], [1, 8, 8, 16, 16]], [[1, 0, 8, 8, 16], [-1, 0, 0, 0, 0]]])
RIGHT = torch.cat(
    [
        at_anchors(SQUARES, [[4.0, -9], [-9, -9], [-9, -9], [-9, 3]]),
        at_anchors(SQUARES, [[-9.0, -9], [-9, -9], [-9, 5], [-9, -9]]),
    ]
)
NOTHING = torch.cat([torch.full((2, 2, 1), -1.0), torch.zeros(2, 2, 4)], dim=2)


def test_all_right_has_a_map_of_1():
    values = TASK.metrics(RIGHT, TRUE, "sigmoid", {})
    assert {name: value.item() for name, value in values.items()} == {
        "map": 1.0,
        "map_50": 1.0,
        "map_75": 1.0,
    }


def test_no_detections_have_a_map_of_0():
    shifted = RIGHT.clone()
    shifted[..., 2:6] += 100
    assert all(value == 0 for value in TASK.metrics(shifted, TRUE, None, {}).values())


def test_without_objects_there_is_no_map():
    assert all(value.isnan() for value in TASK.metrics(RIGHT, NOTHING, "sigmoid", {}).values())


def test_a_wrong_class_counts_as_wrong():
    turned = RIGHT[..., [1, 0, *range(2, 10)]]
    assert TASK.metrics(turned, TRUE, "sigmoid", {})["map"] < 0.5


def test_exclusive_classes_are_ordered_by_their_softmax():
    """Of two places the first has the larger logit, but its class is less sure."""
    prediction = at_anchors(SQUARES[:2], [[3.0, 4], [2, -9]])
    one, other = (TASK.scored(prediction, one_vs_rest=each)[0][0, :, 0] for each in (True, False))
    assert one[0] > one[1]
    assert other[0] < other[1]
    sums = TASK.scored(prediction, one_vs_rest=False)[0].sum(dim=2)
    assert_close(1 - sums, 1 / (1 + prediction[..., :2].double().exp().sum(dim=2)))


def test_detections_are_those_of_torchvision():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 60, 3, generator=rng)
    low = 30 * torch.rand(2, 60, 2, generator=rng)
    anchors = torch.cat([low, low + 8], dim=2)
    network = FCOS.__new__(FCOS)
    torch.nn.Module.__init__(network)
    decoder = SimpleNamespace(decode=lambda codes, boxes: boxes)
    options = {"score_thresh": -1.0, "nms_thresh": 0.6, "detections_per_img": 100}
    vars(network).update(box_coder=decoder, topk_candidates=1000, **options)
    sure = torch.full((2, 60, 1), 40.0)  # of its centreness, which ours lacks
    outputs = {"cls_logits": logits, "bbox_regression": anchors, "bbox_ctrness": sure}
    levels = {name: [value] for name, value in outputs.items()}
    theirs = network.postprocess_detections(levels, [[each] for each in anchors], [(99, 99)] * 2)
    for found, expected in zip(detections(logits.sigmoid(), anchors), theirs, strict=True):
        assert_close(found.boxes, expected["boxes"])
        assert_close(found.scores, expected["scores"].square())
        assert torch.equal(found.labels, expected["labels"])


REFUSED = {
    "classes": (
        lambda: DetectionTask(data(kind="classes")),
        "expects boxes, got classes: add task",
    ),
    "outputs": (lambda: TASK.require_outputs(torch.zeros(3, 4)), r"\(N, P, 10\) at anchors .* got"),
    "list": (lambda: TASK.require_outputs([1]), "got list: use model=detector"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_detection_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_library_that_measures_map_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setattr("losslab.tasks.detection.is_installed", lambda module: False)
    with pytest.raises(ValueError, match=r"faster_coco_eval is not installed: pip install .*detec"):
        DetectionTask(data())


def test_figures_show_the_detections_with_their_scores():
    drawn = ShapesBoxes(n=30, objects=3)
    drawn.setup()
    task = DetectionTask(drawn)
    inputs, target = drawn.test.tensors()
    logits = [[2.0], [-9], [0], [-9]]
    prediction = at_anchors(SQUARES, logits).expand(len(inputs), -1, -1)
    shown = task.figures(inputs, prediction, target, torch.nn.Identity())["boxes"]
    assert shown.made.shape == (6, 2, 4)
    np.testing.assert_allclose(shown.made[0], [SQUARES[0], SQUARES[2]])
    np.testing.assert_allclose(shown.scores[0], torch.tensor([2.0, 0]).sigmoid())
    assert np.isnan(shown.given).any()
    assert shown.made_names is None


def test_figures_show_the_surest_class_of_a_place():
    places = [*SQUARES[:2], [0.5, 0, 8, 8]]
    prediction = at_anchors(places, [[1.0, 2], [-9.0, -9], [0.0, 3]])
    target = torch.tensor([[[0.0, 0, 0, 8, 8]]])
    given = torch.zeros(1, 1, 20, 40), prediction, target, torch.nn.Identity()
    shown = TASK.figures(*given)["boxes"]
    np.testing.assert_allclose(shown.made[0], [places[2]])
    assert (shown.given_names.tolist(), shown.made_names.tolist()) == ([["disc"]], [["square"]])


# --- runs ---------------------------------------------------------------------------------------

SMALL = ["data=boxes", "task=detection", "data.n=60", "data.image_size=16", "data.sizes=[0.3,0.6]"]
SMALL = [*SMALL, "model.channels=[8,16]", "model.hidden=16", "data.objects=2", "data.classes=2"]
SMALL = [*SMALL, "loss=detection"]
PLAIN = ["data.noise=0.05", "data.clutter=0", "data.texture=0", "data.n=200", "data.overlap=0"]
DOUBLE = ["trainer.precision=64-true", "optimizer=sgd", "optimizer.momentum=0"]


def typed(*given):
    [job] = compose_jobs(jobs_of(complete([*BRIEF, *SMALL, *given])))
    return job.config


LOSSES = {
    "default": [],
    "bce": ["loss.classification=bce"],
    "exclusive": ["loss.classification=cross_entropy", "loss.box=smooth_l1"],
    "options": ["loss.classification.gamma=1", "loss.box.weight=2", "loss.box=mae"],
    "of torch": ["loss.box._target_=torch.nn.SmoothL1Loss", "loss.classification=hinge"],
}


@pytest.mark.parametrize("given", LOSSES.values(), ids=LOSSES)
def test_training_finds_objects(tmp_path, given):
    config = typed(*given, *PLAIN, "trainer.max_epochs=10", "optimizer.lr=0.01")
    record = train(config, tmp_path)
    assert record["status"] == "done", record["error"]
    assert record["test"]["map_50"] > 0.3
    assert record["test"]["ref/detection"] > 0
    curves = set(read_curves(tmp_path)["name"])
    assert {"train/part/classification", "train/part/box", "val/map"} <= curves


def test_options_are_given_by_name():
    options = "loss.box={loss:huber,delta:0.5,weight:{first:0,last:1,epochs:2}}"
    of = typed("loss.classification=bce", "loss.classification.pos_weight=3", options).loss.of
    assert of.classification.loss._target_ == "losslab.losses.BCELoss"
    assert (of.classification.weight, of.classification.loss.pos_weight) == (1, 3)
    assert (of.box.loss.delta, of.box.weight.epochs) == (0.5, 2)
    default = typed().loss.of
    assert (default.classification.loss.gamma, default.box.weight) == (2, 1)
    assert list(default.box.loss) == ["_target_"]


def test_names_of_runs():
    given = ["loss=detection", "++loss.of.classification=bce", "++loss.of.box.weight=2"]
    assert named("loss", "detection", given) == "detection-bce"
    assert named("loss", "detection", ["++loss.of.box={loss:mae}"]) == "detection-mae"
    assert (
        named("loss", "detection", ["++loss.of.box._target_=torch.nn.L1Loss"]) == "detection-L1Loss"
    )
    assert job_name(given) == "detection-bce,loss.of.box.weight=2"
    assert job_name(["loss=detection", "++loss.of.box.loss=mae"]) == "detection-mae"
    assert job_name(["loss=detection"]) == "detection"


def test_places_of_all_accumulated_batches_divide_the_loss(tmp_path):
    given = [*DOUBLE, "optimizer.lr=0.01", "trainer.max_epochs=2", "data.empty_images=0.4"]
    weights = []
    for name, *options in (
        ("union", "data.batch_size=12"),
        ("windows", "data.batch_size=4", "trainer.accumulate_grad_batches=3"),
    ):
        assert train(typed(*given, *options), tmp_path / name)["status"] == "done"
        saved = torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        weights.append(saved["state_dict"])
    assert_close(*weights, rtol=0, atol=1e-12)


def test_a_resumed_run_has_the_same_bits(tmp_path):
    short, long = (typed(f"trainer.max_epochs={epochs}") for epochs in (1, 3))
    train(long, tmp_path / "whole")
    train(short, tmp_path / "parts")
    assert train(long, tmp_path / "parts", resume=True)["status"] == "done"
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.parametrize(
    ("loss", "given"),
    [
        (DetectionLoss({"classification": BCELoss(), "box": GIoULoss()}, {"box": 2}), SMALL[2:-1]),
        (SumLoss({"giou": GIoULoss(), "l1": MAELoss()}), [*SMALL[2:5], "model.channels=[4]"]),
    ],
    ids=["detection", "sum"],
)
def test_losses_of_losses_may_be_objects(tmp_path, loss, given):
    task = "detection" if isinstance(loss, DetectionLoss) else "localization"
    options = {"seeds": 1, "max_epochs": 1, "engine": "one by one", "options": given}
    found = losslab.compare(
        losses={"mine": loss}, data="boxes", task=task, folder=tmp_path / "runs", **options
    )
    [record] = tmp_path.rglob("record.json")
    assert read_record(record.parent)["status"] == "done"
    assert "mine" in str(found)


WRONG = {
    "a loss of values": (["loss.classification=mse"], "classification must be .* accepts values"),
    "a loss of classes": (["loss.box=focal"], "box must be one such as giou or smooth_l1, got"),
    "a typo": (["loss.classification=focall"], "unknown loss in loss.of.classification: did you m"),
    "an option": (
        ["loss.box=giou", "loss.box.beta=1"],
        "unknown key loss.of.box.beta of loss=giou",
    ),
    "balanced": (["loss.classification={loss:bce,pos_weight:balanced}"], "needs class counts"),
    "network": (["model=cnn"], r"must have shape \(N, P, 9\) .* got shape \(32, 1\): use model"),
    "data": (["data=segmentation"], "task=detection expects boxes, got masks: add task=segmenta"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(given, message):
    names = {each.partition("=")[0] for each in given}
    base = [each for each in SMALL if each.partition("=")[0] not in names]
    if names & {"data", "model"}:
        base = [each for each in base if not each.startswith(("data.", "model."))]

    def build():
        [job] = compose_jobs(jobs_of(complete([*BRIEF, *base, *given])))
        check(job.config)

    with pytest.raises(UserError, match=message):
        build()


def test_the_loss_alone_brings_its_task():
    config = compose_jobs(jobs_of(complete([*BRIEF, "loss=detection", "data.n=60"])))[0].config
    components = build_components(config)
    assert isinstance(components.module.loss, DetectionLoss)
    assert isinstance(components.task, DetectionTask)


def test_the_library_of_map_writes_nothing_to_the_log_of_a_run(caplog):
    caplog.set_level("INFO")
    found = Detections(torch.tensor([[0.0, 0, 9, 9]]), torch.ones(1), torch.tensor([0]))
    mean_average_precision([found], torch.tensor([[[0.0, 0, 0, 9, 9]]]))
    assert not caplog.records
