import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.data.splits import draw


def halves(**options):
    return {"val_fraction": 0.2, "test_fraction": 0.2, "seed": 0} | options


def test_every_sample_is_in_one_split():
    parts = draw(103, **halves())
    assert sorted(torch.cat(parts).tolist()) == list(range(103))
    assert [len(part) for part in parts] == [61, 21, 21]


@pytest.mark.parametrize(
    "labels",
    [torch.tensor([0] * 90 + [1] * 10), torch.arange(100) % 7, torch.arange(100) % 30],
    ids=["rare class", "uneven", "many classes"],
)
@pytest.mark.parametrize("seed", range(3))
def test_each_class_has_its_share_in_each_split(labels, seed):
    parts = draw(100, labels=labels, **halves(seed=seed))
    assert sorted(torch.cat(parts).tolist()) == list(range(100))
    total = torch.bincount(labels)
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        counts = torch.bincount(labels[part], minlength=len(total))
        assert (counts >= 1).all()
        assert ((counts - share * total).abs() <= 1).all()


def test_seed_decides_the_draw():
    assert all(map(torch.equal, draw(50, **halves(seed=4)), draw(50, **halves(seed=4))))
    assert not torch.equal(draw(50, **halves(seed=4))[0], draw(50, **halves(seed=5))[0])


def test_a_class_too_small_is_named():
    labels = torch.tensor([0] * 20 + [1] * 2)
    message = r"class 'rare' must have more than 2 samples to be divided into 3 splits, got 2"
    with pytest.raises(ValueError, match=message):
        draw(22, labels=labels, names=["common", "rare"], **halves())


@pytest.mark.parametrize(
    ("classes", "name", "advised"), [(12, "{}", True), (12, "c{}", False), (3, "{}", False)]
)
def test_classes_that_may_be_values_are_said_to_be(classes, name, advised):
    labels = torch.arange(classes)
    names = [name.format(label - 2) for label in range(classes)]
    with pytest.raises(ValueError, match="to be divided into 3 splits, got 1") as caught:
        draw(classes, labels=labels, names=names, **halves())
    assert ("add task=regression" in str(caught.value)) is advised


@given(
    groups=st.lists(st.integers(0, 30), min_size=3, max_size=120),
    classes=st.integers(1, 3),
    seed=st.integers(0, 5),
)
@settings(max_examples=80, deadline=None)
def test_no_group_lies_in_two_splits(groups, classes, seed):
    groups = torch.tensor(groups)
    labels = torch.arange(len(groups)) % classes
    try:
        parts = draw(len(groups), labels=labels, groups=groups, **halves(seed=seed))
    except ValueError as error:
        few = len(groups.unique()) < 3
        assert ("group must name >= 3 groups" in str(error)) is few  # noqa: PT017
        assert few or "the training split must hold each class" in str(error)  # noqa: PT017
        return
    assert sorted(torch.cat(parts).tolist()) == list(range(len(groups)))
    assert all(len(part) for part in parts)
    found = [set(groups[part].tolist()) for part in parts]
    assert not (found[0] & found[1] | found[0] & found[2] | found[1] & found[2])


def test_groups_are_divided_evenly_by_class():
    groups = torch.arange(600) // 6  # 100 groups of six, of which each is of one class
    labels = groups % 3
    parts = draw(600, labels=labels, groups=groups, **halves())
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        counts = torch.bincount(labels[part], minlength=3)
        assert ((counts - 200 * share).abs() <= 6).all()  # within one group


@pytest.mark.parametrize("seed", range(4))
def test_large_groups_are_assigned_before_small_ones(seed):
    """A large group that came last would no longer fit."""
    groups = torch.tensor([0] * 60 + list(range(1, 41)))
    parts = draw(100, groups=groups, **halves(seed=seed))
    assert [len(part) for part in parts] == [60, 20, 20]


def test_fixed_splits_are_kept():
    fixed = torch.tensor([0, 1, 2] * 10)
    train, val, test = draw(30, fixed=fixed, **halves())
    assert set(fixed[train].tolist()) == {0}
    assert set(fixed[val].tolist()) == {1}
    assert set(fixed[test].tolist()) == {2}


@pytest.mark.parametrize(
    ("kept", "drawn"), [(2, 1), (1, 2)], ids=["own test split", "own validation split"]
)
def test_what_is_not_fixed_is_drawn_from_training(kept, drawn):
    fixed = torch.tensor([0] * 80 + [kept] * 20)
    parts = draw(100, fixed=fixed, **halves())
    assert sorted(parts[kept].tolist()) == list(range(80, 100))
    assert len(parts[drawn]) == 16
    assert sorted(torch.cat(parts).tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": torch.tensor([1, 2] * 5)}, "the train split must hold samples"),
        (
            {"fixed": torch.tensor([0] * 6 + [1] * 2 + [2] * 2), "labels": torch.arange(10) // 8},
            "the training split must hold each class, got no sample of class 1",
        ),
        ({"groups": torch.tensor([0, 1] * 5)}, "group must name >= 3 groups, got 2"),
    ],
    ids=["no training", "class only in test", "few groups"],
)
def test_splits_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        draw(10, **halves(**options))


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ([7, 8, 7, 9, 9, 9], "train and val"),
        ([7, 8, 9, 9, 7, 7], "train and test"),
        ([9, 9, 7, 8, 7, 8], "val and test"),
    ],
    ids=["training and validation", "training and test", "validation and test"],
)
def test_fixed_splits_that_share_a_group_are_refused(groups, names):
    options = {"fixed": torch.tensor([0, 0, 1, 1, 2, 2]), "groups": torch.tensor(groups)}
    with pytest.raises(
        ValueError, match=rf"each group in one split, got \d groups in both {names}"
    ):
        draw(6, **halves(**options))


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [(None, [(0, 10, 10), (12, 4, 4)]), (torch.tensor([0, 0, 0, 2] * 10), None)],
    ids=["both splits drawn", "test given"],
)
def test_a_class_held_out_of_training(fixed, expected):
    labels = torch.arange(40) % 2
    parts = draw(40, labels=labels, fixed=fixed, held_out=[0], **halves())
    assert sorted(torch.cat(parts).tolist()) == list(range(40))
    counts = [tuple((labels[part] == label).sum().item() for part in parts) for label in (0, 1)]
    if expected is not None:
        assert counts == expected
    else:
        assert (labels[parts[2]] == 0).sum() == 0  # the test split holds what it was given
        assert counts[0] == (0, 20, 0)


def test_a_class_held_out_is_divided_by_the_fractions():
    labels = torch.arange(80) % 2
    parts = draw(80, labels=labels, held_out=[0], val_fraction=0.1, test_fraction=0.3, seed=0)
    counts = [tuple((labels[part] == label).sum().item() for part in parts) for label in (0, 1)]
    assert counts == [(0, 10, 30), (24, 4, 12)]
