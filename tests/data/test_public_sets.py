"""Public data sets, on small files in their original formats."""

import hashlib
import pickle
import struct

import joblib
import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from sklearn import datasets as of_sklearn
from torchvision import datasets

from losslab.data.mnist import FashionMNIST
from losslab.data.photo_masks import OxfordPets, VOCSegmentation
from losslab.data.raw import IGNORED
from losslab.data.sklearn_sets import CaliforniaHousing, SklearnSet
from losslab.data.small_images import CIFAR10, SVHN

RNG = np.random.default_rng(0)


def ready(data):
    data.prepare_data()
    data.setup()
    return data


# --- scikit-learn's -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [("iris", 4, 3), ("wine", 13, 3), ("breast_cancer", 30, 2), ("diabetes", 10, 1)],
)
def test_tables_of_scikit_learn(name, inputs, outputs):
    bunch = getattr(of_sklearn, f"load_{name}")(return_X_y=False)
    data = ready(SklearnSet(name, standardize=False, standardize_targets=False))
    assert (data.input_shape, data.outputs) == ((inputs,), outputs)
    assert sum(data.sizes().values()) == len(bunch.target)
    assert data.target_kind == ("values" if name == "diabetes" else "classes")
    row = data.test_index[0]
    assert data.test.targets[0] == bunch.target[row]
    if name != "diabetes":  # whose numbers scikit-learn scales by default
        assert data.class_names == list(bunch.target_names)
        assert data.test.inputs[0].tolist() == pytest.approx(bunch.data[row].tolist())


def test_numbers_of_diabetes_are_in_their_own_units():
    data = ready(SklearnSet("diabetes", standardize=False))
    assert 18 < data.train.inputs[:, 0].mean() < 80  # years


def test_a_table_that_scikit_learn_does_not_include():
    with pytest.raises(ValueError, match="name must be one of 'iris', 'wine'"):
        SklearnSet("irs")


@pytest.fixture
def california(tmp_path):
    """Write a file as scikit-learn caches it: the value of a house, then the other columns."""
    table = RNG.uniform(1, 9, (50, 9))
    joblib.dump(table, tmp_path / "cal_housing_py3.pkz", compress=6)
    return tmp_path, table


def test_california_housing_is_read_from_the_cache(california):
    folder, table = california
    data = ready(CaliforniaHousing(data_dir=str(folder), download=False))
    assert (data.input_shape, data.target_kind) == ((8,), "values")
    assert sum(data.sizes().values()) == 50
    raw = data.load()
    assert raw.targets.tolist() == pytest.approx((table[:, 0] / 100_000).tolist())


