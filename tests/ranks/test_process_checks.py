"""Runs that several processes cannot train are refused in one line, before anything is written."""

import pytest
from lightning_utilities.core.rank_zero import rank_zero_only

from kinds_of_run import RUNS, config_of
from losslab.config.errors import UserError
from losslab.ranks.place import enter, leave, place_in
from losslab.training import check
from two_ranks import TORCHRUN

TWO = ["trainer.devices=2", "trainer.strategy=ddp"]


@pytest.fixture
def started_by_torchrun(monkeypatch):
    for name in ("LOCAL_RANK", "NODE_RANK"):
        monkeypatch.setenv(name, "")
    # a Trainer makes its rank that of the process, which then writes no files
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    enter(place_in(TORCHRUN | {"RANK": "0"}))
    yield
    leave()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([*RUNS["episodes"], *TWO], "task=policy_gradient trains in one process, got 2 processes"),
        (
            [*RUNS["line"], "trainer.strategy=fsdp"],
            "trainer.strategy=fsdp divides the network, .* use trainer=ddp",
        ),
        ([*RUNS["line"], "trainer.strategy=deepspeed_stage_2"], "divides the network"),
        (
            [*RUNS["line"], *TWO, "+trainer.num_nodes=2"],
            "trainer.num_nodes=2 .* start the command with torchrun or srun",
        ),
        (
            ["data=digits", "loss=cross_entropy", "model._target_=small_networks.BatchNet", *TWO],
            "has batch normalization, which 2 processes would apply to parts .* use GPUs or",
        ),
    ],
    ids=["episodes", "fsdp", "deepspeed", "nodes", "batch normalization"],
)
def test_refused(given, words):
    with pytest.raises(UserError, match=words):
        check(config_of(*given))


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("auto", "torchrun started 4 processes, but trainer.strategy=auto is for one: add"),
        ("ddp_spawn", "torchrun started 4 processes, but trainer.strategy=ddp_spawn starts"),
    ],
)
def test_processes_that_were_started_for_another_strategy(started_by_torchrun, strategy, words):
    with pytest.raises(UserError, match=words):
        check(config_of(*RUNS["line"], f"trainer.strategy={strategy}"))


def test_started_processes_train_together(started_by_torchrun):
    check(config_of(*RUNS["line"], *TWO))  # on two nodes, whatever trainer.devices is
