"""Random, stratified or grouped splits into training, validation and test."""

import re
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from losslab.rng import Purpose, generator

TRAIN, VAL, TEST = 0, 1, 2
NAMES = ("train", "val", "test")

MANY = 10
"""Number of classes called by numbers above which they may be values."""
_WHOLE = re.compile(r"-?\d+")


def draw(
    samples: int,
    *,
    labels: Tensor | None = None,
    groups: Tensor | None = None,
    fixed: Tensor | None = None,
    held_out: Sequence[int] = (),
    val_fraction: float,
    test_fraction: float,
    seed: int,
    test_seed: int | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the indices of the training, validation and test split, each in random order.

    Args:
        samples: number of samples.
        labels: class indices ``(n,)``, to stratify by.
        groups: group indices ``(n,)``; the samples of a group stay in the same split.
        fixed: 0, 1 or 2 per sample, to assign it to training, validation or test. A split without
            samples is drawn from the training samples.
        held_out: classes to exclude from training: their samples are divided among the splits that
            are drawn, in proportion to their fractions.
        val_fraction: fraction of the samples to be divided that goes to validation.
        test_fraction: fraction of them that goes to test.
        seed: random seed.
        test_seed: seed of the test split, to keep it while ``seed`` divides the other samples anew.
        names: names of the classes for messages.

    Raises:
        ValueError: if a class has too few samples, there are too few groups, or fixed splits share
            a group.

    Example:
        >>> train, val, test = draw(10, val_fraction=0.2, test_fraction=0.2, seed=0)
        >>> len(train), len(val), len(test)
        (6, 2, 2)
    """
    place = torch.zeros(samples, dtype=torch.int64) if fixed is None else fixed.clone()
    shares = {VAL: val_fraction, TEST: test_fraction}
    divided = partial(_divided, labels=labels, groups=groups, held_out=held_out, names=names)
    test_rng = None if test_seed is None else generator(test_seed, Purpose.TEST_SPLIT)
    if test_rng is not None:
        place[divided(place, shares, test_rng) == TEST] = TEST
        shares[VAL] /= 1 - test_fraction  # of the samples that are left
    rng = generator(seed, Purpose.SPLIT)
    place = divided(place, shares, rng)
    _require_samples(place)
    if groups is not None:
        _require_separate_groups(place, groups)
    if labels is not None:
        seen = labels[~torch.isin(labels, torch.tensor(held_out, dtype=labels.dtype))]
        _require_each_class(labels[place == TRAIN], seen, names)
    order = torch.randperm(samples, generator=rng)
    train, val, test = (order[place[order] == part] for part in (TRAIN, VAL, TEST))
    if test_rng is not None:
        order = torch.randperm(samples, generator=test_rng)
        test = order[place[order] == TEST]
    return train, val, test


def _divided(
    place: Tensor,
    shares: dict[int, float],
    rng: torch.Generator,
    *,
    labels: Tensor | None,
    groups: Tensor | None,
    held_out: Sequence[int],
    names: Sequence[str] | None,
) -> Tensor:
    """Draw the splits without samples from those of training; return the split of each sample."""
    place = place.clone()
    open_splits = [part for part in (VAL, TEST) if not bool((place == part).any())]
    members = (place == TRAIN).nonzero().flatten()
    if open_splits and len(members):
        drawn = [shares[part] for part in open_splits]
        shares_of_members = [1 - sum(drawn), *drawn]
        if groups is not None:
            chosen = _by_group(_pick(labels, members), groups[members], shares_of_members, rng)
        else:
            chosen = _by_class(_pick(labels, members), len(members), shares_of_members, rng, names)
        place[members] = torch.tensor([TRAIN, *open_splits])[chosen]
    if held_out and labels is not None:
        hidden = ((place == TRAIN) & torch.isin(labels, torch.tensor(held_out))).nonzero().flatten()
        open_shares = [shares[part] / sum(shares.values()) for part in open_splits]
        chosen = _by_class(labels[hidden], len(hidden), open_shares, rng, names)
        place[hidden] = torch.tensor(open_splits)[chosen]
    return place


def _pick(labels: Tensor | None, members: Tensor) -> Tensor | None:
    return None if labels is None else labels[members]


def _by_class(
    labels: Tensor | None,
    samples: int,
    shares: list[float],
    rng: torch.Generator,
    names: Sequence[str] | None,
) -> Tensor:
    """Assign each sample to a split, stratified by class, with at least one sample per class."""
    chosen = torch.zeros(samples, dtype=torch.int64)
    present = [0] if labels is None else _distinct(labels).tolist()
    for label in present:
        members = torch.arange(samples) if labels is None else (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=rng)]
        sizes = [max(1, round(len(members) * share)) for share in shares[1:]]
        if len(members) <= sum(sizes):
            what = "the data" if labels is None else f"class {_name(label, names)}"
            raise ValueError(
                f"{what} must have more than {sum(sizes)} samples to be divided into "
                f"{len(shares)} splits, got {len(members)}{_advice(names)}"
            )
        sizes = [len(members) - sum(sizes), *sizes]
        for part, block in enumerate(members.split(sizes)):
            chosen[block] = part
    return chosen


def _by_group(
    labels: Tensor | None, groups: Tensor, shares: list[float], rng: torch.Generator
) -> Tensor:
    """Assign each sample to a split, keeping groups whole and classes as balanced as possible.

    The algorithm is greedy: each group, large ones first, goes to the split that lacks most samples
    of its classes.
    """
    which = _distinct(groups)
    group_of = torch.searchsorted(which, groups)
    if len(which) < len(shares):
        raise ValueError(f"group must name >= {len(shares)} groups, got {len(which)}")
    if labels is None:
        labels = torch.zeros_like(group_of)
    counts = torch.zeros(len(which), int(labels.max()) + 1)
    counts.index_put_((group_of, labels), torch.ones(len(labels)), accumulate=True)
    shuffled = torch.randperm(len(which), generator=rng)
    by_size = counts[shuffled].sum(1).argsort(descending=True, stable=True)
    lacking = torch.tensor(shares).unsqueeze(1) * counts.sum(0)
    split_of = torch.full((len(which),), -1)
    for done, group in enumerate(shuffled[by_size].tolist()):
        empty = [part for part in range(len(shares)) if not bool((split_of == part).any())]
        choice = lacking @ counts[group]
        if len(which) - done <= len(empty):  # the last groups fill empty splits
            choice[[part for part in range(len(shares)) if part not in empty]] = -torch.inf
        split_of[group] = int(choice.argmax())
        lacking[split_of[group]] -= counts[group]
    return split_of[group_of]


def _require_samples(place: Tensor) -> None:
    for part, name in enumerate(NAMES):
        if not bool((place == part).any()):
            raise ValueError(f"the {name} split must hold samples, got none of {len(place)}")


def _require_separate_groups(place: Tensor, groups: Tensor) -> None:
    for first, second in ((TRAIN, VAL), (TRAIN, TEST), (VAL, TEST)):
        both = _distinct(groups[place == first])
        both = both[torch.isin(both, groups[place == second])]
        if len(both):
            raise ValueError(
                f"split must keep each group in one split, got {len(both)} groups in both "
                f"{NAMES[first]} and {NAMES[second]}"
            )


def _require_each_class(training: Tensor, labels: Tensor, names: Sequence[str] | None) -> None:
    present = _distinct(labels)
    missing = present[~torch.isin(present, training)].tolist()
    if missing:
        raise ValueError(
            "the training split must hold each class, got no sample of class "
            + ", ".join(_name(label, names) for label in missing)
        )


def _distinct(values: Tensor) -> Tensor:
    """Return the sorted distinct values."""
    return torch.unique(values)  # type: ignore[no-any-return]


def _advice(names: Sequence[str] | None) -> str:
    """Advise the other task if classes could be values: many whole numbers."""
    numbers = len(names or ()) > MANY and all(map(_WHOLE.fullmatch, names or ()))
    return ". If the targets are values, add task=regression" if numbers else ""


def _name(label: int, names: Sequence[str] | None) -> str:
    return repr(names[label]) if names else str(label)
