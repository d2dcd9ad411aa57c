"""Samples of recommendation: a user with items, of which some are rated."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.data.batches import Split

Ints = NDArray[np.int64]


class Rated(NamedTuple):
    """Rated items with their grades, in order of the users."""

    user: Ints
    item: Ints
    grade: NDArray[np.float32]

    @classmethod
    def of(cls, split: Split) -> "Rated":
        """Sort a split of samples (user, item); the items of a user keep their order."""
        user, item = split.inputs.long().numpy().T
        order = np.argsort(user, kind="stable")
        return cls(user[order], item[order], split.targets.numpy()[order])

    @classmethod
    def of_both(cls, first: "Rated", second: "Rated") -> "Rated":
        """Join two splits."""
        user = np.concatenate([first.user, second.user])
        item = np.concatenate([first.item, second.item])
        grade = np.concatenate([first.grade, second.grade])
        order = np.argsort(user, kind="stable")
        return cls(user[order], item[order], grade[order])

    def by(self, user: int) -> slice:
        """Return where the items of a user are."""
        start, stop = np.searchsorted(self.user, [user, user + 1])
        return slice(start, stop)


def training_rows(
    rated: Rated, items: int, *, most_rated: int, width: int, rng: torch.Generator
) -> Split:
    """Form the training samples, see :class:`~losslab.data.ratings.RatingData`.

    Args:
        rated: the training ratings.
        items: number of items.
        most_rated: maximum number of rated items in a sample.
        width: number of items in a sample.
        rng: random generator for the other items.

    Returns:
        Inputs ``(n, 1 + width)``, user and items, and grades ``(n, width)``.
    """
    place = np.arange(len(rated.user)) - np.searchsorted(rated.user, rated.user)  # of the user's
    begins = place % most_rated == 0
    row = np.cumsum(begins) - 1
    user = rated.user[begins]
    chosen = _unrated(user, width, rated, items, rng)
    grades = np.zeros(chosen.shape, dtype=np.float32)
    chosen[row, place % most_rated] = rated.item
    grades[row, place % most_rated] = rated.grade
    return _split(user, chosen, grades)


def candidate_rows(
    users: Ints, held_out: Rated, known: Rated, items: int, rng: torch.Generator
) -> Split:
    """Form one sample per user of all items that are not known, those that are held out first.

    Args:
        users: the users.
        held_out: ratings of which the others are the candidates with grade 0.
        known: earlier ratings, whose items are left out.
        items: number of items.
        rng: random generator for the order of the other items.

    Returns:
        Inputs ``(n, 1 + D)``, user and items, and targets ``(n, D, 2)``: grades, and 0 for padding.
    """
    rows = []
    for user in users:
        own = held_out.by(user)
        other = np.ones(items, dtype=bool)
        other[known.item[known.by(user)]] = other[held_out.item[own]] = False
        rest = np.flatnonzero(other)
        rest = rest[torch.randperm(len(rest), generator=rng).numpy()]
        rows.append((np.concatenate([held_out.item[own], rest]), held_out.grade[own]))
    width = max(len(chosen) for chosen, _ in rows)
    padded = np.zeros((len(rows), width), dtype=np.int64)
    targets = np.zeros((len(rows), width, 2), dtype=np.float32)
    for row, (chosen, grades) in enumerate(rows):
        padded[row, : len(chosen)] = chosen
        targets[row, : len(grades), 0] = grades
        targets[row, : len(chosen), 1] = 1
    return _split(users, padded, targets)


def _unrated(user: Ints, width: int, rated: Rated, items: int, rng: torch.Generator) -> Ints:
    """Draw distinct items that the user of each row has not rated, ``(rows, width)``."""
    known = np.sort(rated.user * items + rated.item)
    drawn = torch.randint(items, (len(user), width), generator=rng).numpy()
    rows = np.arange(len(user))
    while len(rows):
        asked = user[rows, None] * items + drawn[rows]
        place = np.searchsorted(known, asked).clip(max=len(known) - 1)  # np.isin would sort again
        wrong = _repeated(drawn[rows]) | (known[place] == asked)
        rows, wrong = rows[wrong.any(axis=1)], wrong[wrong.any(axis=1)]
        again = torch.randint(items, wrong.shape, generator=rng).numpy()
        drawn[rows] = np.where(wrong, again, drawn[rows])
    return drawn


def _repeated(values: Ints) -> NDArray[np.bool_]:
    """Return which values stand in their row before."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    found = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(found, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return found


def _split(user: Ints, items: Ints, targets: NDArray[np.float32]) -> Split:
    inputs = np.concatenate([user[:, None], items], axis=1)
    return Split(torch.from_numpy(inputs), torch.from_numpy(targets))
