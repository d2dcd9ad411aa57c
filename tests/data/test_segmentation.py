"""Images with masks: drawn ones, and files of one's own, whole and broken."""

import numpy as np
import pytest
import torch
from PIL import Image

from losslab.data.image_masks import ImageMasks
from losslab.data.segmentation import ShapesSegmentation
from losslab.data.shapes import DISTRACTORS, FOREGROUND, coordinates


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def whole(data):
    splits = (data.train, data.val, data.test)
    return tuple(torch.cat([split[i] for split in splits]) for i in (0, 1))


# --- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FOREGROUND, *DISTRACTORS])
@pytest.mark.parametrize("angle", [0.2, 0.7])  # along the grid whole rows of pixels count
def test_each_shape_has_the_area_of_its_disc(name, angle):
    shape = (FOREGROUND | DISTRACTORS)[name]
    centre = torch.full((2, 1), 200.0)
    x, y = coordinates(400, centre, torch.tensor([angle]), torch.tensor([80.0]))
    assert shape(x, y).sum().item() == pytest.approx(np.pi * 80**2, rel=0.01)


@pytest.mark.parametrize("foreground", [0.005, 0.01, 0.05])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_share_of_foreground_is_as_asked(foreground, classes):
    _, masks = whole(ready(ShapesSegmentation(foreground=foreground, classes=classes)))
    assert (masks > 0).double().mean().item() == pytest.approx(foreground, rel=0.05)
    assert (masks > 0).flatten(1).any(1).all()


def test_binary_and_several_classes():
    binary = ready(ShapesSegmentation())
    assert (binary.outputs, binary.input_shape) == (1, (1, 40, 40))
    assert binary.class_names == ["background", "disc"]
    several = ready(ShapesSegmentation(classes=4))
    assert several.outputs == 4
    assert several.train.targets.dtype == torch.int64
    assert several.train.targets.unique().tolist() == [0, 1, 2, 3]
    counts = torch.bincount(several.train.targets.flatten())
    assert torch.equal(several.class_counts, counts)
    assert (counts[1:] / counts[1:].sum() - 1 / 3).abs().max() < 0.1
    assert "background 9" in several.describe()


def test_foreground_is_brighter_than_the_background():
    images, masks = whole(ready(ShapesSegmentation(distractors=0, texture=0.2, noise=0.1)))
    bright, dark = images[:, 0][masks > 0], images[:, 0][masks == 0]
    assert bright.mean().item() == pytest.approx(1.0, abs=0.05)
    assert dark.mean().item() == pytest.approx(0.0, abs=0.02)
    assert dark.std().item() == pytest.approx(np.hypot(0.2, 0.1), rel=0.05)


def test_empty_images_have_no_foreground_and_the_others_more():
    _, masks = whole(ready(ShapesSegmentation(n=600, empty_images=0.3, foreground=0.02)))
    empty = ~(masks > 0).flatten(1).any(1)
    assert empty.double().mean().item() == pytest.approx(0.3, abs=0.06)  # 3 standard errors
    assert (masks > 0).double().mean().item() == pytest.approx(0.02, rel=0.15)


def test_other_options_leave_texture_and_noise_as_they_were():
    one, other = (
        ready(ShapesSegmentation(distractors=d, foreground=f)) for d, f in ((0, 0.01), (3, 0.05))
    )
    same = one.train.inputs == other.train.inputs
    assert same.double().mean() > 0.8


