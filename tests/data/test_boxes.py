"""Images with boxes: drawn ones, their corruptions, and boxes that are none."""

import pytest
import torch
from torch.testing import assert_close
from torchvision import ops

from losslab.data import InMemoryData, Raw, corruption
from losslab.data.boxes import ShapesBoxes, enclosing_boxes


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def whole(data):
    splits = (data.train, data.val, data.test)
    return tuple(torch.cat([split[i] for split in splits]) for i in (0, 1))


CLEAN = {"noise": 0.0, "texture": 0.0, "clutter": 0.0}


# --- drawn images -------------------------------------------------------------------------------


def test_boxes_are_those_of_torchvision():
    masks = torch.rand(50, 9, 12, generator=torch.Generator().manual_seed(0)) < 0.04
    masks[0] = False
    full = masks.flatten(1).any(dim=1)
    expected = ops.masks_to_boxes(masks[full]) + torch.tensor([0.0, 0, 1, 1])  # theirs are pixels
    assert_close(enclosing_boxes(masks)[full], expected)
    assert not enclosing_boxes(masks)[~full].any()


def test_a_box_encloses_what_was_drawn():
    images, targets = whole(ready(ShapesBoxes(n=100, **CLEAN)))
    assert targets.shape == (100, 1, 5)
    assert_close(targets[:, 0, 1:], enclosing_boxes(images[:, 0] > 0))


def test_sizes_are_as_asked():
    options = {"sizes": [0.3, 0.3], "stretch": 1.0, "image_size": 64}
    _, targets = whole(ready(ShapesBoxes(n=100, **options, **CLEAN)))
    sides = targets[:, 0, 3:] - targets[:, 0, 1:3]
    whole_discs = (targets[:, 0, 1:] % 64 > 0).all(dim=1)  # not cut off by the border
    assert (sides[whole_discs] - 0.3 * 64).abs().max() <= 1  # pixels
    _, stretched = whole(ready(ShapesBoxes(n=100, **options | {"stretch": 3.0}, **CLEAN)))
    sides = stretched[:, 0, 3:] - stretched[:, 0, 1:3]
    assert sides.max() > 1.3 * 0.3 * 64
    assert (sides[:, 0] / sides[:, 1]).log().abs().max() > 0.7


def test_several_objects_of_several_classes():
    data = ready(ShapesBoxes(n=200, objects=4, classes=3, overlap=1.0))
    assert (data.outputs, data.class_names) == (3, ["disc", "square", "triangle"])
    labels = data.train.targets[..., 0]
    real = labels >= 0
    assert set(real.sum(dim=1).tolist()) == {1, 2, 3, 4}
    assert_close(data.class_counts, torch.bincount(labels[real].long()))
    assert data.describe().count("boxes in training: ") == 1
    assert f"{int(real.sum())}, 1 to 4 per image" in data.describe()
    assert not data.train.targets[~real][:, 1:].any()


@pytest.mark.parametrize("overlap", [0.0, 0.2])
def test_objects_overlap_by_no_more_than_is_allowed(overlap):
    _, targets = whole(ready(ShapesBoxes(n=100, objects=5, overlap=overlap)))
    largest = 0.0
    for boxes in targets:
        real = boxes[boxes[:, 0] >= 0, 1:]
        largest = max(largest, ops.box_iou(real, real).fill_diagonal_(0).max().item())
    assert largest <= overlap + 1e-6
    assert largest >= overlap / 2


def test_more_objects_are_added_to_the_same_ones():
    few, many = (whole(ready(ShapesBoxes(n=50, objects=k, overlap=1.0)))[1] for k in (2, 4))
    both = (few[:, 1, 0] >= 0) & (many[:, 1, 0] >= 0)
    assert both.any()
    assert torch.equal(few[both], many[both][:, :2])


@pytest.mark.parametrize("clutter", [0.05, 0.3])
def test_clutter_covers_its_share_and_has_no_box(clutter):
    without, with_clutter = (
        whole(ready(ShapesBoxes(n=1000, empty_images=0.8, **CLEAN | {"clutter": share})))
        for share in (0, clutter)
    )
    assert torch.equal(without[1], with_clutter[1])
    empty = without[1][:, 0, 0] < 0
    covered = (with_clutter[0] > 0)[empty].double().mean().item()
    assert covered == pytest.approx(clutter, rel=0.08)  # 3 standard errors


def test_empty_images():
    data = ready(ShapesBoxes(n=600, empty_images=0.3))
    empty = whole(data)[1][:, 0, 0] < 0
    assert empty.double().mean().item() == pytest.approx(0.3, abs=0.06)  # 3 standard errors


