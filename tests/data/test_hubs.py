"""Tables of OpenML, and data sets that Hugging Face's library reads."""

import functools
import gzip
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from losslab.data import huggingface, openml
from losslab.data.files import Changes
from losslab.data.openml import OpenML

ARFF = """@RELATION credit
@ATTRIBUTE duration NUMERIC
@ATTRIBUTE purpose {car, tv}
@ATTRIBUTE row NUMERIC
@ATTRIBUTE class {good, bad}
@DATA
"""


@pytest.fixture
def credit(tmp_path):
    """Write data set 31 as scikit-learn caches what openml.org sends; return its folder."""
    openml._fetched.cache_clear()
    rows = [f"{'?' if row == 3 else row},{'car' if row % 3 else 'tv'},{row}," for row in range(60)]
    classes = ["good" if row % 2 else "bad" for row in range(60)]
    content = (ARFF + "\n".join(map("".join, zip(rows, classes, strict=True)))).encode()
    types = {"duration": "numeric", "purpose": "nominal", "row": "numeric", "class": "nominal"}
    features = [
        {
            "index": str(place),
            "name": name,
            "data_type": kind,
            "is_target": str(name == "class").lower(),
            "is_ignore": "false",
            "is_row_identifier": str(name == "row").lower(),
            "number_of_missing_values": "0",
        }
        for place, (name, kind) in enumerate(types.items())
    ]
    described = {
        "id": "31",
        "description": "Credits",
        "name": "credit",
        "version": "1",
        "format": "ARFF",
        "file_id": "7",
        "url": "https://api.openml.org/data/v1/download/7/credit.arff",
        "default_target_attribute": "class",
        "status": "active",
        "md5_checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }
    files = {
        "api/v1/json/data/31": {"data_set_description": described},
        "api/v1/json/data/features/31": {"data_features": {"feature": features}},
        "api/v1/json/data/qualities/31": {"data_qualities": {"quality": []}},
        "data/v1/download/7/credit.arff": content,
    }
    for name, each in files.items():
        file = tmp_path / "openml" / "openml.org" / f"{name}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            gzip.compress(each if isinstance(each, bytes) else json.dumps(each).encode())
        )
    return tmp_path


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def test_a_table_of_openml(credit):
    data = ready(OpenML(31, data_dir=str(credit)))
    assert data.class_names == ["bad", "good"]
    assert data.input_shape == (1 + 1 + 2,)  # without row, which OpenML marks
    assert [note.partition(":")[0] for note in data.notes] == [
        "missing numbers replaced by the median of training and marked in a column of their own",
        "columns of text encoded as categories",
    ]
    numbered = ready(OpenML(31, drop=["duration"], categories="ordinal", data_dir=str(credit)))
    assert numbered.input_shape == (1,)
    other = ready(OpenML(31, "purpose", data_dir=str(credit)))
    assert other.class_names == ["car", "tv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "price"}, "data set 31 of OpenML must have the column 'price', got duration"),
        ({"impute": "refuse"}, "31 of OpenML must have no missing values, got 1 in .* row 4:"),
        ({"impute": "mean"}, "impute must be one of"),
        ({"id": 0}, "id must be a whole number >= 1"),
    ],
)
def test_tables_of_openml_that_are_not_as_described(credit, options, message):
    with pytest.raises(ValueError, match=message):
        ready(OpenML(**{"id": 31, "data_dir": str(credit)} | options))


def test_openml_without_network(tmp_path, monkeypatch):
    def no_network(**options):
        raise OSError("<urlopen error>")

    openml._fetched.cache_clear()
    monkeypatch.setattr(openml, "fetch_openml", no_network)
    message = "data set 31 of OpenML is not in .*openml, and it could not be downloaded"
    with pytest.raises(FileNotFoundError, match=message) as caught:
        OpenML(31, data_dir=str(tmp_path)).prepare_data()
    assert "\n" not in str(caught.value)


# --- Hugging Face -------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path):
    """Return data of files in a folder, which the library reads like those of the hub."""
    pytest.importorskip("datasets", reason="extra: losslab[huggingface]")

    def call(target="y", **options):
        return ready(
            huggingface.HuggingFace(
                str(tmp_path / "files"), target, data_dir=str(tmp_path), **options
            )
        )

    (tmp_path / "files").mkdir()
    call.folder = tmp_path / "files"
    return call