def test_distractors_are_in_no_mask():
    few, many = (whole(ready(ShapesSegmentation(distractors=d))) for d in (0, 6))
    assert torch.equal(few[1], many[1])
    assert not torch.equal(few[0], many[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes must be one of 2, 3, 4, 5, got 1"),
        ({"foreground": 0.001}, "foreground must be a number and >= 0.005 and <= 0.2"),
        ({"foreground": 0.5}, "foreground must be a number and >= 0.005 and <= 0.2, got 0.5"),
        ({"image_size": 8}, "image_size must be a whole number >= 16, got 8"),
        ({"empty_images": 1.0}, "empty_images must be a number and >= 0 and <= 0.9, got 1.0"),
        ({"distractors": -1}, "distractors must be a whole number >= 0, got -1"),
        ({"noise": -1.0}, "noise must be a number and >= 0, got -1.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        ShapesSegmentation(**options)


@pytest.mark.parametrize("option", [{"label_noise": 0.1}, {"imbalance": 0.5}, {"outliers": 0.1}])
def test_corruptions_of_other_targets_are_refused(option):
    with pytest.raises(
        ValueError, match=f"{next(iter(option))} needs targets that are .*got masks"
    ):
        ready(ShapesSegmentation(**option))


# --- files --------------------------------------------------------------------------------------


def save(folder, name, values):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(folder / name)


def square(value, size=16):
    """A mask with the value in its upper left quarter."""
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[: size // 2, : size // 2] = value
    return mask


@pytest.fixture
def folder(tmp_path):
    """Ten pairs: where the mask is 255, the image is red."""
    for index in range(10):
        mask = square(255)
        picture = np.zeros((16, 16, 3), dtype=np.uint8)
        picture[..., 0] = mask
        save(tmp_path / "images", f"{index}.png", picture)
        save(tmp_path / "masks", f"{index}.png", mask)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path


def test_pairs_by_stem(folder):
    data = ready(ImageMasks(str(folder), image_size=8, standardize=False))
    assert (data.input_shape, data.outputs) == ((3, 8, 8), 1)
    assert data.class_names == ["background", "255"]
    assert [s.size for s in (data.train, data.val, data.test)] == [6, 2, 2]
    images, masks = whole(data)
    assert torch.equal(masks[0], torch.from_numpy(square(1, 8)).long())
    inner = torch.zeros(8, 8, dtype=torch.bool)
    inner[:3, :3] = True  # scaling mixes the pixels at the edge
    assert (images[:, 0][:, inner] == 1).all()
    assert (images[:, 1:] == 0).all()


def test_masks_of_several_values(folder):
    save(folder / "masks", "3.png", square(7))
    data = ready(ImageMasks(str(folder), image_size=16, grayscale=True))
    assert (data.input_shape, data.outputs) == ((1, 16, 16), 3)
    assert data.class_names == ["background", "7", "255"]
    assert whole(data)[1].unique().tolist() == [0, 1, 2]


def test_masks_with_a_palette_hold_its_indices(folder):
    for index in range(10):
        mask = Image.fromarray(square(2), mode="P")
        mask.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
        mask.save(folder / "masks" / f"{index}.png")
    assert ready(ImageMasks(str(folder), image_size=16)).class_names == ["background", "2"]


def test_splits_of_ones_own(tmp_path):
    for part, count in (("train", 6), ("test", 3)):
        for index in range(count):
            save(tmp_path / part / "images", f"{index}.png", square(100))
            save(tmp_path / part / "masks", f"{index}.png", square(1))
    data = ready(ImageMasks(str(tmp_path), image_size=16))
    assert [s.size for s in (data.train, data.val, data.test)] == [5, 1, 3]


def _colour(folder):
    save(folder / "masks", "4.png", np.zeros((16, 16, 3), dtype=np.uint8))


def _smaller(folder):
    save(folder / "masks", "4.png", square(255, size=8))


def _photograph(folder):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    save(folder / "masks", "4.png", noise)


def _all_empty(folder):
    for index in range(10):
        save(folder / "masks", f"{index}.png", square(0))


DAMAGES = {
    "no mask": (lambda f: (f / "masks" / "4.png").unlink(), r"4\.png must have a mask 4\.\* in"),
    "no image": (lambda f: (f / "images" / "4.png").unlink(), r"must have an image 4\.\* in"),
    "no folder": (lambda f: (f / "masks").rename(f / "labels"), "found no images in .*masks"),
    "twice": (
        lambda f: save(f / "images", "4.bmp", square(1)),
        r"must hold one file per name, got .*4\.bmp and .*4\.png",
    ),
    "broken": (
        lambda f: (f / "masks" / "4.png").write_bytes(b"text"),
        r"masks.4\.png must be a readable image",
    ),
    "colour": (_colour, r"4\.png must have one channel, got 3"),
    "smaller": (_smaller, r"4\.png must have the size of its image, 16 x 16 pixels, got 8 x 8"),
    "photograph": (_photograph, "must hold 2 to 64 different values, one per class, got 1"),
    "all empty": (_all_empty, "must hold 2 to 64 different values, one per class, got 1"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_broken_folders_are_refused_in_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        ready(ImageMasks(str(folder), image_size=16))
    assert "\n" not in str(caught.value)
