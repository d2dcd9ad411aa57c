"""Ratings: which items each user is trained and evaluated on, and files of MovieLens."""

import gzip

import numpy as np
import pytest
import torch

from losslab.data.kinds import grades_of
from losslab.data.ratings import MovieLens, SyntheticRatings

SMALL = {"users": 30, "items": 60, "ratings": 21, "held_out": 2, "rated": 5, "negatives": 4}


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def rows(split):
    """Iterate over user, items and grades of the samples, without padding."""
    grades, counted = grades_of(split.targets)
    for sample, grade, known in zip(split.inputs, grades, counted, strict=True):
        yield int(sample[0]), sample[1:][known].tolist(), grade[known].tolist()


def rated_in_training(data):
    """Return the items of each user that are rated in training, by the order of a sample."""
    known = {}
    for user, items, _ in rows(data.train):
        known.setdefault(user, set()).update(items[: data.rated])
    return known


# --- synthetic ratings ----------------------------------------------------------------------------


def test_the_same_seed_has_the_same_samples():
    prints = [ready(SyntheticRatings(**SMALL, seed=seed)).fingerprint() for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]
    fixed = [ready(SyntheticRatings(**SMALL, seed=k, split_seed=7)).fingerprint() for k in (0, 1)]
    assert fixed[0] == fixed[1]


def test_each_user_is_evaluated_on_every_item_that_is_not_rated_before():
    # 17 training ratings fill three samples and two places of a fourth
    data = ready(SyntheticRatings(**SMALL | {"ratings": 19}, threshold=None))
    known = rated_in_training(data)
    assert {user: len(items) for user, items in known.items()} == dict.fromkeys(range(30), 15)
    for (user, val, val_grades), (same, test, test_grades) in zip(
        rows(data.val), rows(data.test), strict=True
    ):
        assert user == same
        assert sorted([*val, *known[user]]) == list(range(60))
        assert sorted([*test, *known[user], *val[:2]]) == list(range(60))
        for items, grades in ((val, val_grades), (test, test_grades)):
            assert min(grades[:2]) >= 1  # ratings
            assert max(grades[2:]) == 0
            assert len(set(items)) == len(items)
    assert data.test_index.tolist() == list(range(30))


def test_other_items_of_a_training_sample_are_distinct_and_not_rated():
    data = ready(SyntheticRatings(**SMALL | {"ratings": 21}, threshold=None))
    known = {}
    for user, items, grades in rows(data.train):
        known.setdefault(user, []).extend(each for each, g in zip(items, grades, strict=True) if g)
    assert {len(items) for items in known.values()} == {17}
    counts = []
    for user, items, grades in rows(data.train):
        others = [each for each, grade in zip(items, grades, strict=True) if not grade]
        counts.append(len(others))
        assert len(set(items)) == 9
        assert not set(others) & set(known[user])
    assert sorted(set(counts)) == [4, 7]  # the last sample of a user has two rated items


def test_held_out_items_can_be_drawn_as_others():
    """Leaving them out would tell training which items are in test."""
    data = ready(SyntheticRatings(**SMALL))
    held_out = {user: set(items[:2]) for user, items, _ in rows(data.test)}
    drawn = {user: set() for user in held_out}
    for user, items, _ in rows(data.train):
        drawn[user] |= set(items[data.rated :])
    assert any(drawn[user] & held_out[user] for user in drawn)


def test_the_first_items_of_an_evaluation_are_as_many_as_in_training():
    data = ready(SyntheticRatings(**SMALL))
    assert data.seen_by_losses == data.train.targets.shape[1] == 9
    assert grades_of(data.test.targets)[1][:, :9].all()
    drawn = [items[2:9] for _, items, _ in rows(data.test)]
    assert drawn != [sorted(items) for items in drawn]


@pytest.mark.parametrize("threshold", [4.0, None])
def test_a_threshold_makes_ratings_relevant(threshold):
    values = ready(SyntheticRatings(**SMALL, threshold=threshold)).train.targets.unique().tolist()
    assert values == ([0, 1] if threshold else [0, 1, 2, 3, 4, 5])


def test_noise_moves_training_ratings_alone():
    clean, noisy = (ready(SyntheticRatings(**SMALL, noise=noise)) for noise in (0.0, 2.0))
    assert torch.equal(clean.train.inputs, noisy.train.inputs)
    assert (clean.train.targets != noisy.train.targets).any()
    for part in ("val", "test"):
        assert torch.equal(getattr(clean, part).targets, getattr(noisy, part).targets)


