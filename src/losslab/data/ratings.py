"""Ratings of items by users, for recommendation: synthetic or read from MovieLens files."""

from abc import abstractmethod
from typing import NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.candidates import Rated, candidate_rows, training_rows
from losslab.data.files import Changes
from losslab.data.movielens import read_movielens, with_enough
from losslab.data.splits import TEST, TRAIN, VAL
from losslab.rng import Purpose, generator


class Ratings(NamedTuple):
    """Ratings, of which a user gives each item at most one."""

    user: NDArray[np.int64]
    """Number of the user, from 0, ``(n,)``."""
    item: NDArray[np.int64]
    rating: NDArray[np.float64]
    users: int
    """Number of users, whether or not they have ratings."""
    items: int
    noisy: NDArray[np.float64] | None = None
    """Ratings in the place of those that are in training."""
    time: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


class RatingOptions(Options, total=False):
    """Options of all ratings; see :class:`RatingData`."""

    threshold: float | None
    held_out: int
    rated: int
    negatives: int
    eval_users: int


class RatingData(InMemoryData):
    """Base class of ratings of items by users; subclasses return the ratings.

    Of each user, the last ``held_out`` ratings are in test and those before them in validation;
    without times they are drawn from the seed. A sample is a user with D items, whose numbers are
    the inputs, ``(n, 1 + D)`` int64, and the items' grades are the targets.

    - In training it has ``rated + negatives`` items: up to ``rated`` that the user rated, and
      others with grade 0, drawn uniformly from those that the user did not rate in training. A
      user with more ratings has several samples. All of this is drawn once per seed, so that all
      losses see the same items in the same batches.
    - In validation and test, a user is one sample with all items but those of the user's ratings
      in training (for test, in validation too). First come those that are held out, then the
      others in random order. Losses are evaluated on the first ``rated + negatives``, as many as
      in training, of which fewer are rated. Shorter samples are padded, see
      :class:`~losslab.data.kinds.Relevance`.

    Args:
        threshold: rating from which on an item is relevant to the user, grade 1, and not grade 0;
            ``None`` makes the rating itself the grade.
        held_out: number of ratings of each user in validation, and in test.
        rated: maximum number of rated items in a training sample.
        negatives: number of other items in a training sample; more if fewer are rated.
        eval_users: maximum number of users in validation and in test, which are drawn if there are
            more. Each is evaluated on all items.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Attributes, after ``setup``:
        seen_by_losses: ``rated + negatives``.
        sizes_of_embeddings: number of ``users`` and of ``items``.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if a user leaves too few items
            unrated.
    """

    sizes_of_embeddings: dict[str, int]

    def __init__(
        self,
        *,
        threshold: float | None = 4.0,
        held_out: int = 3,
        rated: int = 8,
        negatives: int = 8,
        eval_users: int = 2000,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        if threshold is not None:
            checks.require_number("threshold", threshold)
        checks.require_whole("held_out", held_out, 1)
        checks.require_whole("rated", rated, 1)
        checks.require_whole("negatives", negatives, 1)
        checks.require_whole("eval_users", eval_users, 1)
        if held_out >= rated + negatives:
            raise ValueError(
                f"held_out must be below rated + negatives = {rated + negatives}, got {held_out}"
            )
        self.threshold, self.held_out, self.eval_users = threshold, held_out, eval_users
        self.rated, self.seen_by_losses = rated, rated + negatives

    @abstractmethod
    def ratings(self) -> Ratings:
        """Return all ratings, read from a file or generated from ``self.data_seed``."""

    def load(self) -> Raw:
        """Return the ratings as samples (user, item), with their grades and splits."""
        ratings = self.ratings()
        self._require_unrated(ratings)
        fixed = self._split_of(ratings)
        rating = ratings.rating
        if ratings.noisy is not None:
            rating = np.where(fixed == TRAIN, ratings.noisy, rating)
        grade = rating if self.threshold is None else rating >= self.threshold
        self.sizes_of_embeddings = {"users": ratings.users, "items": ratings.items}
        return Raw(
            torch.from_numpy(np.stack([ratings.user, ratings.item], axis=1)),
            torch.from_numpy(grade.astype(np.float32)),
            target_kind="relevance",
            fixed=torch.from_numpy(fixed),
            redrawn=ratings.time is None,
            outputs=1,
            notes=ratings.notes,
        )

    def setup(self, stage: str | None = None) -> None:
        """Split the ratings and form the samples; a second call does nothing."""
        if self._ready:
            return
        super().setup(stage)
        train, val, test = (Rated.of(split) for split in (self.train, self.val, self.test))
        users, items = self.sizes_of_embeddings.values()
        self.train = training_rows(
            train,
            items,
            most_rated=self.rated,
            width=self.seen_by_losses,
            rng=self._rng(Purpose.NEGATIVES, TRAIN),
        )
        drawn = torch.randperm(users, generator=generator(self.data_seed, Purpose.EVAL_USERS))
        asked = drawn[: self.eval_users].sort().values
        self.test_index = asked
        chosen = asked.numpy()
        self.val = candidate_rows(chosen, val, train, items, self._rng(Purpose.NEGATIVES, VAL))
        known = Rated.of_both(train, val)
        self.test = candidate_rows(chosen, test, known, items, self._rng(Purpose.NEGATIVES, TEST))
        self.input_shape = tuple(self.train.inputs.shape[1:])
        self._count()
        self._contents += f"; {len(train.user)} ratings of {items} items by {users} users"

    def _split_of(self, ratings: Ratings) -> NDArray[np.int64]:
        """Return the split of each rating: the last of each user are test, then validation."""
        fixed = np.full(len(ratings.user), TRAIN)
        for part in (TEST, VAL):
            left = np.flatnonzero(fixed == TRAIN)
            if ratings.time is None:
                late = torch.rand(len(left), generator=self._rng(Purpose.RATING_SPLIT, part))
                order = left[np.lexsort((late.numpy(), ratings.user[left]))]
            else:
                order = left[np.lexsort((ratings.time[left], ratings.user[left]))]
            user = ratings.user[order]
            still_to_come = np.searchsorted(user, user, side="right") - np.arange(len(user))
            fixed[order[still_to_come <= self.held_out]] = part
        return fixed

    def _require_unrated(self, ratings: Ratings) -> None:
        most = int(np.bincount(ratings.user).max())
        if ratings.items - most < self.seen_by_losses:
            raise ValueError(
                f"each user must leave rated + negatives = {self.seen_by_losses} items unrated, "
                f"got a user with ratings of {most} of {ratings.items} items: lower data.negatives"
            )


class SyntheticRatings(RatingData):
    r"""Ratings from 1 to 5 by known factors of users and items.

    With :math:`p_u, q_i \sim N(0, I_r)` and :math:`s_{ui} = p_u^\top q_i / \sqrt r`, a rating is
    :math:`3 + 1.2\, s_{ui}`, rounded and cut to 1 to 5. A user rates the items with the largest

    .. math:: -a \log (i + 1) + b\, s_{ui} + g_{ui}, \quad g_{ui} \sim \mathrm{Gumbel}

    so that items are drawn without replacement with probability proportional to
    :math:`(i + 1)^{-a} e^{b s_{ui}}`: few items have most of the ratings, and users tend to rate
    what they like. Only training ratings are noisy.

    Args:
        users: number of users.
        items: number of items.
        rank: r, the number of factors.
        ratings: number of ratings per user.
        skew: a, the exponent of the items' popularity; 0 makes all equally popular.
        preference: b, how much users choose what they like; 0 for a choice at random.
        noise: standard deviation of the noise on :math:`s` for training ratings.
        options: options of :class:`RatingData`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = SyntheticRatings(users=50, items=60, ratings=20)
        >>> data.setup()
        >>> tuple(data.train.inputs.shape)  # 14 training ratings are two samples per user
        (100, 17)
        >>> tuple(data.test.inputs.shape)  # all items but 17, and the user
        (50, 44)
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        users: int = 400,
        items: int = 200,
        rank: int = 4,
        ratings: int = 30,
        skew: float = 0.7,
        preference: float = 1.0,
        noise: float = 0.0,
        **options: Unpack[RatingOptions],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("users", users, 10)
        checks.require_whole("items", items, 2)
        checks.require_whole("rank", rank, 1)
        checks.require_whole("ratings", ratings, 2 * self.held_out + 1)
        checks.require_number("skew", skew, 0)
        checks.require_number("preference", preference, 0)
        checks.require_number("noise", noise, 0)
        self.users, self.items, self.rank, self.per_user = users, items, rank, ratings
        self.skew, self.preference, self.noise = skew, preference, noise

    def ratings(self) -> Ratings:
        """Generate factors, and from them which items are rated, and how."""
        stream = generator(self.data_seed, Purpose.RATINGS)
        of_users, of_items = (
            torch.randn(count, self.rank, generator=stream) for count in (self.users, self.items)
        )
        scores = of_users @ of_items.T / self.rank**0.5
        gumbel = -torch.empty_like(scores).exponential_(generator=stream).log()
        popularity = -self.skew * torch.arange(1, self.items + 1).log()
        drawn = popularity + self.preference * scores + gumbel
        item = drawn.topk(min(self.per_user, self.items), dim=1).indices
        score = scores.gather(1, item).flatten()
        noise = torch.randn(score.shape, generator=generator(self.data_seed, Purpose.RATING_NOISE))
        user = torch.arange(self.users).repeat_interleave(item.shape[1])
        return Ratings(
            user.numpy(),
            item.flatten().numpy(),
            _rated(score),
            self.users,
            self.items,
            noisy=_rated(score + self.noise * noise),
        )


class MovieLens(RatingData):
    """Ratings in a file of MovieLens: ``ratings.csv``, ``ratings.dat`` or ``u.data``.

    A ``.csv`` file has a header with ``userId,movieId,rating`` and, if the last ratings of a user
    are to be held out, ``timestamp``; in ``ratings.dat`` these four are separated by ``::``, and in
    ``u.data`` by tabs, without a header. If a user has rated an item several times, the last rating
    counts.

    Args:
        path: path of the file, which may be compressed.
        core: number of ratings that each user and each item has at least; others are left out
            until this holds for those that stay.
        options: options of :class:`RatingData`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if an option is out of range, a line cannot be read, or no user is left.
    """

    def __init__(
        self,
        *,
        path: str,
        core: int = 10,
        **options: Unpack[RatingOptions],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("core", core, 2 * self.held_out + 1)
        self.path, self.core = path, core

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if the file does not exist."""
        checks.require_file(self.path, "a file of ratings")

    def ratings(self) -> Ratings:
        """Read the ratings, and leave out users and items with too few."""
        file = checks.require_file(self.path, "a file of ratings")
        changes = Changes()
        table = with_enough(read_movielens(file, changes), self.core, file, changes)
        users, items = (np.unique(table[name], return_inverse=True) for name in ("user", "item"))
        time = table["time"].to_numpy(dtype=np.float64) if "time" in table else None
        return Ratings(
            users[1],
            items[1],
            table["rating"].to_numpy(dtype=np.float64),
            len(users[0]),
            len(items[0]),
            time=time,
            notes=changes.notes(),
        )


def _rated(scores: torch.Tensor) -> NDArray[np.float64]:
    """Convert scores to ratings from 1 to 5."""
    rounded: NDArray[np.float64] = (3 + 1.2 * scores).round().clamp(1, 5).double().numpy()
    return rounded
