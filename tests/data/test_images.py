"""Images of every depth, colour and kind, small and real: what a network sees, and what is said."""

import numpy as np
import pytest
import torch
from PIL import Image

from losslab.data.files import Changes
from losslab.data.image_folder import ImageFolder
from losslab.data.image_masks import ImageMasks
from losslab.data.images import read_images
from losslab.data.raw import IGNORED

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)


def read(*files, side=8, grayscale=True):
    changes = Changes()
    images, _ = read_images(files, side, grayscale=grayscale, changes=changes)
    return images, [note.split(": ")[0] for note in changes.notes()]


def save(path, values, **options):
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


# --- depth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
@pytest.mark.parametrize("grayscale", [True, False])
def test_16_bits_are_divided_by_65535(tmp_path, name, grayscale):
    values = RNG.integers(0, 65536, (8, 8)).astype(np.uint16)
    images, notes = read(save(tmp_path / name, values), grayscale=grayscale)
    expected = torch.from_numpy(values.astype(np.float64) / 65535).float()
    assert torch.allclose(images, expected.expand(1, 1 if grayscale else 3, 8, 8), atol=1e-7)
    assert notes == ["16-bit images scaled from 0-65535 to 0-1"]


def test_big_endian_16_bits(tmp_path):
    values = RNG.integers(0, 65536, (8, 8)).astype(">u2")
    images, _ = read(save(tmp_path / "a.tif", values))
    assert images[0, 0].numpy() == pytest.approx(values / 65535, abs=1e-7)


def test_resized_16_bits_have_the_mean_of_8(tmp_path):
    ramp = np.linspace(0, 255, 64).reshape(8, 8).round().astype(np.uint8)
    shallow, _ = read(save(tmp_path / "a.png", ramp), side=4)
    deep, _ = read(save(tmp_path / "b.png", ramp.astype(np.uint16) * 257), side=4)
    assert deep.numpy() == pytest.approx(shallow.numpy(), abs=1 / 255)


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int16])
def test_32_bits_are_scaled_from_the_range_of_all(tmp_path, kind):
    values = [RNG.integers(-1000, 3000, (8, 8)).astype(kind) for _ in range(2)]
    images, notes = read(*(save(tmp_path / f"{i}.tif", each) for i, each in enumerate(values)))
    both = np.stack(values).astype(np.float64)
    expected = (both - both.min()) / (both.max() - both.min())
    assert images[:, 0].numpy() == pytest.approx(expected, abs=1e-6)
    assert notes == [f"32-bit images scaled from {both.min():g}-{both.max():g} to 0-1"]


def test_floats_from_0_to_1_stay_beside_other_images(tmp_path):
    values = RNG.uniform(0.2, 0.6, (8, 8)).astype(np.float32)
    images, notes = read(save(tmp_path / "a.tif", values), save(tmp_path / "b.png", BYTES))
    assert torch.equal(images[0, 0], torch.from_numpy(values))
    assert notes == ["32-bit images read as values from 0 to 1"]


def test_colours_of_16_bits_are_reduced(tmp_path):
    # Pillow writes no such file: a PPM with two bytes per channel
    values = RNG.integers(0, 65536, (8, 8, 3)).astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 8 8 65535\n" + values.tobytes())
    images, _ = read(tmp_path / "a.ppm", grayscale=False)
    assert images[0].movedim(0, -1).numpy() == pytest.approx(values / 65535, abs=1 / 255)


@pytest.mark.parametrize(
    ("values", "beside", "message"),
    [
        (np.full((8, 8), 7.0, np.float32), BYTES, "a.tif must have 8 or 16 bits.* from 7 to 7"),
        (np.full((8, 8), np.nan, np.float32), None, "a.tif must be .* nan in row 1, column 1"),
    ],
    ids=["unknown scale", "NaN"],
)
def test_numbers_that_cannot_be_read_right(tmp_path, values, beside, message):
    files = [save(tmp_path / "a.tif", values)]
    files += [] if beside is None else [save(tmp_path / "b.png", beside)]
    with pytest.raises(ValueError, match=message):
        read(*files)


# --- colours ------------------------------------------------------------------------------------


def test_palette(tmp_path):
    image = Image.fromarray(BYTES % 4).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    images, notes = read(save(tmp_path / "a.png", image), grayscale=False)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])
    assert images[0].movedim(0, -1).numpy() == pytest.approx(colours[BYTES % 4] / 255)
    assert notes == ["palettes converted to colours"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_clear_pixels_are_white_whatever_they_hide(tmp_path, mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    images, notes = read(save(tmp_path / "a.png", image.convert(mode)))
    assert images.sum() == 63
    assert images[0, 0, 0, 0] == 0
    assert "transparent images laid on white" in notes


def test_half_transparent_pixels_are_blended(tmp_path):
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 51))
    images, _ = read(save(tmp_path / "a.png", image), grayscale=False)
    assert images[0, :, 0, 0].tolist() == pytest.approx([1, 0.8, 0.8], abs=1 / 255)


