"""The arguments of a sweep that adds seeds by itself."""

import pytest

from losslab.config.command import parse
from losslab.config.errors import UserError
from losslab.config.seeds_auto import LOOKS, split_looks

SWEEP = ["-m", "loss=mse,mae"]


def test_looks_are_no_overrides():
    command = parse([*SWEEP, "seeds=auto", "looks=[8, 16]"])
    assert command.looks == (8, 16)
    assert command.overrides == ["loss=mse,mae"]
    assert parse([*SWEEP, "seeds=auto"]).looks == LOOKS
    assert parse([*SWEEP, "seed=range(3)"]).looks == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seeds=range(8)"], "seeds= takes only auto; for given seeds write 'seed=range(8)'"),
        (["looks=[8,12]"], "looks=[8,12] needs seeds=auto"),
        (["seeds=auto", "seed=range(8)"], "seed=range(8): seeds=auto adds the seeds by itself"),
        (["seeds=auto", "looks=[12,8]"], "increasing"),
        (["seeds=auto", "looks=[8,8]"], "increasing"),
        (["seeds=auto", "looks=[1,8]"], "2 or more"),
        (["seeds=auto", "looks=[]"], "increasing"),
        (["seeds=auto", "looks=8,12"], "got 8,12"),
        (["seeds=auto", "looks=[8.5]"], "whole"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(UserError) as error:
        split_looks(arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_only_sweeps_add_seeds():
    with pytest.raises(UserError, match="add -m"):
        parse(["loss=mse", "seeds=auto"])
    with pytest.raises(UserError, match="remove seeds=auto"):
        parse(["resume=logs/sweeps/x", "seeds=auto"])
