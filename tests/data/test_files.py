"""One's own data: arrays, tables and folders of images, whole and broken."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from losslab.data.arrays import Arrays
from losslab.data.image_folder import ImageFolder
from losslab.data.table import Table
from losslab.data.targets import read_targets


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def refused(make, message, error=ValueError):
    with pytest.raises(error, match=message) as caught:
        ready(make())
    return str(caught.value)


def whole(data):
    splits = (data.train, data.val, data.test)
    return tuple(torch.cat([split[i] for split in splits]) for i in (0, 1))


# --- what targets mean ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "asked", "expected", "kind", "names"),
    [
        ([3, 1, 3, 7], "auto", [1, 0, 1, 2], "classes", ["1", "3", "7"]),
        ([-1, 1, 1], "auto", [0, 1, 1], "classes", ["-1", "1"]),
        (["b", "a", "b"], "auto", [1, 0, 1], "classes", ["a", "b"]),
        ([True, False], "auto", [1, 0], "classes", ["False", "True"]),
        ([[4], [5]], "auto", [0, 1], "classes", ["4", "5"]),
        ([0.0, 2.0], "classes", [0, 1], "classes", ["0", "2"]),
        ([0.5, 2.0], "auto", [0.5, 2.0], "values", None),
        ([[0.5, 1], [2, 3]], "auto", [[0.5, 1.0], [2.0, 3.0]], "values", None),
        ([1, 2], "values", [1.0, 2.0], "values", None),
        ([[0, 1], [1, 1]], "auto", [[0.0, 1.0], [1.0, 1.0]], "multilabel", None),
        ([[0.0, 1.0], [1.0, 1.0]], "values", [[0.0, 1.0], [1.0, 1.0]], "values", None),
    ],
)
def test_kinds_of_targets(values, asked, expected, kind, names):
    meaning = read_targets("targets", np.array(values), asked)
    assert (meaning.targets.tolist(), meaning.kind, meaning.names) == (expected, kind, names)


@pytest.mark.parametrize(
    ("values", "asked", "message"),
    [
        (np.arange(200), "auto", "could be classes or values, got 200 distinct integers"),
        (np.array([[2, 3], [4, 5]]), "auto", "could be classes or values, got 4 distinct"),
        (np.array([0.5, 1.5]), "classes", "must be integers or strings.*to be classes"),
        (np.array([1, 1, 1]), "auto", "must hold at least 2 classes, got only '1'"),
        (np.array(["a", "b"]), "values", "must be numbers to be values"),
        (np.array([0, 1]), "multilabel", r"must be 0 or 1, of shape \(n, K\), to be multilabel"),
        (np.array([[0, 2]]), "multilabel", r"must be 0 or 1, of shape \(n, K\)"),
        (np.zeros((2, 2, 2)), "auto", r"must have shape \(n,\) or \(n, K\), got \(2, 2, 2\)"),
    ],
)
def test_targets_that_have_no_meaning(values, asked, message):
    with pytest.raises(ValueError, match=message):
        read_targets("targets", values, asked)


# --- arrays -----------------------------------------------------------------------------------


@pytest.fixture
def npz(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "x.npz", **arrays)
        return str(tmp_path / "x.npz")

    return save


RNG = np.random.default_rng(0)
INPUTS = RNG.normal(5, 3, (60, 4))


@pytest.mark.parametrize(
    ("inputs", "targets", "expected"),
    [
        (INPUTS, np.arange(60) % 3, ((4,), "classes", 3)),
        (INPUTS, np.array(["cat", "dog"] * 30), ((4,), "classes", 2)),
        (INPUTS, RNG.normal(size=60), ((4,), "values", 1)),
        (INPUTS, RNG.normal(size=(60, 2)), ((4,), "values", 2)),
        (INPUTS, RNG.integers(0, 2, (60, 5)), ((4,), "multilabel", 5)),
        (INPUTS[:, 0], np.arange(60) % 2, ((1,), "classes", 2)),
        (
            RNG.integers(0, 255, (60, 3, 8, 8), np.uint8),
            np.arange(60) % 2,
            ((3, 8, 8), "classes", 2),
        ),
    ],
    ids=["classes", "strings", "value", "values", "labels", "one feature", "images"],
)
def test_arrays(npz, inputs, targets, expected):
    data = ready(Arrays(npz(inputs=inputs, targets=targets)))
    assert (data.input_shape, data.target_kind, data.outputs) == expected
    assert data.train.size + data.val.size + data.test.size == 60
    assert data.train.inputs.dtype == torch.float32
    assert data.train.inputs.std(correction=0) == pytest.approx(1, abs=0.01)


def test_arrays_as_they_are(npz):
    data = ready(Arrays(npz(inputs=INPUTS, targets=np.arange(60) % 3), standardize=False))
    inputs, targets = whole(data)
    rows = {tuple(row): label for row, label in zip(inputs.tolist(), targets.tolist(), strict=True)}
    expected = {
        tuple(row): label
        for row, label in zip(INPUTS.astype(np.float32).tolist(), np.arange(60) % 3, strict=True)
    }
    assert rows == expected


def test_arrays_with_split_group_and_weight(npz):
    split = np.array(["train", "val", "test"]).repeat([40, 10, 10])
    data = ready(
        Arrays(
            npz(
                inputs=np.arange(60.0),
                targets=np.arange(60) % 2,
                split=split,
                group=np.arange(60) // 10,
                weight=np.arange(60) + 1.0,
            ),
            standardize=False,
        )
    )
    assert sorted(data.val.inputs[:, 0].tolist()) == list(range(40, 50))
    assert sorted(data.test.inputs[:, 0].tolist()) == list(range(50, 60))
    assert torch.equal(data.train.weights, data.train.inputs[:, 0] + 1)


def test_arrays_by_group(npz):
    group = np.array([f"patient {i // 4}" for i in range(60)])
    path = npz(inputs=np.arange(60.0), targets=np.arange(60) % 2, group=group)
    data = ready(Arrays(path, standardize=False))
    homes = [
        {int(number) // 4 for number in split.inputs[:, 0]}
        for split in (data.train, data.val, data.test)
    ]
    assert set.union(*homes) == set(range(15))
    assert sum(map(len, homes)) == 15


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": INPUTS}, "must hold inputs, targets and may hold .*, got inputs"),
        ({"inputs": INPUTS, "targets": np.arange(60), "grup": np.arange(60)}, "got grup, inputs"),
        (
            {"inputs": INPUTS, "targets": np.arange(59)},
            "of equal length, got inputs 60, targets 59",
        ),
        (
            {"inputs": np.array(["a"] * 60), "targets": np.arange(60) % 2},
            r"inputs in .*x.npz must be numbers of shape \(n, \*\), got <U1",
        ),
        (
            {"inputs": np.where(INPUTS > 9, np.nan, INPUTS), "targets": np.arange(60) % 2},
            "inputs must be finite numbers, got .* the first in sample",
        ),
        (
            {"inputs": INPUTS, "targets": np.arange(60) % 2, "split": ["trian"] * 60},
            "split must be train, val, test or 0, 1, 2, of shape .*, got 'trian'",
        ),
        (
            {"inputs": INPUTS, "targets": np.arange(60) % 2, "weight": ["a"] * 60},
            "weight must be numbers of shape",
        ),
        (
            {"inputs": INPUTS, "targets": np.array([0] * 58 + [1] * 2)},
            "class '1' must have more than 2 samples",
        ),
        (
            {"inputs": np.array([{}] * 60), "targets": np.arange(60)},
            "must be an .npz file of plain arrays",
        ),
    ],
    ids=[
        "no targets",
        "misspelt",
        "lengths",
        "text",
        "NaN",
        "split",
        "weight",
        "small class",
        "objects",
    ],
)
def test_broken_arrays(npz, arrays, message):
    path = npz(**arrays)
    assert "\n" not in refused(lambda: Arrays(path), message)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"], ids=repr)
def test_a_file_that_is_no_npz(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    refused(lambda: Arrays(str(tmp_path / "x.npz")), "x.npz must be an .npz file of plain arrays")


def test_one_array_saved_as_npy_is_no_npz(tmp_path):
    np.save(tmp_path / "x.npy", INPUTS)
    refused(lambda: Arrays(str(tmp_path / "x.npy")), "x.npy must be an .npz file")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: Arrays(f"{p}/no.npz"), "path must be an .npz file, found nothing at .*no.npz"),
        (lambda p: Arrays(f"{p}"), "path must be an .npz file, found a folder at"),
        (
            lambda p: Table(f"{p}/no.csv", "y"),
            "path must be a .csv or .parquet file, found nothing at",
        ),
        (lambda p: ImageFolder(f"{p}/no"), "path must be a folder with one folder per class"),
        (lambda p: ImageFolder(f"{p}"), "at least 2 folders with images.*found none in"),
    ],
    ids=["npz", "folder", "csv", "images", "empty"],
)
def test_missing_files(tmp_path, make, message):
    assert str(tmp_path) in refused(lambda: make(tmp_path), message, FileNotFoundError)


# --- tables -----------------------------------------------------------------------------------


@pytest.fixture
def csv(tmp_path):
    def save(**changes):
        columns = {
            "height": RNG.normal(170, 10, 60),
            "colour": ["red", "green", "blue"] * 20,
            "smoker": [True, False] * 30,
            "name": [f"person {i}" for i in range(60)],
            "clinic": [i // 6 for i in range(60)],
            "sick": ["yes", "no", "no"] * 20,
            "dose": RNG.normal(100_000, 20_000, 60),
        }
        table = pd.DataFrame(columns | changes)
        table.to_csv(tmp_path / "x.csv", index=False)
        return str(tmp_path / "x.csv")

    return save


def test_table_features(csv):
    data = ready(Table(csv(), "sick", group="clinic", drop=["name", "dose"]))
    assert data.input_shape == (1 + 3 + 2,)
    assert data.class_names == ["no", "yes"]
    assert data.train.inputs[:, 0].mean() == pytest.approx(0, abs=1e-5)
    assert data.train.inputs[:, 0].std(correction=0) == pytest.approx(1, abs=1e-5)
    assert set(data.train.inputs[:, 1:].unique().tolist()) == {0.0, 1.0}
    inputs, targets = whole(data)
    assert (inputs[:, 1:4].sum(1) == 1).all()
    assert torch.equal(inputs[:, 3].long(), targets)  # red is the third colour, and sick


@pytest.mark.parametrize(
    ("target", "options", "kind", "outputs"),
    [
        ("dose", {}, "values", 1),
        (["dose", "height"], {}, "values", 2),
        ("clinic", {}, "classes", 10),
        ("clinic", {"target_kind": "values"}, "values", 1),
        (["a", "b"], {}, "multilabel", 2),
    ],
    ids=["value", "values", "classes", "asked for", "labels"],
)
def test_table_targets(csv, target, options, kind, outputs):
    path = csv(a=[0, 1] * 30, b=[1, 1, 0] * 20)
    data = ready(Table(path, target, drop=["name"], **options))
    assert (data.target_kind, data.outputs) == (kind, outputs)
    assert data.class_names == (["a", "b"] if kind == "multilabel" else data.class_names)


def test_table_with_split_and_weight(csv):
    split = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    path = csv(part=split, importance=[float(i % 3 + 1) for i in range(60)])
    options = {"split": "part", "weight": "importance", "drop": ["name"]}
    data = ready(Table(path, "dose", standardize_targets=True, **options))
    assert [s.size for s in (data.train, data.val, data.test)] == [40, 10, 10]
    assert set(data.val.weights.tolist()) == {1.0, 2.0, 3.0}
    assert data.train.targets.std(correction=0) == pytest.approx(1, abs=1e-4)


def test_targets_may_be_whole_numbers_and_decimals(csv):
    path = csv(visits=list(range(60)))
    data = ready(
        Table(
            path, ["visits", "dose"], target_kind="values", standardize_targets=False, drop=["name"]
        )
    )
    assert (data.target_kind, data.outputs) == ("values", 2)
    assert set(data.test.targets[:, 0].tolist()) <= set(range(60))


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"target": "sik"}, {}, "must have the column 'sik', got height, colour"),
        ({"target": "sick", "group": "ward"}, {}, "must have the column 'ward'"),
        (
            {"target": "sick", "impute": "refuse"},
            {"height": [170.0] * 59 + [None]},
            "no missing values, got 1 in column 'height', the first in line 61",
        ),
        (
            {"target": "sick"},
            {"sick": [None] + ["a", "b"] * 29 + ["a"]},
            "column 'sick', .*line 2:",
        ),
        (
            {"target": ["sick", "dose"]},
            {},
            "target columns must have the same type, got sick, dose",
        ),
        ({"target": "sick", "split": "colour"}, {}, "column 'colour' must be train, val, test"),
        ({"target": "sick", "weight": "colour"}, {}, "column 'colour' must be numbers"),
    ],
    ids=["target", "group", "hole", "hole in target", "mixed", "split", "weight"],
)
def test_broken_tables(csv, options, changes, message):
    path = csv(**changes)
    assert "\n" not in refused(lambda: Table(path, **options), message)


def test_names_are_no_category(tmp_path):
    table = pd.DataFrame({"name": [f"n{i}" for i in range(150)], "x": 1.5, "y": [0, 1, 2] * 50})
    table.to_csv(tmp_path / "x.csv", index=False)
    message = r"columns must have <= 100 different entries .* 'name' 150: .* data.drop=\[name\]"
    refused(lambda: Table(str(tmp_path / "x.csv"), "y"), message)
    assert ready(Table(str(tmp_path / "x.csv"), "y", drop=["name"])).input_shape == (1,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv must be a .csv file with a header"),
        ("a,y\n", "x.csv must have rows, got only a header"),
        ('a,y\n1,2,3\n"4', "x.csv must be a .csv file with a header"),
        ("y\n1\n2\n", "must have a column besides the target"),
        ("\x00\xff", "x.csv must"),
    ],
    ids=["empty", "header", "ragged", "only target", "binary"],
)
def test_a_file_that_is_no_table(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text, encoding="latin-1")
    assert "\n" not in refused(lambda: Table(str(tmp_path / "x.csv"), "y"), message)


# --- images -----------------------------------------------------------------------------------


def paint(folder, shade, size=(12, 9), name="a.png"):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 255)).save(folder / name)


@pytest.fixture
def images(tmp_path):
    for index in range(10):
        paint(tmp_path / "cats", 51, name=f"{index}.png")
        paint(tmp_path / "dogs", 204, size=(30, 40), name=f"{index}.jpg" if index else "0.PNG")
    (tmp_path / "cats" / "notes.txt").write_text("not an image")
    (tmp_path / "cats" / "._0.png").write_bytes(b"a hidden file")
    return tmp_path


def test_image_folder(images):
    data = ready(ImageFolder(str(images), image_size=16, standardize=False))
    assert (data.input_shape, data.outputs, data.class_names) == ((3, 16, 16), 2, ["cats", "dogs"])
    assert [s.size for s in (data.train, data.val, data.test)] == [12, 4, 4]
    inputs, targets = whole(data)
    assert (inputs[targets == 0][:, 0] - 0.2).abs().max() < 0.01
    assert (inputs[targets == 1][:, 0] - 0.8).abs().max() < 0.01
    assert (inputs[:, 2] - 1).abs().max() < 0.01


def test_image_folder_in_grey_and_standardised(images):
    data = ready(ImageFolder(str(images), image_size=8, grayscale=True))
    assert data.input_shape == (1, 8, 8)
    assert data.train.inputs.mean() == pytest.approx(0, abs=1e-4)
    assert data.train.inputs.std(correction=0) == pytest.approx(1, abs=1e-4)


def test_image_folder_with_its_own_splits(tmp_path):
    for part, count in (("train", 8), ("test", 3)):
        for index in range(count):
            paint(tmp_path / part / "a", 10, name=f"{index}.png")
            paint(tmp_path / part / "b", 200, name=f"{index}.png")
    data = ready(ImageFolder(str(tmp_path), image_size=4))
    assert [s.size for s in (data.train, data.val, data.test)] == [12, 4, 6]


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:60], lambda b: b"text"], ids=["empty", "cut", "text"]
)
def test_a_broken_image_is_named(images, damage):
    file = images / "dogs" / "3.jpg"
    file.write_bytes(damage(file.read_bytes()))
    message = r"3\.jpg must be a readable image"
    assert "\n" not in refused(lambda: ImageFolder(str(images), image_size=8), message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageFolder("x", image_size=0), "image_size must be a whole number >= 1, got 0"),
        (lambda: Arrays("x", target_kind="class"), "target_kind must be one of 'auto', 'classes'"),
        (lambda: Table("x", "y", target_kind="class"), "target_kind must be one of 'auto'"),
        (lambda: Table("x", []), "target must name a column, got none"),
    ],
    ids=["image_size", "arrays", "table", "no target"],
)
def test_options_are_checked_before_a_file_is_read(make, message):
    with pytest.raises(ValueError, match=message):
        make()