def test_opaque_images_with_alpha_do_not_change(tmp_path):
    image = Image.fromarray(COLOURS)
    plain, _ = read(save(tmp_path / "a.png", image), grayscale=False)
    with_alpha, notes = read(save(tmp_path / "b.png", image.convert("RGBA")), grayscale=False)
    assert torch.equal(plain, with_alpha)
    assert notes == []


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    images, notes = read(save(tmp_path / "a.tif", image), grayscale=False)
    assert images[0, :, 0, 0].tolist() == [1, 0, 0]
    assert notes == ["images converted from CMYK to RGB"]


def test_a_mode_without_conversion_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.tif must be .*conversion from LAB"):
        read(save(tmp_path / "a.tif", Image.new("LAB", (8, 8))))


# --- EXIF, frames, damage -----------------------------------------------------------------------


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, orientation, turns):
    exif = Image.Exif()
    exif[274] = orientation
    images, notes = read(save(tmp_path / "a.png", BYTES, exif=exif))
    assert torch.equal(images[0, 0], torch.from_numpy(np.rot90(BYTES, turns) / 255).float())
    assert notes == ["images rotated as their EXIF orientation says"]


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.tif", "a.webp"])
def test_first_frame_of_several(tmp_path, name):
    dark, light = (Image.new("L", (8, 8), shade) for shade in (40, 200))
    options = {"lossless": True} if name == "a.webp" else {}
    path = save(tmp_path / name, dark, save_all=True, append_images=[light], **options)
    images, notes = read(path)
    assert images.mean().item() == pytest.approx(40 / 255, abs=1 / 255)
    assert notes[0] == "animated or multi-page files of which the first frame is read"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of broken tags
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.gif", "a.webp", "a.jp2"])
def test_damaged_files_are_refused_by_name(tmp_path, name):
    whole = save(tmp_path / name, Image.fromarray(COLOURS)).read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 5):
            damaged[place] = draw.integers(0, 256)
        (tmp_path / name).write_bytes(bytes(damaged))
        try:
            read(tmp_path / name)
        except ValueError as error:
            assert f"{name} must be a readable image" in str(error)  # noqa: PT017 (may be read)


# --- folders ------------------------------------------------------------------------------------


def describe(data):
    data.prepare_data()
    data.setup()
    return data.describe()


def test_hidden_and_other_files_at_any_depth(tmp_path):
    for name in "ab":
        for index in range(6):
            save(tmp_path / name / "deep" / f"{index}.png", BYTES)
        for hidden in (".ipynb_checkpoints/0.png", "deep/.ipynb_checkpoints/0.png", "deep/._0.png"):
            save(tmp_path / name / hidden, BYTES)
        (tmp_path / name / "Thumbs.db").write_text("")
    save(tmp_path / ".ipynb_checkpoints" / "0.png", BYTES)
    save(tmp_path / "loose.png", BYTES)
    (tmp_path / "c").mkdir()
    data = ImageFolder(str(tmp_path), image_size=8)
    text = describe(data)
    assert data.class_names == ["a", "b"]
    assert sum(data.sizes().values()) == 12
    assert "read: hidden files left out: 7 (first: .ipynb_checkpoints/0.png)" in text
    assert "read: other files left out, *.db: 2 (first: a/Thumbs.db)" in text
    assert f"images outside of class folders left out: 1 (first: {tmp_path.name}/loose.png)" in text
    assert f"folders without images left out: 1 (first: {tmp_path.name}/c)" in text


def test_a_dot_in_the_path_of_the_folder_hides_nothing(tmp_path):
    for name in "ab":
        for index in range(6):
            save(tmp_path / ".cache" / name / f"{index}.png", BYTES)
    data = ImageFolder(str(tmp_path / ".cache"), image_size=8)
    describe(data)
    assert sum(data.sizes().values()) == 12


def test_linked_folders_are_read_and_circles_end(tmp_path):
    for name in "ab":
        for index in range(6):
            save(tmp_path / "all" / name / f"{index}.png", BYTES)
    (tmp_path / "some").mkdir()
    for name in "ab":
        (tmp_path / "some" / name).symlink_to(tmp_path / "all" / name)
    (tmp_path / "all" / "a" / "circle").symlink_to(tmp_path / "some")
    data = ImageFolder(str(tmp_path / "some"), image_size=8)
    describe(data)
    assert sum(data.sizes().values()) == 12


