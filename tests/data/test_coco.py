"""Images with boxes in the format of COCO, on small files as COCO and other tools have them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from losslab.data import scan
from losslab.data.coco import Coco
from numbered_images import rows_of

WIDTH, HEIGHT = 40, 20  # of the images; 20 x 20 after resizing
SIDE = 20


def ready(path, **options):
    data = Coco(str(path), **{"image_size": SIDE, **options})
    data.prepare_data()
    data.setup()
    return data


def save(file, number, size=(WIDTH, HEIGHT), **options):
    """Save an image whose brightness says its number."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), number, dtype=np.uint8)
    Image.fromarray(pixels).save(file, **options)


def image(number, name, size=(WIDTH, HEIGHT)):
    return {"id": number, "file_name": name, "width": size[0], "height": size[1], "license": 1}


def box(number, of, category, bbox, **others):
    outline = [[bbox[0], bbox[1], bbox[0] + 1, bbox[1], bbox[0], bbox[1] + 1]] if bbox else []
    entry = {"id": number, "image_id": of, "category_id": category, "bbox": bbox}
    return entry | {"segmentation": outline, "area": 1.0, "iscrowd": 0} | others


CATEGORIES = [  # with gaps, and not in order
    {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 13, "name": "stop sign", "supercategory": "outdoor"},
]


def write(file, images, annotations, categories=CATEGORIES):
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {"year": 2017}, "licenses": [], "categories": categories}
    file.write_text(json.dumps(content | {"images": images, "annotations": annotations}))


def write_set(root, file, folder, numbers, name="{:012}.jpg", boxes=None):
    """Write images and a file that gives each a box."""
    for number in numbers:
        save(root / folder / name.format(number), number)
    images = [image(number, name.format(number)) for number in numbers]
    if boxes is None:
        boxes = [box(7 * number, number, 1, [4, 5, 8.5, 10]) for number in numbers]
    write(root / file, images, boxes)


@pytest.fixture
def few(tmp_path):
    """Seven images in one folder; the boxes are those of a test."""

    def of(*boxes, categories=CATEGORIES, **options):
        write_set(tmp_path, "result.json", ".", range(1, 8), "{}.png", boxes)
        content = json.loads((tmp_path / "result.json").read_text()) | {"categories": categories}
        (tmp_path / "result.json").write_text(json.dumps(content))
        return ready(tmp_path, standardize=False, **options)

    return of


# --- boxes and classes ----------------------------------------------------------------------------


def test_boxes_are_resized_with_their_images(few):
    data = few(
        box(1, 3, 13, [4, 5, 8.5, 10]),
        box(2, 3, 90, [0, 0, WIDTH, HEIGHT]),
        box(3, 5, 1, [30.2, 1.0, 9.8, 2.0]),
    )
    rows = rows_of(data)
    assert rows[3] == [[1, 2, 5, 6.25, 15], [2, 0, 0, SIDE, SIDE]]
    assert rows[5] == [pytest.approx([0, 15.1, 1, 20, 3])]
    assert [rows[number] for number in (1, 2, 4, 6, 7)] == [[]] * 5
    assert (data.outputs, data.class_names) == (3, ["person", "stop sign", "toothbrush"])
    assert data.train.targets.shape[1:] == (2, 5)


def test_classes_without_boxes_are_left_out(few):
    """The first category of Roboflow is the name of the project, which no box has."""
    categories = [{"id": 0, "name": "fishes", "supercategory": "none"}, *CATEGORIES]
    data = few(box(1, 3, 90, [4, 5, 8, 10]), box(2, 4, 1, [4, 5, 8, 10]), categories=categories)
    assert data.class_names == ["person", "toothbrush"]
    assert "read: classes without boxes left out: 2 (first: fishes)" in data.describe()


LEFT_OUT = {
    "crowd": (
        box(9, 2, 1, [1, 1, 5, 5], iscrowd=1),
        "boxes marked iscrowd or ignore left out: 1 (first: ",
    ),
    "ignore": (
        box(9, 2, 1, [1, 1, 5, 5], ignore=1),
        "boxes marked iscrowd or ignore left out: 1 (first: ",
    ),
    "no width": (
        box(9, 2, 1, [1, 1, 0, 5]),
        "boxes without an area inside their image left out: 1",
    ),
    "negative": (box(9, 2, 1, [9, 9, 3, -4]), "boxes without an area inside their image left"),
    "outside": (box(9, 2, 1, [40, 1, 5, 5]), "boxes without an area inside their image left out"),
    "too thin": (box(9, 2, 1, [1, 1, 1e-4, 5]), "boxes without an area inside their image left"),
    "another image": (box(9, 99, 1, [1, 1, 5, 5]), "boxes of images that are not listed left out"),
}


