"""The test split is carved out once; training and validation are drawn anew from the rest."""

import numpy as np
import pytest
import torch

from losslab.data import InMemoryData, Raw
from losslab.data.arrays import Arrays
from losslab.data.digit_sequences import DigitSequences
from losslab.data.digits import Digits
from losslab.data.digits_retrieval import DigitsRetrieval
from losslab.data.meshes import Meshes
from losslab.data.regression import Regression
from losslab.data.splits import draw

FRACTIONS = {"val_fraction": 0.2, "test_fraction": 0.2}


def ready(data):
    data.setup()
    return data


def sets(parts):
    return [set(part.tolist()) for part in parts]


LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": LABELS},
        {"groups": torch.arange(100) // 4},
        {"labels": LABELS, "groups": torch.arange(100) // 4},
        {"labels": LABELS, "held_out": [1]},
        {"labels": LABELS, "fixed": torch.tensor([0] * 9 + [1]).repeat(10)},
    ],
    ids=["plain", "classes", "groups", "groups and classes", "held out", "own validation"],
)
def test_only_the_test_split_stays(options):
    draws = [draw(100, **FRACTIONS, seed=seed, test_seed=5, **options) for seed in range(4)]
    for train, val, test in draws:
        assert test.tolist() == draws[0][2].tolist()  # in the same order, too
        assert sorted(torch.cat([train, val, test]).tolist()) == list(range(100))
    assert len({tuple(sorted(train.tolist())) for train, *_ in draws}) == (
        1 if "fixed" in options else 4
    )
    other = draw(100, **FRACTIONS, seed=0, test_seed=6, **options)
    assert set(other[2].tolist()) != set(draws[0][2].tolist())


@pytest.mark.parametrize("labels", [None, LABELS, torch.arange(100) % 7], ids=["none", "3", "7"])
def test_sizes_are_those_of_splits_that_are_all_redrawn(labels):
    classes = 1 if labels is None else len(labels.unique())
    redrawn, carved = (
        [len(part) for part in draw(100, labels=labels, **FRACTIONS, seed=0, test_seed=seed)]
        for seed in (None, 5)
    )
    assert redrawn[2] == carved[2]
    assert abs(redrawn[1] - carved[1]) <= classes / 2  # rounded per class


def test_groups_and_classes_are_respected():
    groups, labels = torch.arange(120) // 4, torch.arange(120) // 4 % 3
    for seed in range(3):
        parts = draw(120, labels=labels, groups=groups, **FRACTIONS, seed=seed, test_seed=1)
        owners = [set(groups[part].tolist()) for part in parts]
        assert sum(map(len, owners)) == 30
        assert torch.bincount(labels[parts[2]]).tolist() == [8, 8, 8]
    held_out = draw(100, labels=LABELS, held_out=[1], **FRACTIONS, seed=0, test_seed=1)
    assert [int((LABELS[part] == 1).sum()) for part in held_out] == [0, 15, 15]


def test_no_test_sample_is_ever_trained_on_or_validated():
    data = [ready(Digits(seed=seed, test_split_seed=0)) for seed in (0, 1, 1000)]
    splits = [sets(each.split_samples()) for each in data]
    assert {frozenset(test) for *_, test in splits} == {frozenset(data[0].test_index.tolist())}
    assert all(splits[0][2].isdisjoint(train | val) for train, val, _ in splits)
    assert len({each.fingerprint() for each in data}) == 3
    # of the three sets that version 0.1 drew, these share samples
    redrawn = [sets(Digits(seed=seed).split_samples()) for seed in (0, 1)]
    assert len(redrawn[0][2] & redrawn[1][0]) > 150


def test_what_the_record_says(blobs):
    carved = ready(blobs(test_split_seed=0))
    assert (ready(blobs()).sampling, carved.sampling) == ("redrawn", "fixed_test")
    assert carved.sizes() == {"train": 240, "val": 80, "test": 80}
    assert carved.test_index.tolist() == carved.test.inputs[:, 0].long().tolist()


def test_a_split_seed_keeps_the_other_splits_too(blobs):
    one, other = (ready(blobs(seed=seed, split_seed=3, test_split_seed=0)) for seed in (0, 1))
    assert one.fingerprint() == other.fingerprint()


def same_test(one, other):
    return all(map(torch.equal, one.test.tensors(), other.test.tensors()))


def test_distortions_of_test_images_stay():
    one, other = (ready(DigitsRetrieval(seed=seed, test_split_seed=0)) for seed in (0, 1))
    assert same_test(one, other)
    assert one.fingerprint() != other.fingerprint()


def test_test_rows_are_made_of_digits_of_their_own():
    one, other = (ready(DigitSequences(rows=100, seed=s, test_split_seed=0)) for s in (0, 1))
    assert one.sampling == "fixed_test"
    assert same_test(one, other)
    first, second = (sets(data.split_samples()) for data in (one, other))
    assert first[2] == second[2]
    assert first[2].isdisjoint(second[0] | second[1])
    assert first[1] != second[1]
    assert set.union(*first) == set(range(1797))
    redrawn = [sets(DigitSequences(rows=100, seed=seed).split_samples()) for seed in (0, 1)]
    assert not redrawn[0][2].isdisjoint(redrawn[1][0])


def test_clouds_of_test_meshes_stay(tmp_path):
    for number in range(10):
        corners = np.eye(3) * (number + 1)
        text = "".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "f 1 2 3\n"
        (tmp_path / f"{number}.obj").write_text(text)
    options = {"path": str(tmp_path), "clouds": 2, "points": 16, "test_split_seed": 0}
    one, other = (ready(Meshes(seed=seed, **options)) for seed in (0, 1))
    assert same_test(one, other)
    assert not torch.equal(one.train.inputs, other.train.inputs)


@pytest.mark.parametrize("seed", [-1, 0.5, "a"])
def test_a_seed_that_is_none(blobs, seed):
    with pytest.raises(ValueError, match="test_split_seed must be a whole number >= 0"):
        blobs(test_split_seed=seed)


def test_generated_data_have_nothing_to_carve():
    with pytest.raises(ValueError, match="must be null for data that are generated anew"):
        Regression(test_split_seed=3)


def test_a_test_split_of_the_files_stays(tmp_path):
    file = tmp_path / "own.npz"
    split = np.array([0, 0, 0, 1, 2] * 20)
    np.savez(file, inputs=np.arange(100.0), targets=np.arange(100) % 2, split=split)
    data = Arrays(str(file), test_split_seed=3)
    with pytest.raises(ValueError, match="must be null for data with a test split of their own"):
        data.setup()


def test_one_seed_draws_what_it_drew_without_the_option():
    class Numbers(InMemoryData):
        def load(self):
            return Raw(torch.arange(50.0).unsqueeze(1), torch.arange(50) % 2)

    drawn = draw(50, labels=torch.arange(50) % 2, **FRACTIONS, seed=3)
    data = ready(Numbers(seed=3))
    assert all(map(torch.equal, data.split_samples(), drawn))
    assert data.train.inputs[:, 0].tolist() == drawn[0].tolist()