def test_folders_beside_the_splits_are_named(tmp_path):
    for part in ("train", "valid"):
        for name in "ab":
            for index in range(6):
                save(tmp_path / part / name / f"{index}.png", BYTES)
    text = describe(ImageFolder(str(tmp_path), image_size=8))
    assert "folders beside train, val, test left out: 1 (first: " in text
    assert "/valid)" in text


# --- masks --------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path):
    for index in range(6):
        save(tmp_path / "images" / f"{index}.png", COLOURS)
        save(tmp_path / "masks" / f"{index}.png", BYTES % 3)
    return tmp_path


def test_palettes_of_masks_count_by_index(pairs):
    for index in range(6):
        image = Image.fromarray(BYTES % 3).convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        save(pairs / "masks" / f"{index}.png", image)
    data = ImageMasks(str(pairs), image_size=8)
    describe(data)
    assert torch.equal(data.train.targets[0], torch.from_numpy(BYTES % 3).long())
    assert data.class_names == ["background", "1", "2"]


def test_hidden_masks_and_images_are_left_out(pairs):
    save(pairs / "masks" / ".ipynb_checkpoints" / "9.png", BYTES)
    save(pairs / "images" / "._0.png", BYTES)
    assert "hidden files left out: 1 (first: images/._0.png)" in describe(ImageMasks(str(pairs)))


def other_palette(folder):
    for index, colour in ((0, 255), (1, 200)):
        image = Image.fromarray(BYTES % 3).convert("P")
        image.putpalette([0, 0, 0, colour, 0, 0, 0, 255, 0])
        save(folder / "masks" / f"{index}.png", image)


def turned(folder):
    exif = Image.Exif()
    exif[274] = 6
    save(folder / "images" / "0.png", COLOURS[:4], exif=exif)
    save(folder / "masks" / "0.png", BYTES[:4] % 3)


DAMAGES = {
    "palettes": (other_palette, r"1.png must have the palette of .*0.png, but index 1"),
    "fractions": (
        lambda folder: [
            (folder / "masks" / "0.png").unlink(),
            save(folder / "masks" / "0.tif", np.full((8, 8), 0.5, np.float32)),
        ],
        r"0.tif must hold whole numbers, one per class",
    ),
    "frames": (
        lambda folder: save(
            folder / "masks" / "0.png",
            Image.fromarray(BYTES % 3),
            save_all=True,
            append_images=[Image.fromarray(BYTES)],
        ),
        r"0.png must have one frame, got 2",
    ),
    "EXIF": (turned, r"0.png must have the size .* 4 x 8 pixels, rotated as its EXIF orientation"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_masks_that_cannot_be_read_right(pairs, damage, message):
    damage(pairs)
    with pytest.raises(ValueError, match=message) as caught:
        describe(ImageMasks(str(pairs), image_size=8))
    assert "\n" not in str(caught.value)


# --- pixels to ignore ---------------------------------------------------------------------------


def save_masks(folder, values):
    for index in range(6):
        save(folder / "images" / f"{index}.png", COLOURS)
        save(folder / "masks" / f"{index}.png", np.asarray(values, dtype=np.uint8)[BYTES % 3])


@pytest.mark.parametrize(
    ("values", "options", "ignored", "names"),
    [
        ([0, 1, 255], {}, 255, ["background", "1"]),
        ([1, 2, 255], {}, 255, ["background", "2"]),
        ([0, 1, 255], {"ignore": None}, None, ["background", "1", "255"]),
        ([0, 100, 255], {}, None, ["background", "100", "255"]),
        ([5, 6, 255], {}, None, ["background", "6", "255"]),
        ([0, 1, 2], {"ignore": 1}, 1, ["background", "2"]),
        ([0, 255, 255], {}, None, ["background", "255"]),
    ],
    ids=["usual", "from 1", "a class", "greys", "from 5", "named", "binary"],
)
def test_the_value_that_marks_pixels_to_ignore(tmp_path, values, options, ignored, names):
    save_masks(tmp_path, values)
    data = ImageMasks(str(tmp_path), image_size=8, standardize=False, **options)
    text = describe(data)
    assert data.class_names == names
    assert data.ignores == (ignored is not None)
    left_out = np.asarray(values)[BYTES % 3] == ignored
    assert torch.equal(data.train.targets[0] == IGNORED, torch.from_numpy(left_out))
    assert int(data.class_counts.sum()) == data.train.size * int((~left_out).sum())
    note = f"read: pixels of value {ignored} ignored: {6 * left_out.sum()} (first: masks/0.png)"
    assert (note in text) == data.ignores