def test_popularity_and_preference():
    """Items are drawn in proportion to (i + 1)^-skew exp(preference * score)."""
    options = {"users": 4000, "items": 20, "ratings": 3, "held_out": 1, "negatives": 1}
    even = SyntheticRatings(**options, skew=0, preference=0).ratings()
    np.testing.assert_allclose(np.bincount(even.item) / 4000, 3 / 20, atol=0.02)
    first = SyntheticRatings(**options | {"rated": 1}, skew=1, preference=0).ratings().item[::3]
    share = 1 / np.arange(1, 21) / (1 / np.arange(1, 21)).sum()
    np.testing.assert_allclose(np.bincount(first, minlength=20) / 4000, share, atol=0.02)
    liked = SyntheticRatings(**options, skew=0, preference=2).ratings()
    assert liked.rating.mean() > even.rating.mean() + 1


def test_factors_have_the_rank():
    data = SyntheticRatings(users=40, items=30, ratings=20, rank=2, negatives=2)
    ratings = data.ratings()
    table = np.full((40, 30), np.nan)
    table[ratings.user, ratings.item] = ratings.rating
    assert (np.isnan(table).sum(axis=1) == 10).all()
    assert data.fresh_per_seed
    assert ready(data).sampling == "fresh"


def test_users_are_drawn_if_there_are_many():
    data = ready(SyntheticRatings(**SMALL, eval_users=7))
    assert data.sizes() == {"train": 30 * 4, "val": 7, "test": 7}
    assert data.test.inputs[:, 0].tolist() == data.test_index.tolist()
    assert data.test_index.tolist() != list(range(7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": 9}, "users must be a whole number >= 10"),
        ({"ratings": 4}, "ratings must be a whole number >= 5, got 4"),
        ({"held_out": 9}, r"held_out must be below rated \+ negatives = 9, got 9"),
        ({"threshold": "high"}, "threshold must be a number, got 'high'"),
        ({"skew": -1.0}, "skew must be a number and >= 0"),
        ({"negatives": 0}, "negatives must be a whole number >= 1"),
        ({"items": 29}, "leave rated .* = 9 items unrated, got a user with ratings of 21 of 29"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ready(SyntheticRatings(**SMALL | options))


# --- files of MovieLens ---------------------------------------------------------------------------

HEADER = "userId,movieId,rating,timestamp\n"
OPTIONS = {"core": 5, "held_out": 2, "rated": 3, "negatives": 3}


def lines(separator=",", users=range(1, 15), rated=8):
    """Write ratings of 14 movies, each of 8 users; the later, the greater the movie's number."""
    return [
        separator.join(map(str, (user, movie, 1 + (user + movie) % 5, 880_000_000 + movie))) + "\n"
        for user in users
        for movie in [1 + (user + place) % 14 for place in range(rated)]
    ]


FILES = {
    "ratings.csv": [HEADER, *lines()],
    "ratings.dat": lines("::"),
    "u.data": lines("\t"),
}


@pytest.fixture
def movielens(tmp_path):
    def save(text, name="ratings.csv", **options):
        content = "".join(text).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return MovieLens(path=str(tmp_path / name), **OPTIONS | options)

    return save


@pytest.mark.parametrize("name", FILES)
def test_the_last_ratings_of_each_user_are_held_out(movielens, name):
    data = ready(movielens(FILES[name], name, threshold=None))
    assert data.describe().splitlines()[1].endswith("; 56 ratings of 14 items by 14 users")
    assert data.sampling == "fixed_test"
    for (user, val, val_grades), (_, test, test_grades) in zip(
        rows(data.val), rows(data.test), strict=True
    ):
        rated = sorted((user + 1 + place) % 14 for place in range(8))
        assert [sorted(val[:2]), sorted(test[:2])] == [rated[4:6], rated[6:]]
        for items, grades in ((val, val_grades), (test, test_grades)):
            # user 1 and movie 1 are number 0
            assert grades[:2] == [1 + (user + item + 2) % 5 for item in items[:2]]


def test_files_with_the_same_ratings_give_the_same_samples(movielens):
    files = {**FILES, "ratings.csv.gz": FILES["ratings.csv"]}
    assert len({ready(movielens(text, name)).fingerprint() for name, text in files.items()}) == 1


def test_columns_may_have_another_order_and_company(movielens):
    rest = [line.strip().split(",") for line in lines()]
    text = [f"{rating},{movie},a,{time},{user}\n" for user, movie, rating, time in rest]
    data = ready(movielens(["rating,movieId,tag,timestamp,userId\n", *text]))
    assert data.fingerprint() == ready(movielens(FILES["u.data"], "u.data")).fingerprint()


def test_names_may_stand_for_users_and_items(movielens):
    text = [f"u{line.replace(',', ',m', 1)}" for line in lines()]
    data = ready(movielens([HEADER, *text]))
    assert data.sizes_of_embeddings == {"users": 14, "items": 14}


def test_without_times_the_seed_says_what_is_held_out(movielens):
    text = [line.rpartition(",")[0] + "\n" for line in lines()]
    tested = {}
    for seed, of_test in ((0, None), (1, None), (0, 5), (1, 5)):
        data = ready(
            movielens(["userId,movieId,rating\n", *text], seed=seed, test_split_seed=of_test)
        )
        tested[seed, of_test] = [sorted(items[:2]) for _, items, _ in rows(data.test)]
        assert data.sampling == ("redrawn" if of_test is None else "fixed_test")
    assert tested[0, None] != tested[1, None]
    assert tested[0, 5] == tested[1, 5]


def test_users_and_items_with_few_ratings_are_left_out_and_told(movielens):
    """Movie 90 keeps four ratings, and without it user 70 has only four."""
    few = [f"{user},90,3,880000001\n" for user in (1, 2, 3, 70)]
    few += [f"70,{movie},3,88000000{movie}\n" for movie in range(1, 5)]
    data = ready(movielens([HEADER, *lines(), *few, *lines(users=[80], rated=3)]))
    assert data.notes == (
        "items with fewer than 5 ratings left out: 1 (first: item 90)",
        "users with fewer than 5 ratings left out: 2 (first: user 70)",
    )
    assert data.fingerprint() == ready(movielens(FILES["u.data"], "u.data")).fingerprint()


def test_the_last_rating_of_an_item_counts(movielens):
    earlier = [line.replace(",88", ",87") for line in lines(users=[1, 2])]
    data = ready(movielens([HEADER, *lines(), *earlier]))
    assert data.notes == ("earlier ratings of an item rated again left out: 16 (first: user 1)",)
    assert data.fingerprint() == ready(movielens(FILES["u.data"], "u.data")).fingerprint()


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("ratings.csv", "1,2,x,880000000", "must have numbers only .* got 'x' in line 3"),
        ("ratings.csv", "1,2,,880000000", "no missing values, got 1 in column 'rating', .* line 3"),
        ("ratings.csv", "1,2,-1,880000000", "line 3, must have a rating from 0 to 1000, got -1"),
        ("ratings.csv", "1,2,3,880000000,5", "line 3"),
        ("u.data", "1\t2\tx\t880000000", r"line 2, must be such as .* got '1\\t2\\tx"),
        ("u.data", "1\t2\t3", "line 2, must be such as"),
        ("u.data", "1\t2\t3\t4\t5", "line 2, must be such as"),
        ("u.data", "1\t2\tnan\t880000000", "line 2, must be such as"),
        ("ratings.dat", "1::2::2000::880000000", "line 2, must be .* with a rating from 0 to 1000"),
        ("ratings.dat", "1::2::3", "line 2, must be such as .*1::1193::5::978300760"),
    ],
)
def test_lines_that_cannot_be_read_right(movielens, name, line, message):
    text = list(FILES[name])
    text.insert(2 if name == "ratings.csv" else 1, line + "\n")
    with pytest.raises(ValueError, match=message) as caught:
        ready(movielens(text, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (["user,film,stars\n", "1,2,3\n"], {}, "must have the columns userId, movieId, rating, or"),
        (FILES["ratings.csv"], {"core": 9}, "users and items with 9 ratings each, got none"),
        (FILES["ratings.csv"], {"core": 4}, "core must be a whole number >= 5, got 4"),
        (FILES["ratings.csv"], {"negatives": 4}, "ratings of 8 of 14 items: lower data.negatives"),
    ],
)
def test_files_and_options_that_do_not_fit(movielens, text, options, message):
    with pytest.raises(ValueError, match=message):
        ready(movielens(text, **options))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="a file of ratings, found nothing"):
        MovieLens(path=str(tmp_path / "u.data")).prepare_data()