def test_california_housing_that_is_damaged(tmp_path):
    (tmp_path / "cal_housing_py3.pkz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="must be scikit-learn's file, got an invalid") as caught:
        CaliforniaHousing(data_dir=str(tmp_path)).setup()
    assert "\n" not in str(caught.value)


# --- torchvision's ------------------------------------------------------------------------------


def of_file(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_fashion(root, monkeypatch):
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    parts = []
    for name, count in (("train", 40), ("t10k", 20)):
        images = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        head = struct.pack(">4i", 0x803, count, 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = struct.pack(">2i", 0x801, count)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
        parts.append((images[:, None], labels))
    return parts


def write_cifar10(root, monkeypatch):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    batches = []
    for name in names:
        images = RNG.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
        labels = [index % 10 for index in range(20)]
        content = {"data": images.reshape(20, -1), "labels": labels}
        (folder / name).write_bytes(pickle.dumps(content))
        batches.append((images, labels))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CIFAR10.names}))
    listed = [[name, of_file(folder / name)] for name in names]
    meta = datasets.CIFAR10.meta | {"md5": of_file(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", listed[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", listed[5:])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    *training, test = batches
    return [tuple(map(np.concatenate, zip(*training, strict=True))), test]


def write_svhn(root, monkeypatch):
    folder = root / "SVHN"
    folder.mkdir()
    parts, listed = [], {}
    for name, count in (("train", 40), ("test", 20)):
        images = RNG.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        labels = np.arange(count) % 10
        file = folder / f"{name}_32x32.mat"
        marks = np.where(labels == 0, 10, labels)[:, None]  # the file calls 0 ten
        scipy.io.savemat(file, {"X": images.transpose(2, 3, 1, 0), "y": marks})
        listed[name] = [datasets.SVHN.split_list[name][0], file.name, of_file(file)]
        parts.append((images, labels))
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    return parts


IMAGES = {
    FashionMNIST: (write_fashion, (1, 28, 28)),
    CIFAR10: (write_cifar10, (3, 32, 32)),
    SVHN: (write_svhn, (3, 32, 32)),
}


@pytest.mark.parametrize("cls", IMAGES, ids=lambda cls: cls.__name__)
def test_images_of_torchvision(cls, tmp_path, monkeypatch):
    write, shape = IMAGES[cls]
    training, test = write(tmp_path, monkeypatch)
    data = ready(cls(data_dir=str(tmp_path), download=False, val_fraction=0.25))
    assert data.input_shape == shape
    assert data.outputs == 10
    assert (data.train.size + data.val.size, data.test.size) == (len(training[1]), len(test[1]))
    assert sorted(data.test.targets.tolist()) == sorted(np.asarray(test[1]).tolist())
    row = int(data.test_index[0]) - len(training[1])
    pixels = test[0][row] / 255
    mean, sd = (np.reshape(each, (-1, 1, 1)) for each in (cls.mean, cls.sd))
    assert np.allclose(data.test.inputs[0].numpy() * sd + mean, pixels, atol=1e-6)
    assert data.test.targets[0] == test[1][row]


@pytest.mark.parametrize("cls", IMAGES, ids=lambda cls: cls.__name__)
def test_images_of_torchvision_that_are_damaged(cls, tmp_path, monkeypatch):
    IMAGES[cls][0](tmp_path, monkeypatch)
    (tmp_path / cls.place / cls.files[0]).write_bytes(b"not an image file")
    with pytest.raises(ValueError, match=f"must be {cls.full_name}'s, unpacked, got inv") as caught:
        cls(data_dir=str(tmp_path)).setup()
    assert "\n" not in str(caught.value)


def write_pairs(root, folders, values, palette):
    """Write five photographs, named a to e, with masks of two values beside a border."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
    for name in "abcde":
        image = Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))
        image.save(root / folders[0] / f"{name}.jpg")
        mask = np.full((20, 30), values[0], dtype=np.uint8)
        mask[:, 10:20], mask[:, 20:] = values[1:]
        drawn = Image.fromarray(mask)
        if palette:
            drawn = drawn.convert("P")
            drawn.putdata(mask.flatten())
            drawn.putpalette(bytes(range(256)) * 3)
        drawn.save(root / folders[1] / f"{name}.png")


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "oxford-iiit-pet"
    write_pairs(root, ("images", "annotations/trimaps"), (1, 3, 2), palette=False)
    (root / "annotations" / "trainval.txt").write_text("a 1 1 1\nb 2 1 1\nc 2 1 2\n")
    (root / "annotations" / "test.txt").write_text("#Image CLASS-ID\nd 1 1 1\ne 2 1 1\n")
    return tmp_path


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    write_pairs(root, ("JPEGImages", "SegmentationClass"), (15, 255, 0), palette=True)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nb\nc\n")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("d\ne\n")
    return tmp_path


def test_pets_and_their_borders(pets):
    data = ready(OxfordPets(data_dir=str(pets), image_size=30, val_fraction=0.34))
    assert (data.train.size, data.val.size, data.test.size) == (2, 1, 2)
    assert (data.outputs, data.class_names, data.ignores) == (1, ["background", "pet"], True)
    assert data.test.targets[0, 15, [5, 15, 25]].tolist() == [1, IGNORED, 0]
    assert data.train.inputs.mean() == pytest.approx(0, abs=1e-5)
    photograph = Image.open(pets / "oxford-iiit-pet" / "images" / "d.jpg").resize((30, 30))
    same = ready(OxfordPets(data_dir=str(pets), image_size=30, standardize=False))
    place = same.test_index.tolist().index(3)
    assert torch.equal(
        same.test.inputs[place], torch.from_numpy(np.array(photograph)).permute(2, 0, 1) / 255
    )


def test_voc_has_21_classes_and_ignores_255(voc):
    data = ready(VOCSegmentation(data_dir=str(voc), image_size=30, val_fraction=0.34))
    assert (data.train.size, data.val.size, data.test.size) == (2, 1, 2)
    assert (data.outputs, data.class_names[15]) == (21, "person")
    assert data.test.targets[0, 15, [5, 15, 25]].tolist() == [15, IGNORED, 0]


# --- without files ------------------------------------------------------------------------------

MISSING = {
    CaliforniaHousing: "California housing .* contains cal_housing_py3.pkz, or use data=diabetes",
    FashionMNIST: "the Fashion-MNIST files are not in .*FashionMNIST.raw, .* use data=digits",
    CIFAR10: "the CIFAR-10 files are not in .*cifar-10-batches-py, .* use data=digits",
    SVHN: "the SVHN files are not in .*SVHN, .* use data=digits",
    OxfordPets: "the Oxford-IIIT Pet files are not in .*pet, .* use data=segmentation",
    VOCSegmentation: "the Pascal VOC 2012 files are not in .*VOC2012, .* use data=segmentation",
}
LOADERS = {
    CaliforniaHousing: (of_sklearn, "fetch_california_housing"),
    FashionMNIST: (FashionMNIST, "reader"),
    CIFAR10: (datasets, "CIFAR10"),
    SVHN: (datasets, "SVHN"),
    OxfordPets: (datasets, "OxfordIIITPet"),
    VOCSegmentation: (datasets, "VOCSegmentation"),
}


@pytest.mark.parametrize("cls", MISSING, ids=lambda cls: cls.__name__)
def test_files_that_are_missing(cls, tmp_path, monkeypatch):
    def no_network(*args, **options):
        raise OSError("<urlopen error\n>")

    monkeypatch.setattr(*LOADERS[cls], no_network)
    for options, why in (({"download": False}, "downloads"), ({}, "could not be downloaded")):
        with pytest.raises(FileNotFoundError, match=MISSING[cls]) as caught:
            cls(data_dir=str(tmp_path), **options).prepare_data()
        assert why in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=MISSING[cls]):
        cls(data_dir=str(tmp_path)).setup()
