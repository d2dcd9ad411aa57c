"""Runs that several processes cannot train are refused in one line, before anything is written."""

import pytest
from lightning_utilities.core.rank_zero import rank_zero_only

from kinds_of_run import RUNS, config_of
from losslab.config.errors import UserError
from losslab.ranks.place import enter, leave, place_in
from losslab.training import check
from two_ranks import TORCHRUN

TWO = ["trainer.devices=2", "trainer.strategy=ddp"]
DIVIDED = ["trainer=fsdp", "trainer.accelerator=cpu"]
ZERO = ["trainer=deepspeed", "trainer.accelerator=cpu"]
BATCH_NET = "small_networks.BatchNet"


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
            [*RUNS["line"], "trainer.strategy=fsdp_cpu_offload"],
            "trainer.strategy=fsdp_cpu_offload .* has not been tried .* use trainer=fsdp",
        ),
        (
            [*RUNS["line"], "trainer.strategy=deepspeed_stage_2"],
            "trainer.strategy=deepspeed_stage_2 .* has not been tried .* or trainer=deepspeed",
        ),
        (
            [*RUNS["generated"], *DIVIDED],
            "task=generation has its own training step, .* trainer=fsdp: use trainer=ddp",
        ),
        (
            [*RUNS["episodes"], *DIVIDED, "trainer.devices=1"],
            "task=policy_gradient has its own training step, .* trainer=fsdp: use trainer=auto",
        ),
        (
            ["data=digits", "loss=cross_entropy", f"model._target_={BATCH_NET}", *DIVIDED],
            "has batch normalization, which trainer=fsdp would apply to parts of a batch",
        ),
        ([*RUNS["line"], *DIVIDED, "compile=true"], "compile=true .* trainer=fsdp"),
        (
            [*RUNS["line"], *DIVIDED, "component_gradients=true"],
            "component_gradients=true .* trainer=fsdp",
        ),
        (
            [*RUNS["line"], *DIVIDED, "trainer.precision=16-true"],
            "trainer.precision=16-true .* trainer=fsdp",
        ),
        (
            [*RUNS["line"], *TWO, "+trainer.num_nodes=2"],
            "trainer.num_nodes=2 .* start the command with torchrun or srun",
        ),
        (
            [*RUNS["line"], "trainer.devices=999", "trainer.strategy=ddp"],
            "trainer.devices=999 would start 999 processes on .* cores: give at most",
        ),
        (
            ["data=digits", "loss=cross_entropy", f"model._target_={BATCH_NET}", *TWO],
            "has batch normalization, which 2 processes would apply to parts .* use GPUs or",
        ),
    ],
    ids=[
        "episodes",
        "fsdp of Lightning",
        "deepspeed",
        "divided: adversarial",
        "divided: episodes",
        "divided: batch normalization",
        "divided: compiled",
        "divided: components",
        "divided: half precision",
        "nodes",
        "more processes than cores",
        "batch normalization",
    ],
)
def test_refused(given, words):
    with pytest.raises(UserError, match=words):
        check(config_of(*given))


@pytest.mark.parametrize(
    "given",
    [
        "compile=true",
        "trainer.precision=64-true",
        "trainer.precision=bf16-true",
        "trainer.accumulate_grad_batches=2",
        "+trainer.gradient_clip_algorithm=value",
        "optimizer._target_=torch.optim.RMSprop",
    ],
)
def test_refused_with_deepspeed(given, monkeypatch):
    monkeypatch.setattr("losslab.process_checks.is_installed", lambda _: True)
    dropped = ["~optimizer.momentum", "~optimizer.nesterov", "~optimizer.fused"]
    others = ["optimizer=sgd", *dropped] if given.startswith("optimizer") else []
    with pytest.raises(UserError, match=f"{given.strip('+').lower()} .* trainer=deepspeed: use"):
        check(config_of(*RUNS["line"], *ZERO, *others, given))


def test_adversarial_losses_are_refused_with_deepspeed(monkeypatch):
    monkeypatch.setattr("losslab.process_checks.is_installed", lambda _: True)
    with pytest.raises(
        UserError, match=r"own training step, .* trainer=deepspeed: use trainer=ddp"
    ):
        check(config_of(*RUNS["generated"], *ZERO))


def test_deepspeed_is_not_installed(monkeypatch):
    monkeypatch.setattr("losslab.process_checks.is_installed", lambda _: False)
    words = r"trainer=deepspeed: deepspeed is not installed: pip install .*\[deepspeed\]'"
    with pytest.raises(UserError, match=words):
        check(config_of(*RUNS["line"], *ZERO))


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
