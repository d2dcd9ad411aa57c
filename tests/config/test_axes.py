"""Axes of a map: which values they have, and what is refused."""

import pytest

from losslab.config.axes import Axis, Span, takes_whole_numbers
from losslab.config.errors import UserError


def values(typed, *, whole=False):
    return Span.parsed("x", typed).axis(whole=whole).values


@pytest.mark.parametrize(
    ("typed", "whole", "expected"),
    [
        ("data.outliers:0:0.3:7", False, (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)),
        ("data.noise:0.01:1:3:log", False, (0.01, 0.1, 1)),
        # 50 * 40 ** (k / 5) for k from 0 to 5: 50, 104.6, 218.7, 457.3, 956.4, 2000
        ("data.n:50:2000:6:log", True, (50, 105, 219, 457, 956, 2000)),
        ("data.n:1:3:5", True, (1, 2, 3)),  # 1, 1.5, 2, 2.5, 3: equal ones are left out
        ("data.noise:1:1.0004:3", False, (1, 1.0002, 1.0004)),  # as many digits as it takes
    ],
)
def test_values(typed, whole, expected):
    assert values(typed, whole=whole) == expected


def test_the_ends_are_as_typed():
    assert values("optimizer.lr:0.0012345:0.98765:4:log")[::3] == (0.0012345, 0.98765)


def test_whole_numbers_are_integers_which_options_of_either_type_take():
    assert Axis("data.n", values("data.n:50:200:2", whole=True)).override == "data.n=50,200"
    assert Axis("data.outliers", values("data.outliers:0:0.3:2")).override == "data.outliers=0,0.3"


@pytest.mark.parametrize(
    ("key", "default", "whole"),
    [
        ("data.n", 1000, True),
        ("data.outliers", 0.0, False),
        ("data.max_episode_steps", None, True),  # or null
        ("trainer.limit_train_batches", 1.0, False),  # a number of batches, or a share
        ("data.an_option_of_yours", 3, True),
        ("data.an_option_of_yours", 3.0, False),
        ("data.an_option_of_yours", False, False),
    ],
)
def test_options_that_take_whole_numbers(key, default, whole):
    assert takes_whole_numbers(key, default) is whole


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "x must be OPTION:LOW:HIGH:STEPS"),
        ("data.n:1:2", "x must be OPTION:LOW:HIGH:STEPS"),
        ("data.n:1:2:3:lin", "x must be OPTION:LOW:HIGH:STEPS"),
        ("data n:1:2:3", "x must be OPTION:LOW:HIGH:STEPS"),
        ("data.n:a:2:3", "LOW and HIGH must be numbers, got a"),
        ("data.n:1:inf:3", "LOW and HIGH must be numbers, got inf"),
        ("data.n:2:2:3", "LOW must be below HIGH, got 2 and 2"),
        ("data.n:1:2:1", "STEPS must be a whole number >= 2, got 1"),
        ("data.n:1:2:2.5", "STEPS must be a whole number >= 2, got 2.5"),
        ("data.n:0:2:3:log", "must be > 0, got 0"),
        ("loss.delta:1:2:3", "all losses share, and not one of a loss"),
        ("paths.log_dir:1:2:3", "an axis is an option of data, model"),
        ("data:1:2:3", "an axis is an option of data, model"),
        ("data.split_seed:1:2:2", "an option that changes results"),
        ("data.num_workers:1:2:2", "an option that changes results"),
    ],
)
def test_what_is_refused(typed, reason):
    with pytest.raises(UserError) as refused:
        Span.parsed("x", typed)
    assert reason in str(refused.value)


def test_ends_of_whole_numbers_must_be_whole():
    with pytest.raises(UserError, match=r"x: data.n takes whole numbers, got 1.5"):
        values("data.n:1.5:3:3", whole=True)