def test_a_seed_draws_the_same_images():
    one, again, other = (ready(ShapesBoxes(n=50, seed=seed)).fingerprint() for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 5}, "classes must be one of 1, 2, 3, 4, got 5"),
        ({"objects": 0}, "objects must be a whole number >= 1, got 0"),
        ({"sizes": [0.5]}, r"sizes must be the smallest and the largest one, got \[0.5\]"),
        ({"sizes": [0.5, 0.2]}, r"sizes must not decrease, got \[0.5, 0.2\]"),
        ({"sizes": [0.01, 0.2]}, "sizes must be a number and >= 0.1 and <= 0.6, got 0.01"),
        ({"stretch": 0.5}, "stretch must be a number and >= 1 and <= 4, got 0.5"),
        ({"clutter": 0.8}, "clutter must be a number and >= 0 and <= 0.5, got 0.8"),
        ({"edge_noise": -0.1}, "edge_noise must be a number and >= 0, got -0.1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        ShapesBoxes(image_size=40, **options)


# --- corruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("corrupt_val", [False, True])
def test_outliers_are_random_boxes_of_training(corrupt_val):
    clean = ready(ShapesBoxes(n=200))
    noisy = ready(ShapesBoxes(n=200, outliers=0.25, corrupt_val=corrupt_val))
    changed = [
        (a.targets != b.targets).any(dim=2).sum().item()
        for a, b in zip(
            (clean.train, clean.val, clean.test),
            (noisy.train, noisy.val, noisy.test),
            strict=True,
        )
    ]
    assert changed == [30, 10 if corrupt_val else 0, 0]
    assert torch.equal(clean.train.inputs, noisy.train.inputs)


def test_random_boxes_are_anywhere_in_the_image():
    boxes = torch.tensor([0.0, 5, 5, 6, 6]).repeat(4000, 1, 1)
    boxes[:1000, 0, 0] = -1
    random = corruption.random_boxes(boxes, 1.0, (20, 40), torch.Generator().manual_seed(0))
    assert torch.equal(random[:1000], boxes[:1000])
    corners = random[1000:, 0, 1:]
    assert (corners >= 0).all()
    assert (corners <= torch.tensor([40, 20, 40, 20])).all()
    assert ((corners[:, 2:] - corners[:, :2]) >= 1 - 1e-5).all()
    # two uniform points are a third of the side apart
    mean = (corners[:, 2:] - corners[:, :2]).mean(dim=0) / torch.tensor([40, 20])
    assert_close(mean, torch.full((2,), 1 / 3), atol=0.02, rtol=0)


def test_a_larger_share_of_outliers_contains_the_smaller_one():
    few, many = (ready(ShapesBoxes(n=100, outliers=share)).train.targets for share in (0.1, 0.3))
    clean = ready(ShapesBoxes(n=100)).train.targets
    changed = (few != clean).any(dim=2)
    assert torch.equal(few[changed], many[changed])


def test_edge_noise_is_relative_to_the_box():
    boxes = torch.tensor([0.0, 100, 150, 140, 230]).repeat(5000, 1, 1)
    noisy = corruption.edge_noise(boxes, 0.1, (400, 400), torch.Generator().manual_seed(0))
    error = (noisy - boxes)[:, 0, 1:]
    # 4 standard errors
    assert_close(error.std(dim=0), torch.tensor([4.0, 8, 4, 8]), rtol=0.04, atol=0)
    assert (error.mean(dim=0).abs() < 4 * torch.tensor([4.0, 8, 4, 8]) / 5000**0.5).all()


def test_edges_stay_in_the_image_and_in_order():
    boxes = torch.tensor([0.0, 0, 10, 3, 12]).repeat(1000, 1, 1)
    noisy = corruption.edge_noise(boxes, 3.0, (12, 12), torch.Generator().manual_seed(0))[:, 0, 1:]
    assert noisy.min() >= 0
    assert noisy.max() <= 12
    assert (noisy[:, 2:] - noisy[:, :2] >= 1 - 1e-5).all()


@pytest.mark.parametrize("option", [{"label_noise": 0.1}, {"imbalance": 0.5}])
def test_corruptions_of_other_targets_are_refused(option):
    with pytest.raises(ValueError, match=r"needs targets that are .*got boxes"):
        ready(ShapesBoxes(n=20, **option))


# --- boxes of your own --------------------------------------------------------------------------


class Given(InMemoryData):
    def __init__(self, targets, inputs=None, **options):
        super().__init__(**options)
        self.given = torch.zeros(len(targets), 1, 8, 8) if inputs is None else inputs, targets

    def load(self):
        return Raw(*self.given, target_kind="boxes")


def test_one_box_per_image_may_be_four_numbers():
    data = ready(Given(torch.tensor([1.0, 2, 3, 4]).repeat(10, 1)))
    assert torch.equal(data.train.targets, torch.tensor([0.0, 1, 2, 3, 4]).repeat(6, 1, 1))
    assert data.outputs == 1
    assert "boxes in training: 6, 1 per image, sides of 2 to 2 pixels" in data.describe()


BROKEN = {
    "no width": ([0.0, 3, 2, 3, 4], r"got \(0, 3, 2, 3, 4\) in sample 7"),
    "swapped": ([0.0, 3, 4, 5, 2], r"x1 < x2, y1 < y2 .*in sample 7"),
    "class": ([0.5, 1, 2, 3, 4], r"classes in \[0, 1\), or -1 for padding, got \(0.5, 1"),
    "padding": ([-2.0, 1, 2, 3, 4], r"-1 for padding, got \(-2, 1"),
    "not finite": ([0.0, 1, 2, float("nan"), 4], "targets must be finite numbers.* in sample 7"),
}


@pytest.mark.parametrize(("row", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_boxes_are_refused(row, message):
    targets = torch.tensor([0.0, 1, 2, 3, 4]).repeat(10, 1, 1)
    targets[7] = torch.tensor(row)
    with pytest.raises(ValueError, match=message):
        ready(Given(targets))


def test_boxes_of_what_is_no_image_are_refused():
    with pytest.raises(ValueError, match=r"boxes of images, \(n, M, 5\), got inputs of shape"):
        ready(Given(torch.rand(10, 1, 5), inputs=torch.zeros(10, 3)))


def test_augmentation_would_not_move_the_boxes():
    with pytest.raises(ValueError, match="augment does not move boxes"):
        ready(Given(torch.tensor([1.0, 2, 3, 4]).repeat(10, 1), augment=[torch.flip]))
