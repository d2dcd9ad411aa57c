"""Images with boxes in the format of Pascal VOC, on small files as VOC and others have them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import VOCDetection

from losslab.data.voc import Voc
from numbered_images import numbers_of, rows_of

WIDTH, HEIGHT = 40, 20  # of the images; 20 x 20 after resizing
SIDE = 20


def ready(path, **options):
    data = Voc(str(path), **{"image_size": SIDE, **options})
    data.prepare_data()
    data.setup()
    return data


def thing(name, *corners, difficult="0", box="bndbox"):
    """Return an object as VOC 2007 has it, with a part, whose box is not the object's."""
    xmin, ymin, xmax, ymax = corners
    return f"""<object><name>{name}</name><pose>Left</pose><truncated>1</truncated>
        <difficult>{difficult}</difficult>
        <{box}><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></{box}>
        <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>
        </bndbox></part></object>"""


def annotation(name, *things, size=(WIDTH, HEIGHT)):
    return f"""<annotation><folder>VOC2007</folder><filename>{name}</filename>
        <source><database>The VOC2007 Database</database></source>
        <size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>
        <segmented>0</segmented>{"".join(things)}</annotation>"""


DOG = ("dog", 5, 6, 12, 15)  # columns 5 to 12 of 1 to 40: 4 to 12 in coordinates
OF_DOG = [0, 2, 5, 6, 15]


def write(folder, name, *things, images="JPEGImages", annotations="Annotations", suffix="jpg"):
    """Write an image, whose brightness is the number in its name, and its annotation."""
    file = folder / images / f"{name}.{suffix}"
    for each in (file, folder / annotations / f"{name}.xml"):
        each.parent.mkdir(parents=True, exist_ok=True)
    number = int("".join(filter(str.isdigit, name)))
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), number, dtype=np.uint8)).save(file)
    (folder / annotations / f"{name}.xml").write_text(annotation(file.name, *things))


def lists(folder, **names):
    place = folder / "ImageSets" / "Main"
    place.mkdir(parents=True, exist_ok=True)
    for split, numbers in names.items():
        (place / f"{split}.txt").write_text("".join(f"{n:06}\n" for n in numbers))
    (place / "dog_train.txt").write_text("000001 -1\n")


@pytest.fixture
def few(tmp_path):
    """Seven images without lists; the objects are those of the third."""

    def of(*things, **options):
        for number in range(1, 8):
            write(tmp_path, f"{number:06}", *(things if number == 3 else [thing(*DOG)]))
        return ready(tmp_path, standardize=False, **options)

    return of


# --- boxes and classes ----------------------------------------------------------------------------


def test_pixels_from_1_become_coordinates_from_0(few):
    rows = rows_of(few(thing("cat", 1, 1, WIDTH, HEIGHT), thing("dog", 40, 20, 40, 20)))
    assert rows[3] == [[0, 0, 0, SIDE, SIDE], [1, 19.5, 19, 20, 20]]  # the last is one pixel
    assert rows[1] == [[1, *OF_DOG[1:]]]


def test_pixels_from_0(few):
    data = few(thing("dog", 0.0, 0.0, 39.5, 20.0), first_pixel=0)
    assert rows_of(data)[3] == [[0, 0, 0, 19.75, 20]]
    assert rows_of(data)[1] == [[0, 2.5, 6, 6, 15]]
    assert "pixel 0" not in data.describe()


def test_boxes_from_pixel_0_although_the_first_is_1(few):
    described = few(thing("dog", 0, 5, 9, 9)).describe()
    assert "read: boxes from pixel 0 (data.first_pixel=0 if the first pixel is 0): 1" in described
    assert "read: boxes clipped to their image: 1" in described