@pytest.mark.parametrize(("broken", "note"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_is_counted(few, broken, note):
    data = few(box(1, 3, 1, [4, 5, 8, 10]), broken, box(10, 4, 13, [4, 5, 8, 10]))
    assert rows_of(data)[2] == []
    assert data.describe().count(f"read: {note}") == 1


def test_boxes_that_reach_beyond_their_image_are_clipped(few):
    data = few(
        *(box(number, 3, 1, [4, 5, 8, 10]) for number in range(3)),
        box(8, 2, 1, [-4, 10, 8, 30]),
        box(9, 1, 1, [38, 2, 2.5, 4]),
    )
    assert (rows_of(data)[2], rows_of(data)[1]) == ([[0, 0, 10, 2, 20]], [[0, 19, 2, 20, 6]])
    assert "read: boxes clipped to their image: 2" in data.describe()


def test_the_largest_box_of_each_image(few):
    boxes = [
        box(1, 3, 1, [1, 1, 2, 2]),
        box(2, 3, 13, [4, 4, 6, 6]),
        box(3, 3, 90, [4, 4, 6, 6]),
        box(4, 5, 1, [5, 5, 9, 9]),
        box(5, 6, 13, [5, 5, 9, 9]),
        box(6, 2, 1, [5, 5, 0, 9]),
    ]
    data = few(*boxes, keep_boxes="largest")
    assert rows_of(data) == {
        3: [[1, 2, 4, 5, 10]],
        5: [[0, 2.5, 5, 7, 14]],
        6: [[1, 2.5, 5, 7, 14]],
    }
    assert data.train.targets.shape[1:] == (1, 5)
    assert data.class_names == ["person", "stop sign"]
    described = data.describe()
    assert "read: boxes beside the largest of their image left out: 2" in described
    assert "read: images without boxes left out: 4" in described
    assert data.sizes() == {"train": 1, "val": 1, "test": 1}


REFUSED = {
    "no category": (box(9, 2, 4, [1, 1, 5, 5]), "annotation 9 must have a category that is listed"),
    "three numbers": (box(9, 2, 1, [1, 1, 5]), r"bbox of annotation 9 must be 4 finite numbers"),
    "text": (box(9, 2, 1, [1, 1, 5, "5"]), r"must be 4 finite numbers, got \[1, 1, 5, '5'\]"),
    "no number": (box(9, 2, 1, [1, 1, 5, float("nan")]), "must be 4 finite numbers"),
    "no box": ({"id": 9, "image_id": 2, "caption": "a"}, "entry 0 of annotations must have image_"),
    "fractions": (box(9, 2, 1, [0.1, 0.2, 0.5, 0.7]), "boxes in pixels, got coordinates from 0.1"),
    "corners": (box(9, 2, 1, [21, 11, 35, 18]), "100% reach beyond them: are their numbers in"),
    "nothing left": (box(9, 2, 1, [1, 1, 0, 5]), "annotations must hold boxes, got none"),
}


@pytest.mark.parametrize(("entry", "message"), REFUSED.values(), ids=REFUSED)
def test_boxes_that_cannot_be_meant_are_refused(few, entry, message):
    with pytest.raises(ValueError, match=message) as caught:
        few(entry)
    assert "result.json" in str(caught.value)


# --- images ---------------------------------------------------------------------------------------


def test_an_image_of_another_size_is_refused(tmp_path):
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.png")
    save(tmp_path / "3.png", 3, (20, 10))
    with pytest.raises(
        ValueError, match=r"a.json must give the size of .*3.png, 20 x 10 pixels, g"
    ):
        ready(tmp_path)


def test_boxes_of_an_image_that_is_rotated_by_its_exif_orientation(tmp_path):
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "3.jpg", 3, exif=exif)
    with pytest.raises(ValueError, match="20 x 40 pixels, rotated as its EXIF orientation says"):
        ready(tmp_path)
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"][2] |= {"width": HEIGHT, "height": WIDTH}
    (tmp_path / "a.json").write_text(json.dumps(content))
    data = ready(tmp_path, standardize=False)
    assert rows_of(data)[3] == [[0, 4, 2.5, 12.5, 7.5]]


def test_a_size_that_is_not_given_is_that_of_the_image(tmp_path):
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.png")
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"][1] |= {"width": 0, "height": 0}
    del content["images"][2]["width"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    rows = rows_of(ready(tmp_path, standardize=False))
    assert rows[1] == rows[2] == rows[3] == [[0, 2, 5, 6.25, 15]]


def test_the_same_name_in_two_folders(tmp_path):
    names = [f"{camera}/{number}.png" for camera in "ab" for number in range(4)]
    for number, name in enumerate(names):
        save(tmp_path / "images" / name, number)
    listed = [image(number, name.replace("/", "\\")) for number, name in enumerate(names)]
    boxes = [box(number, number, 1, [number, 1, 2, 2]) for number in range(8)]
    write(tmp_path / "annotations" / "instances_default.json", listed, boxes)
    rows = rows_of(ready(tmp_path, standardize=False))
    assert rows == {number: [[0, number / 2, 1, number / 2 + 1, 3]] for number in range(8)}


def test_images_that_are_not_listed_are_counted(tmp_path):
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.png")
    save(tmp_path / "more" / "other.png", 9)
    save(tmp_path / ".hidden" / "other.png", 9)
    data = ready(tmp_path)
    assert sum(data.sizes().values()) == 7
    assert "read: images that are not listed left out: 1 (first: more/other.png)" in data.describe()


def test_images_that_are_missing(tmp_path):
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.png")
    for name in ("3.png", "5.png"):
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"that exist, got 2 that do not, the .*/3\.png"):
        Coco(str(tmp_path)).prepare_data()
    (tmp_path / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"a.json lists 1.png, which must be in one of "):
        Coco(str(tmp_path)).prepare_data()


# --- layouts --------------------------------------------------------------------------------------

LAYOUTS = {  # path of the annotations, folder of the images, split
    "COCO": [
        ("annotations/instances_train2017.json", "train2017", "train"),
        ("annotations/instances_val2017.json", "val2017", "val"),
    ],
    "Roboflow": [
        ("train/_annotations.coco.json", "train", "train"),
        ("valid/_annotations.coco.json", "valid", "val"),
        ("test/_annotations.coco.json", "test", "test"),
    ],
    "CVAT": [
        ("annotations/instances_Train.json", "images/Train", "train"),
        ("annotations/instances_Validation.json", "images/Validation", "val"),
    ],
    "files of other names": [
        ("annotations/train.json", "images", "train"),
        ("annotations/test.json", "images", "test"),
    ],
    "files beside the folders": [
        ("my_train.json", "train", "train"),
        ("my_val.json", "val", "val"),
        ("my_test.json", "test", "test"),
    ],
    "Label Studio": [("result.json", "images", "train")],
    "one split of COCO": [("annotations/instances_val2017.json", "val2017", "train")],
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_and_their_splits(tmp_path, files):
    sizes = {"train": 8, "val": 3, "test": 4}
    first, numbers = 1, {}
    for file, folder, split in files:
        numbers[split] = range(first, first + sizes[split])
        write_set(tmp_path, file, folder, numbers[split])
        first += sizes[split]
    data = ready(tmp_path, standardize=False)
    for split in ("val", "test"):
        found = sorted(round(255 * each.mean().item()) for each in getattr(data, split).inputs)
        if split in numbers:
            assert found == list(numbers[split])
        else:
            assert len(found) == 2  # a fifth of 8
            assert set(found) <= set(numbers["train"])
    assert data.sampling == ("fixed_test" if "test" in numbers else "redrawn")
    assert all(rows == [[0, 2, 5, 6.25, 15]] for rows in rows_of(data).values())


def test_a_prefix_of_the_folder_in_the_names(tmp_path):
    """Label Studio and others list images/1.png."""
    for number in range(1, 8):
        save(tmp_path / "images" / f"{number}.png", number)
    listed = [image(number, f"images/{number}.png") for number in range(1, 8)]
    write(tmp_path / "result.json", listed, [box(1, 3, 1, [4, 5, 8.5, 10])])
    for path in (tmp_path, tmp_path / "result.json"):
        assert rows_of(ready(path, standardize=False))[3] == [[0, 2, 5, 6.25, 15]]


def test_other_files_of_annotations_are_left_out_and_counted(tmp_path):
    write_set(tmp_path, "annotations/instances_train2017.json", "train2017", range(1, 8))
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    note = "read: JSON files beside instances_*.json left out: 1 (first: annotations/captions_trai"
    assert note in ready(tmp_path).describe()


def two_of_a_split(root):
    for year in (2014, 2017):
        write_set(root, f"annotations/instances_train{year}.json", "x", range(1, 8))


def no_training(root):
    for split in ("val", "test"):
        write_set(root, f"{split}/a.json", split, range(1, 8))


def an_image_in_two_splits(root):
    for split in ("train", "val"):
        write_set(root, f"annotations/{split}.json", "images", range(1, 8))


def an_image_twice(root):
    write_set(root, "a.json", ".", [1, 2, 3])
    content = json.loads((root / "a.json").read_text())
    content["images"].append(content["images"][1] | {"id": 10})
    (root / "a.json").write_text(json.dumps(content))


def an_id_twice(root):
    write_set(root, "a.json", ".", [1, 2, 3])
    content = json.loads((root / "a.json").read_text())
    content["images"][1]["id"] = 1
    (root / "a.json").write_text(json.dumps(content))


def other_categories(root):
    for split, number in (("train", 1), ("val", 4)):
        write_set(root, f"{split}/a.json", split, range(number, number + 3))
    file = root / "val" / "a.json"
    file.write_text(file.read_text().replace("stop sign", "go sign"))


def a_list(root):
    (root / "a.json").write_text('[{"image_id": 1, "score": 0.5}]')


def no_json(root):
    (root / "a.json").write_text("{")


def no_images(root):
    write(root / "a.json", [], [])


def no_annotations(root):
    (root / "a.json").write_text('{"images": [], "categories": []}')


MESSAGES = {
    two_of_a_split: "one file of annotations per split, got .*2014.json and .*2017.json for train",
    no_training: "must have annotations of training images, got only",
    an_image_in_two_splits: "000000000001.jpg must be listed once, got it in .* and .*val.json",
    an_image_twice: "000000000002.jpg must be listed once, got it in .*a.json twice",
    an_id_twice: "a.json must have one image per id, got two with 1",
    other_categories: "val/a.json must have one category per id.*'stop sign' and 'go sign' with",
    a_list: "a.json must hold images, annotations and categories, got a list",
    no_json: "a.json must be JSON, got: ",
    no_images: "a.json must list images, got none",
    no_annotations: "a.json must list images, got none",
}


@pytest.mark.parametrize("write_wrong", MESSAGES, ids=lambda each: each.__name__)
def test_files_that_cannot_be_meant_are_refused(tmp_path, write_wrong):
    write_wrong(tmp_path)
    with pytest.raises(ValueError, match=MESSAGES[write_wrong]):
        Coco(str(tmp_path)).prepare_data()


def test_a_folder_without_annotations(tmp_path):
    save(tmp_path / "a.png", 1)
    with pytest.raises(
        FileNotFoundError, match=r"or a \.json file, or such a file, found none at "
    ):
        Coco(str(tmp_path)).prepare_data()


def test_a_file_that_has_changed_is_read_again(tmp_path):
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.png")
    assert rows_of(ready(tmp_path, standardize=False))[1] == [[0, 2, 5, 6.25, 15]]
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.png", [box(1, 1, 1, [2, 2, 20, 10])])
    assert rows_of(ready(tmp_path, standardize=False))[1] == [[0, 1, 2, 11, 12]]


# --- streaming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["all", "largest"])
def test_they_can_be_streamed(tmp_path, monkeypatch, keep):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    boxes = [box(1, 3, 1, [1, 1, 2, 2]), box(2, 3, 13, [4, 4, 6, 6]), box(4, 5, 1, [5, 5, 9, 9])]
    boxes += [box(5, 6, 13, [5, 5, 9, 9]), box(6, 2, 1, [38, 5, 9, 9])]
    write_set(tmp_path, "a.json", ".", range(1, 8), "{}.png", boxes)
    options = {"keep_boxes": keep, "num_workers": 0}
    held = ready(tmp_path, **options)
    for _ in range(2):  # the second finds sizes in the cache
        scan._KNOWN.clear()
        streamed = ready(tmp_path, in_memory=False, **options)
        assert set(held.notes) <= set(streamed.notes)
        for split in ("train", "val", "test"):
            (batch,) = streamed.batches(getattr(streamed, split))
            torch.testing.assert_close(batch[0], getattr(held, split).inputs)
            assert torch.equal(batch[1], getattr(held, split).targets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 3}, "image_size must be a whole number >= 4, got 3"),
        ({"keep_boxes": "first"}, "keep_boxes must be one of 'all', 'largest', got 'first'"),
        ({"in_memory": "no"}, "in_memory must be one of True, False, 'auto', got 'no'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        Coco("x", **options)
