"""Your own Datasets and DataModules."""

import random

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from losslab.config.errors import UserError
from losslab.data.dataset import FromDatasets
from losslab.data.dataset_source import LOOKED_AT
from losslab.data.digits import Digits
from losslab.data.streaming import StreamedInputs
from losslab.data_building import (
    OURS,
    build_data,
    data_errors,
    datasets_of,
    is_data_module,
    transforms,
)

N = 60


class Points(Dataset):
    """Points of three classes."""

    def __init__(self, n=N, noise=0.0, shift=0.0):
        self.n, self.noise, self.shift = n, noise, shift
        self.x = np.random.default_rng(0).normal(size=(n, 4)).astype("float32")

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        drawn = torch.randn(4) + np.random.rand() + random.random() if self.noise else 0.0
        return torch.from_numpy(self.x[index]) + self.shift + self.noise * drawn, index % 3


class Own(Points):
    """Points with a generator of their own."""

    def __getitem__(self, index):
        self.rng = getattr(self, "rng", None) or np.random.default_rng(0)
        return self.x[index] + self.rng.normal(), index % 3


class Masks(Dataset):
    """Images with masks."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        mask = rng.integers(0, 3, (6, 6))
        mask[0, 0] = 255
        return mask[None].astype("float32") / 255, mask


class Module(pl.LightningDataModule):
    """Splits of its own."""

    def __init__(self, n=N, batch_size=7):
        super().__init__()
        self.n, self.batch_size = n, batch_size

    def setup(self, stage=None):
        self.parts = [Points(self.n), Points(12, shift=1.0), Points(15, shift=2.0)]

    def train_dataloader(self):
        return DataLoader(self.parts[0], self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.parts[1], self.batch_size)

    def test_dataloader(self):
        return DataLoader(self.parts[2], self.batch_size)


def ready(dataset, **options):
    data = FromDatasets({"train": dataset}, batch_size=16, **options)
    data.setup()
    return data


def epoch(data, number=0, split="train"):
    batches = data.batches(getattr(data, split), shuffle=split == "train")
    batches.set_epoch(number)
    try:
        return [torch.cat(column) for column in zip(*batches, strict=True)]
    finally:
        data.close()


def build(name, **options):
    data = {"_target_": f"{__name__}.{name}", **options}
    config = OmegaConf.create({"seed": 0, "data": data, "choices": {"data": name}})
    with data_errors(config):
        built = build_data(config)
        built.setup()
    return built


@pytest.mark.parametrize("dataset", [Points(), Masks()], ids=["points", "masks"])
def test_streamed_items_are_those_in_memory_to_the_bit(dataset):
    kept, read = ready(dataset), ready(dataset, in_memory=False, num_workers=2)
    assert isinstance(read.train.inputs, StreamedInputs)
    for split in ("train", "val", "test"):
        for one, other in zip(epoch(kept, 1, split), epoch(read, 1, split), strict=True):
            assert torch.equal(one, other)
    assert kept.class_counts.tolist() == read.class_counts.tolist()
    assert kept.describe().splitlines()[:2] == read.describe().splitlines()[:2]


def test_mask_pixels_of_255_are_ignored():
    data = ready(Masks())
    assert data.ignores
    assert data.target_kind == "masks"
    assert data.outputs == 3
    assert (data.train.targets[:, 0, 0] == -100).all()


def test_random_items_follow_from_seed_epoch_and_sample():
    data = [ready(Points(noise=1.0), num_workers=workers) for workers in (0, 2)]
    first, second = (epoch(each, 1) for each in data)
    assert torch.equal(first[0], second[0])
    assert "since Points draws random numbers" in data[0].notes[0]
    order = data[0].train_dataloader().order
    assert not torch.equal(
        epoch(data[0], 1)[0][order(1).argsort()], epoch(data[0], 2)[0][order(2).argsort()]
    )
    other = ready(Points(noise=1.0), seed=1, split_seed=0, num_workers=0)
    order_of_other = other.train_dataloader().order
    assert not torch.equal(
        epoch(data[0], 1)[0][order(1).argsort()], epoch(other, 1)[0][order_of_other(1).argsort()]
    )
    assert torch.equal(epoch(data[0], 1, "val")[0], epoch(data[0], 2, "val")[0])
    assert data[0].fingerprint() == data[1].fingerprint()


def test_a_generator_of_its_own_is_refused():
    with pytest.raises(ValueError, match="sample 0 of Own differs each time it is read: draw"):
        ready(Own())


def test_items_may_have_a_weight_and_a_group_and_strings_as_targets():
    items = [(torch.randn(2), "ab"[place % 2], 1.0 + place, place // 4) for place in range(N)]
    data = ready(items)
    assert data.class_names == ["a", "b"]
    assert data.train.weights.min() >= 1
    groups = [{items[place][3] for place in part.tolist()} for part in data.split_samples()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]


def test_splits_of_a_module_are_kept():
    data = build("Module", n=30)
    assert data.sizes() == {"train": 30, "val": 12, "test": 15}
    assert data.batch_size == 64
    assert build("Module", n=30, batch_size=5).batch_size == 5
    assert data.sampling == "fixed_test"
    assert data.title == "Points"


def test_a_module_of_the_package_lightning_is_one_too():
    class LightningDataModule:  # it has this name, and is unrelated to that of pytorch_lightning
        train_dataloader = val_dataloader = test_dataloader = None

        def prepare_data(self):
            pass

        def setup(self, stage):
            pass

    class Theirs(LightningDataModule):
        def train_dataloader(self):
            return DataLoader(Points(N), 7)

    module = Theirs()
    assert is_data_module(module)
    assert datasets_of(module).keys() == {"train"}
    assert not is_data_module(Points(N))


def test_options_go_to_whom_they_belong():
    data = build("Points", n=30, val_fraction=0.5, test_options={"n": 9})
    assert data.sizes() == {"train": 15, "val": 15, "test": 9}
    assert "num_workers" in OURS
    assert "datasets" not in OURS


class Stream(IterableDataset):
    """No samples that can be divided."""

    def __iter__(self):
        yield 0


def lists():
    """Return what no Dataset is."""
    return {"x": 1}


class Broken(Module):
    """A DataModule that fails."""

    def setup(self, stage=None):
        raise FileNotFoundError("no index")


REFUSED = {
    "an unknown option": (
        ("Points", {"sise": 3}),
        r"'sise'.* Points has: n, noise, shift; losslab",
    ),
    "a stream": (("Stream", {}), "must be a torch Dataset with __len__ .* got Stream"),
    "a mapping": (("lists", {}), "must be a torch Dataset with __len__ .* got dict"),
    "a module": (("Module", {"test_options": {"n": 1}}), "test_options: Module has its own splits"),
    "a broken module": (("Broken", {}), r"Broken fails: FileNotFoundError: no index \(.*py:\d"),
    "no samples": (("Points", {"n": 0}), "Points must have samples, got none"),
    "augment": (("Points", {"augment": 3}), "augment must be a list of transforms, got 3"),
    "a transform": (("Points", {"augment": ["flip"]}), r"augment.0 must be options such as {_targ"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_dataset_is_refused_in_one_line(given, words):
    name, options = given
    with pytest.raises(UserError, match=words) as caught:
        build(name, **options)
    assert "\n" not in str(caught.value)


class Odd(Points):
    """Points of which one is odd."""

    def __init__(self, odd, in_place=7):
        super().__init__()
        self.odd, self.in_place = odd, in_place

    def __getitem__(self, index):
        if index != self.in_place:
            return super().__getitem__(index)
        if isinstance(self.odd, Exception):
            raise self.odd
        return self.odd


ODD = {
    "raises": (KeyError("x"), r"sample 7 of Odd cannot be read: KeyError: 'x' \(.*test_dataset.py"),
    "another shape": ((torch.zeros(3), 0), r"sample 7 of Odd has the shape \(3,\), others have"),
    "a mapping": ({"x": 1}, r"sample 7 of Odd must be \(input, target\).*, got dict"),
    "five parts": ((1, 2, 3, 4, 5), r"sample 7 of Odd must be .*, got tuple of 5"),
    "a text": (("abc", 0), "input of sample 7 of Odd must be a tensor .*, got str"),
    "NaN": ((torch.full((4,), torch.nan), 0), "sample 7 of Odd must hold finite numbers"),
    "a vector": ((torch.zeros(4), torch.zeros(2)), r"sample 7 of Odd has a target of shape \(2,\)"),
    "a matrix": ((torch.zeros(4), torch.zeros(2, 2)), r"target of sample 7 of Odd must be a class"),
    "a weight": ((torch.zeros(4), 0, 1.0), "sample 7 of Odd has 3 parts, others have 2"),
}


@pytest.mark.parametrize(("odd", "words"), ODD.values(), ids=ODD)
def test_an_odd_item_is_named(odd, words):
    with pytest.raises(ValueError, match=words):
        ready(Odd(odd), in_memory=False)


def test_a_worker_names_an_odd_item_too():
    dataset = Odd(KeyError("x"), 150)
    dataset.n, dataset.x = 300, np.zeros((300, 4), dtype="float32")
    with pytest.raises(ValueError, match="sample 150 of Odd cannot be read: KeyError"):
        ready(dataset, num_workers=2)


def test_loaders_without_validation_leave_it_to_be_drawn():
    class Train(pl.LightningDataModule):
        def train_dataloader(self):
            return DataLoader(Subset(Points(), range(30)))

    assert list(datasets_of(Train())) == ["train"]


def shout(image, factor):
    """Return an image times a factor."""
    return image * factor


def test_transforms_of_a_list_of_names_and_of_functions():
    flip = {"_target_": "torchvision.transforms.v2.RandomHorizontalFlip", "p": 1.0}
    assert [each.p for each in transforms([flip])] == [1.0]
    assert [each.p for each in transforms({"flip": flip, "none": None})] == [1.0]
    [own] = transforms([{"_target_": f"{__name__}.shout", "factor": 3}])
    assert own(torch.ones(1)).item() == 3


class Wrong(Masks):
    """Masks of which one does not fit its image."""

    def __getitem__(self, index):
        image, mask = super().__getitem__(index)
        return image, mask if index != 5 else np.zeros((6, 7), dtype=int)


class Weighted(Points):
    """Points of which one has two weights."""

    def __getitem__(self, index):
        return *super().__getitem__(index), np.ones(1 if index != 4 else 2)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_mask_of_another_size_is_named_before_training(in_memory):
    with pytest.raises(ValueError, match=r"sample 5 of Wrong has a mask of shape \(6, 7\)"):
        ready(Wrong(), in_memory=in_memory)


def test_several_weights_of_a_sample_are_named():
    with pytest.raises(ValueError, match=r"the weight of sample 4 of Weighted must be one value"):
        ready(Weighted())


def test_samples_are_read_once_more_than_they_are_looked_at(monkeypatch):
    read = []
    item = Points.__getitem__
    monkeypatch.setattr(Points, "__getitem__", lambda self, i: read.append(i) or item(self, i))
    ready(Points(20), num_workers=0)
    assert len(read) == 1 + 2 * LOOKED_AT + 20


def digits():
    return Digits(batch_size=9)


def test_options_that_a_function_does_not_take_are_refused():
    assert build("digits").batch_size == 9
    message = r"digits returns data of losslab, whose options .*: leave out data.label_noise"
    with pytest.raises(UserError, match=message):
        build("digits", label_noise=0.3)
    with pytest.raises(UserError, match=r"leave out data\.test_options"):
        build("digits", test_options={"n": 3})