def test_boxes_and_names_are_those_of_torchvision(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2007"
    things = [thing("dog", 3, 4, 20.7, 9), thing("cat", 1, 1, 5, 5, difficult="1")]
    for number in range(1, 8):
        write(root, f"{number:06}", *things)
    lists(root, train=[2, 1, 4], val=[3, 5], test=[6, 7])
    mine = ready(tmp_path, difficult=True, standardize=False)
    theirs = VOCDetection(str(tmp_path), year="2007", image_set="train")
    assert numbers_of(mine.train) == sorted(round(np.array(image).mean()) for image, _ in theirs)
    for _, described in theirs:
        for item, row in zip(described["annotation"]["object"], mine.train.targets[0], strict=True):
            assert mine.class_names[int(row[0])] == item["name"]
            corners = [float(item["bndbox"][name]) for name in ("xmin", "ymin", "xmax", "ymax")]
            expected = (np.array(corners) - [1, 1, 0, 0]) / [2, 1, 2, 1]
            assert row[1:].tolist() == pytest.approx(expected.tolist())


def test_difficult_objects(few):
    things = [thing("dog", 5, 6, 12, 15, difficult="1"), thing("cat", 1, 1, 5, 5)]
    without, kept = few(*things), few(*things, difficult=True)
    assert [len(rows_of(each)[3]) for each in (without, kept)] == [1, 2]
    note = "read: objects marked difficult left out: 1 (first: JPEGImages/000003.jpg)"
    assert note in without.describe()
    assert "difficult" not in kept.describe()


def test_an_image_without_objects_and_the_largest_box(few):
    assert rows_of(few())[3] == []
    largest = few(keep_boxes="largest")
    assert 3 not in rows_of(largest)
    assert "read: images without boxes left out: 1" in largest.describe()
    both = few(thing(*DOG), thing("cat", 1, 1, 20, 20), keep_boxes="largest")
    assert both.class_names[int(rows_of(both)[3][0][0])] == "cat"


@pytest.mark.parametrize("corners", [(5, 5, 4, 9), (9, 5, 2, 9), (41, 5, 50, 9)], ids=str)
def test_boxes_without_an_area_are_left_out_and_counted(few, corners):
    data = few(thing("dog", *corners))
    assert rows_of(data)[3] == []
    assert "read: boxes without an area inside their image left out: 1" in data.describe()


REFUSED = {
    "no number": (
        thing("dog", 1, 2, "x", 4),
        r"object 1 must have a number in bndbox/xmax, got 'x'",
    ),
    "not finite": (thing("dog", 1, 2, "nan", 4), "must have a number in bndbox/xmax, got 'nan'"),
    "another box": (thing("dog", 1, 2, 3, 4, box="robndbox"), "in bndbox/xmin, got None"),
    "no name": (thing(" ", 1, 2, 3, 4), "object 1 must have a name"),
    "no XML": ("</annotation>", "must be XML, got: "),
}


@pytest.mark.parametrize(("item", "message"), REFUSED.values(), ids=REFUSED)
def test_objects_that_cannot_be_meant_are_refused(few, item, message):
    with pytest.raises(ValueError, match=message) as caught:
        few(item)
    assert "Annotations/000003.xml" in str(caught.value)


def test_fractions_of_an_image_are_refused(tmp_path):
    for number in range(1, 8):
        write(tmp_path, f"{number}", thing("dog", 0.1, 0.2, 0.5, 0.7))
    with pytest.raises(
        ValueError, match=r"must give boxes in pixels, got coordinates from 0\.1 to"
    ):
        ready(tmp_path, first_pixel=0)


@pytest.mark.parametrize("size", [(30, 20), (20, 40)], ids=str)
def test_an_image_of_another_size_is_refused(few, tmp_path, size):
    few()
    file = tmp_path / "Annotations" / "000003.xml"
    file.write_text(annotation("x", thing(*DOG), size=size))
    with pytest.raises(ValueError, match=r"000003.xml must give the size of .*, 40 x 20 pixels"):
        ready(tmp_path)


def test_a_size_that_is_not_given_is_that_of_the_image(few, tmp_path):
    few()
    file = tmp_path / "Annotations" / "000003.xml"
    for text in (annotation("x", thing(*DOG), size=(0, 0)), f"<a>{thing(*DOG)}</a>"):
        file.write_text(text)
        assert rows_of(ready(tmp_path, standardize=False))[3] == [OF_DOG]


# --- layouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [".", "VOC2012", "VOCdevkit/VOC2012"])
def test_the_lists_of_voc(tmp_path, inner):
    root = tmp_path / inner
    for number in range(1, 13):
        write(root, f"{number:06}", thing(*DOG))
    lists(root, train=range(1, 8), val=[8, 9, 10], trainval=range(1, 11))
    data = ready(tmp_path, standardize=False)
    assert numbers_of(data.val) == [8, 9, 10]
    assert sorted(numbers_of(data.train) + numbers_of(data.test)) == list(range(1, 8))
    assert data.sampling == "redrawn"
    assert "read: images that ImageSets/Main does not list left out: 2" in data.describe()
    lists(root, test=[11, 12])
    data = ready(tmp_path, standardize=False)
    assert (numbers_of(data.train), numbers_of(data.test)) == (list(range(1, 8)), [11, 12])
    assert data.sampling == "fixed_test"
    (root / "ImageSets" / "Main" / "train.txt").unlink()
    data = ready(tmp_path, standardize=False)
    assert sorted(numbers_of(data.train) + numbers_of(data.val)) == list(range(1, 11))


def test_the_folders_of_roboflow(tmp_path):
    number = 1
    for folder, images in (("train", 6), ("valid", 3), ("test", 2)):
        for _ in range(images):
            write(tmp_path / folder, f"{number}", thing(*DOG), images=".", annotations=".")
            number += 1
    data = ready(tmp_path, standardize=False)
    splits = [numbers_of(each) for each in (data.train, data.val, data.test)]
    assert splits == [[1, 2, 3, 4, 5, 6], [7, 8, 9], [10, 11]]


def test_files_in_one_folder(tmp_path):
    for number in range(1, 8):
        write(tmp_path, f"{number}", thing(*DOG), images=".", annotations=".", suffix="PNG")
    Image.new("RGB", (5, 5)).save(tmp_path / "without.png")
    (tmp_path / "classes.txt").write_text("dog\n")
    data = ready(tmp_path, standardize=False)
    assert sum(data.sizes().values()) == 7
    assert "read: images without an XML file left out: 1 (first: " in data.describe()


def test_the_same_name_in_two_folders(tmp_path):
    for camera, numbers in (("a", (1, 2, 3)), ("b", (1, 2, 3))):
        for number in numbers:
            write(tmp_path, f"{camera}/{number}", thing(*DOG), images="images", suffix="png")
    assert sum(ready(tmp_path).sizes().values()) == 6


def no_image(root):
    (root / "JPEGImages" / "000003.jpg").unlink()


def no_annotation(root):
    (root / "Annotations" / "000003.xml").unlink()
    lists(root, train=range(1, 8))


def in_two_lists(root):
    lists(root, train=range(1, 6), val=[5, 6])


def two_suffixes(root):
    Image.new("RGB", (5, 5)).save(root / "JPEGImages" / "000003.png")


def two_sets(root):
    for year in (2007, 2012):
        (root / f"VOC{year}" / "Annotations").mkdir(parents=True)
    (root / "Annotations").rename(root / "moved")


MESSAGES = {
    no_image: (FileNotFoundError, r"000003.xml must have an image 000003.\* in .*JPEGImages"),
    no_annotation: (FileNotFoundError, "train.txt lists 000003, of which .* has no annotations"),
    in_two_lists: (ValueError, "val.txt must not list 000005, which is in train, too"),
    two_suffixes: (ValueError, "JPEGImages must hold one image per name, got .*jpg and .*png"),
    two_sets: (ValueError, "must hold one data set, got .*VOC2007 and .*VOC2012: set data.path"),
}


@pytest.mark.parametrize("change", MESSAGES, ids=lambda each: each.__name__)
def test_files_that_do_not_belong_together_are_refused(few, tmp_path, change):
    few()
    change(tmp_path)
    kind, message = MESSAGES[change]
    with pytest.raises(kind, match=message):
        Voc(str(tmp_path)).prepare_data()


def test_a_folder_without_annotations(tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "1.png")
    with pytest.raises(
        FileNotFoundError, match=r"with \.xml files beside their images, found none"
    ):
        Voc(str(tmp_path)).prepare_data()


def test_they_can_be_streamed(few, tmp_path):
    held = few(thing("cat", 1, 1, 50, 50), thing(*DOG))
    options = {"standardize": False, "num_workers": 0}
    streamed = ready(tmp_path, in_memory=False, **options)
    assert streamed.reads_again()
    for split in ("train", "val", "test"):
        (batch,) = streamed.batches(getattr(streamed, split))
        torch.testing.assert_close(batch[0], getattr(held, split).inputs)
        assert torch.equal(batch[1], getattr(held, split).targets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_pixel": 2}, "first_pixel must be one of 0, 1, got 2"),
        ({"difficult": "yes"}, "difficult must be one of True, False, got 'yes'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        Voc("x", **options)
