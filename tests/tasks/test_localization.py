"""The task of localization: boxes from outputs, targets in each format, metrics, figures."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torchvision import ops

from kinds_of_run import config_of
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.data.batches import Split
from losslab.data.boxes import ShapesBoxes
from losslab.losses import TargetFormat
from losslab.tasks import LocalizationTask
from losslab.training import train

VALUES, BOXES = TargetFormat.VALUES, TargetFormat.BOXES
WIDTH, HEIGHT = 40, 20


def data(targets=None, kind="boxes"):
    targets = torch.tensor([[[0.0, 1, 2, 3, 4]]]) if targets is None else targets
    split = Split(torch.zeros(len(targets), 1, HEIGHT, WIDTH), targets)
    shape = (1, HEIGHT, WIDTH)
    return SimpleNamespace(
        outputs=1, target_kind=kind, input_shape=shape, train=split, val=split, test=split
    )


def outputs_for(corners):
    """The outputs of a network that predicts these boxes."""
    low, high = corners.double().chunk(2, dim=1)
    size = torch.tensor([WIDTH, HEIGHT])
    return torch.cat([(low + high) / 2 / size, (high - low) / size], dim=1).logit()


def random_boxes(n, seed):
    rng = torch.Generator().manual_seed(seed)
    low, high = torch.rand(2, n, 2, generator=rng, dtype=torch.float64).sort(dim=0).values
    edge = torch.tensor([WIDTH, HEIGHT])
    return torch.cat([low * edge, high * edge], dim=1)


def targets_of(corners):
    return torch.cat([torch.zeros(len(corners), 1), corners], dim=1).unsqueeze(1)


TASK = LocalizationTask(data())


def test_any_outputs_are_a_valid_box():
    outputs = 5 * torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    boxes = TASK.boxes(outputs)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert_close(TASK.boxes(torch.zeros(1, 4)), torch.tensor([[10.0, 5, 30, 15]]))


def test_boxes_of_half_precision_are_as_fine_as_others():
    outputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert_close(TASK.boxes(outputs), TASK.boxes(outputs.float()), rtol=0, atol=0)


def test_targets_and_predictions_have_the_same_format():
    corners = torch.tensor([[4.0, 6, 12, 18]])
    formats = {
        ("xyxy", False): [4, 6, 12, 18],
        ("xyxy", True): [0.1, 0.15, 0.3, 0.45],  # by the longer side
        ("cxcywh", False): [8, 12, 8, 12],
        ("cxcywh", True): [0.2, 0.3, 0.2, 0.3],
    }
    for (box_format, normalized), expected in formats.items():
        task = LocalizationTask(data(), box_format, normalized)
        given = outputs_for(corners), targets_of(corners)
        boxes, true = task.seen_by_loss(*given, VALUES)
        assert_close(true, torch.tensor([expected], dtype=torch.float32))
        assert_close(boxes, true.double())
        boxes, true = task.seen_by_loss(*given, BOXES)
        assert_close(true, corners / (WIDTH if normalized else 1))
        assert_close(boxes, true.double())


def test_metrics():
    boxes, true = random_boxes(300, 0), random_boxes(300, 1)
    true[:150] = boxes[:150] + 0.1 * (true[:150] - boxes[:150])  # close ones
    values = TASK.metrics(outputs_for(boxes), targets_of(true), None, {})
    iou = ops.box_iou(boxes, true).diagonal()
    assert_close(values["iou"], iou.mean())
    assert values["accuracy_at_50"].item() == (iou >= 0.5).double().mean() > 0.2
    assert values["accuracy_at_75"].item() == (iou >= 0.75).double().mean() > 0.1
    centres = [(each[:, :2] + each[:, 2:]).numpy() / 2 for each in (boxes, true)]
    expected = np.linalg.norm(centres[0] - centres[1], axis=1).mean()
    assert values["centre_error"].item() == pytest.approx(expected)


def test_metrics_do_not_depend_on_the_options():
    given = outputs_for(random_boxes(20, 0)), targets_of(random_boxes(20, 1)), None, {}
    other = LocalizationTask(data(), "cxcywh", normalized=True)
    assert_close(other.metrics(*given), TASK.metrics(*given), rtol=0, atol=0)


def test_padding_is_not_a_box():
    row = torch.tensor([[[-1.0, 0, 0, 0, 0], [0, 1, 2, 3, 4]]])
    assert_close(LocalizationTask(data(row)).target(row, BOXES), torch.tensor([[1.0, 2, 3, 4]]))


REFUSED = {
    "classes": (
        lambda: data(kind="classes"),
        "expects boxes, got classes: add task=classification",
    ),
    "two boxes": (lambda: data(torch.ones(3, 2, 5)), "one box per image, got 2 to 2 in train"),
    "no box": (lambda: data(-torch.ones(3, 1, 5)), "one box per image, got 0 to 0 in train"),
}


@pytest.mark.parametrize(("made", "message"), REFUSED.values(), ids=REFUSED)
def test_other_data_are_refused(made, message):
    with pytest.raises(ValueError, match=message):
        LocalizationTask(made())


def test_figures():
    drawn = ShapesBoxes(n=30)
    drawn.setup()
    task = LocalizationTask(drawn)
    inputs, target = drawn.test.tensors()
    outputs = torch.randn(len(inputs), 4, generator=torch.Generator().manual_seed(0))
    shown = task.figures(inputs, outputs, target, torch.nn.Identity())["boxes"]
    assert shown.images.shape == (6, 32, 32)
    np.testing.assert_array_equal(shown.given, target[..., 1:])
    np.testing.assert_allclose(shown.made[:, 0], task.boxes(outputs))


# --- runs ---------------------------------------------------------------------------------------

SMALL = ["data=boxes", "data.n=60", "data.image_size=16", "data.sizes=[0.3,0.6]"]
SMALL = [*SMALL, "model.channels=[4,8]", "model.hidden=16"]


@pytest.mark.parametrize(
    "loss", ["smooth_l1", "mse", "mae", "huber", "iou", "giou", "diou", "ciou"]
)
def test_training_improves_the_overlap(tmp_path, loss):
    given = [*SMALL, f"loss={loss}", "data.noise=0.05", "data.clutter=0", "data.texture=0"]
    config = config_of(*given, "trainer.max_epochs=12", "data.n=150", "optimizer.lr=0.003")
    components = build_components(config)
    outputs = components.network(components.data.test.inputs).detach()
    target = components.data.test.targets
    before = components.task.metrics(outputs, target, None, {})["iou"].item()
    after = train(config, tmp_path / "run")["test"]["iou"]
    assert after > before + 0.1


SUM = ["loss=sum", "++loss.of.mae=5", "++loss.of.giou=2", "task.definition.normalized=true"]
FORMATS = {
    "values": (["loss=mae"], VALUES),
    "boxes": (["loss=giou"], BOXES),
    "a sum of both": (SUM, BOXES),
    "a sum of values": (["loss=sum", "++loss.of.mae=1", "++loss.of.mse=1"], VALUES),
    "of torchvision": (
        [
            "loss=giou",
            "loss._target_=torchvision.ops.distance_box_iou_loss",
            "+loss.reduction=mean",
        ],
        BOXES,
    ),
}


@pytest.mark.parametrize(("given", "expected"), FORMATS.values(), ids=FORMATS)
def test_losses_of_values_and_of_boxes(given, expected):
    components = build_components(config_of(*SMALL, *given))
    assert components.module.supervision.target_format is expected


def test_box_format_and_unit_change_losses_of_values_only():
    outputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    found = {}
    for options in ([], ["task.definition.box_format=cxcywh"], ["task.definition.normalized=true"]):
        for loss in ("mae", "giou"):
            components = build_components(config_of(*SMALL, f"loss={loss}", *options))
            target = components.data.train.targets[:6]
            value = components.module.supervision.evaluate(outputs, target, {})["loss"]
            found.setdefault(loss, []).append(value.item())
    assert len(set(found["mae"])) == 3
    assert found["mae"][2] == pytest.approx(found["mae"][0] / 16)
    assert found["giou"] == pytest.approx([found["giou"][0]] * 3)


def write_coco(folder):
    """Write images of a bright object, its box, and a small box in a corner."""
    images, boxes, rng = [], [], np.random.default_rng(0)
    for number in range(150):
        x, y = rng.integers(0, 20, 2).tolist()
        pixels = rng.integers(0, 60, (32, 32), dtype=np.uint8)
        pixels[y : y + 12, x : x + 12] += 150
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png"})
        for corners in ([x, y, 12, 12], [30, 30, 2, 2]):
            boxes.append({"image_id": number, "category_id": 1, "bbox": corners})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "block"}]}
    (folder / "result.json").write_text(json.dumps(content))


def test_the_largest_boxes_of_files_are_localized(tmp_path):
    write_coco(tmp_path)
    files = ["data=coco", f"data.path={tmp_path}", "data.image_size=16", "data.grayscale=true"]
    files = [*files, "task=localization"]
    config = config_of(
        *files, *SMALL[4:], "loss=giou", "trainer.max_epochs=15", "optimizer.lr=0.01"
    )
    record = train(config, tmp_path / "run")
    assert record["test"]["iou"] > 0.5
    assert any("beside the largest" in note for note in record["data_notes"])
    with pytest.raises(
        UserError, match=r"got 2 to 2 in train.*data.keep_boxes=largest if they are"
    ):
        build_components(config_of(*files, "loss=giou", "data.keep_boxes=all"))


WRONG = {
    "loss": (["loss=dice"], "loss=dice accepts binary targets or .*Losses that fit: .*giou"),
    "data": (["data=segmentation"], "task=localization expects boxes, got masks: add task=segm"),
    "objects": (
        ["data.objects=2"],
        "expects one box per image, got 1 to 2 in train: set data.objects=1",
    ),
    "format": (["task.definition.box_format=xywh"], "box_format must be xyxy or cxcywh, got xywh"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(given, message):
    base = ["data=boxes", "data.n=60", "task=localization", "loss=giou"]
    names = {each.partition("=")[0] for each in given}
    base = [each for each in base if each.partition("=")[0] not in names]
    with pytest.raises(UserError, match=message):
        build_components(config_of(*base, *given))


def test_boxes_need_their_task():
    with pytest.raises(UserError, match="task=regression expects values, got boxes: add task=loc"):
        build_components(config_of("data=boxes", "data.n=60", "task=regression", "loss=mse"))