def write_table(folder, **splits):
    for name, rows in splits.items():
        ages = [None if row == 1 else float(row) for row in range(rows)]
        towns = ["Oslo" if row % 3 else "Rome" for row in range(rows)]
        content = {"age": ages, "town": towns, "y": ["no", "yes"] * (rows // 2)}
        pd.DataFrame(content).to_csv(folder / f"{name}.csv", index=False)


def test_a_table_keeps_its_splits(hub):
    write_table(hub.folder, train=40, validation=10, test=12)
    data = hub()
    assert data.sizes() == {"train": 40, "val": 10, "test": 12}
    assert data.input_shape == (1 + 1 + 2,)
    assert data.class_names == ["no", "yes"]
    assert hub(input=["town"]).input_shape == (2,)


def test_images_with_their_classes(hub):
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 3)):
        for name in ("cat", "dog"):
            (hub.folder / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
                image.save(hub.folder / split / name / f"{number}.png")
    data = hub("label", image_size=16, standardize=False, val_fraction=0.25)
    assert data.input_shape == (3, 16, 16)
    assert data.class_names == ["cat", "dog"]
    assert data.sizes() == {"train": 12, "val": 4, "test": 6}
    assert 0 <= data.train.inputs.min() < 0.2
    assert 0.8 < data.train.inputs.max() <= 1
    assert hub("label", image_size=16, grayscale=True).input_shape == (1, 16, 16)


def test_images_are_converted_like_those_of_files():
    changes = Changes()
    read = functools.partial(huggingface._images, side=4, grayscale=False, changes=changes)
    assert (read([Image.new("RGBA", (4, 4))], 1) == 1).all()
    assert changes.notes() == ("transparent images laid on white: 1 (first: sample 0)",)
    with pytest.raises(ValueError, match="got none in sample 1"):
        read([Image.new("L", (4, 4)), None], 2)


def test_arrays_of_one_shape(hub):
    content = [{"code": [row, 2.5], "y": row % 2} for row in range(40)]
    (hub.folder / "train.jsonl").write_text("\n".join(map(json.dumps, content)))
    assert hub().input_shape == (2,)
    content[3]["code"] = [1.0]
    (hub.folder / "train.jsonl").write_text("\n".join(map(json.dumps, content)))
    huggingface._parts.cache_clear()
    huggingface._samples.cache_clear()
    with pytest.raises(ValueError, match="column 'code' must hold images or arrays of one shape"):
        hub()


def test_a_broken_file_is_named(hub):
    (hub.folder / "train.jsonl").write_text("{")
    with pytest.raises(ValueError, match="files cannot be read by datasets: ") as caught:
        hub()
    assert "\n" not in str(caught.value)


def test_splits_without_targets_are_left_out(hub):
    write_table(hub.folder, train=40)
    (hub.folder / "test.csv").write_text("age,town,y\n1,Oslo,\n2,Rome,\n")
    data = hub()
    assert data.sizes() == {"train": 24, "val": 8, "test": 8}
    assert "splits without targets left out: 1 (first: test)" in data.notes


@pytest.mark.parametrize(
    ("splits", "options", "message"),
    [
        ({"train": 20}, {"target": "z"}, "must have the column 'z', got age, town, y"),
        ({"train": 20}, {"input": ["age", "z"]}, "must have the column 'z', got age, town, y"),
        ({"test": 20}, {}, "must have a split train, got test"),
        ({"train": 20}, {"impute": "refuse"}, "no missing values, got 1 in .* sample 2:"),
        ({"train": 20}, {"subset": "other"}, "'other' not found"),
    ],
    ids=["target", "input", "split", "missing", "subset"],
)
def test_what_is_not_as_described(hub, splits, options, message):
    write_table(hub.folder, **splits)
    with pytest.raises(ValueError, match=message) as caught:
        hub(**options)
    assert "\n" not in str(caught.value)


def test_hugging_face_without_network(tmp_path, monkeypatch):
    def no_network(name):
        raise ConnectionError("Couldn't reach the Hub\n")

    monkeypatch.setattr(huggingface, "is_installed", lambda name: True)
    monkeypatch.setattr(huggingface, "import_module", no_network)
    data = huggingface.HuggingFace("user/name", "y", data_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"user/name is neither .* nor in .*huggingface"):
        data.prepare_data()


def test_hugging_face_needs_its_library(monkeypatch):
    monkeypatch.setattr(huggingface, "is_installed", lambda name: False)
    with pytest.raises(ValueError, match=r"datasets is not installed: .*\[huggingface\]"):
        huggingface.HuggingFace("user/name", "y")
