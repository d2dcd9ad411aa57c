"""The cost of runs that are trained together."""

import pytest
import torch

from losslab.lockstep.sweep import train_jobs
from losslab.runs.record import read_record

SMALL = ["model.hidden=[16]", "trainer.max_epochs=2"]
DIGITS = ["data=digits", "model=mlp", *SMALL]
EPISODES = ["loss=policy_gradient", *SMALL, "data.steps_per_epoch=300", "data.num_envs=2"]
EPISODES = [*EPISODES, "data.choice_episodes=5", "data.val_episodes=5", "data.test_episodes=5"]
FIELDS = {"loss_ms", "loss_mb", "step_ms", "run_mb"}


def costs_of(jobs) -> list[dict[str, float]]:
    records = [read_record(job.folder) for job in jobs]
    assert [record["status"] for record in records] == ["done"] * len(jobs)
    return [record["cost"] for record in records]


def test_a_loss_costs_in_a_stack_what_it_costs_alone(both):
    pairs, left = both(*DIGITS, "loss=cross_entropy,focal", "seed=0,1")
    assert not left
    alone, together = zip(
        *[[read_record(path)["cost"] for path in pair] for pair in pairs], strict=True
    )
    assert {frozenset(cost) for cost in (*alone, *together)} == {frozenset(FIELDS)}
    for one, other in zip(alone, together, strict=True):
        assert one["loss_mb"] == pytest.approx(other["loss_mb"], abs=1e-4)
    # seeds of one loss share its measurement
    assert together[0]["loss_ms"] == together[1]["loss_ms"] != together[2]["loss_ms"]


@pytest.mark.parametrize("overrides", [[*DIGITS, "loss=bce"], EPISODES], ids=["digits", "rl"])
def test_the_time_of_a_stack_is_divided_by_its_runs(jobs, overrides):
    stacked = jobs("stacked", *overrides, "seed=0,1,2")
    assert not train_jobs(stacked, workers=1)
    costs, records = costs_of(stacked), [read_record(job.folder) for job in stacked]
    assert [cost.keys() for cost in costs] == [FIELDS] * 3
    spent = sum(c["step_ms"] * r["steps"] / 1e3 for c, r in zip(costs, records, strict=True))
    assert 0 < spent < records[0]["seconds"]


def test_measuring_changes_no_result(jobs, monkeypatch):
    overrides = [*DIGITS, "model.dropout=0.5", "loss=cross_entropy,bce"]
    left = []
    for name in ("measured", "not measured"):
        torch.manual_seed(0)
        stacked = jobs(name, *overrides, "seed=0,1")
        train_jobs(stacked, workers=1)
        measured = name == "measured"
        assert all(("loss_ms" in cost) == measured for cost in costs_of(stacked))
        records = [read_record(job.folder) for job in stacked]
        results = [[record[key] for key in ("test", "best", "final")] for record in records]
        paths = [job.folder / "checkpoints" / "last.ckpt" for job in stacked]
        weights = [torch.load(path, weights_only=True)["state_dict"] for path in paths]
        left.append((results, weights, torch.get_rng_state()))
        monkeypatch.setattr("losslab.lockstep.rows.loss_cost", lambda make: {})
    assert left[0][0] == left[1][0]
    for one, other in zip(left[0][1], left[1][1], strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(left[0][2], left[1][2])


def test_runs_do_not_fail_for_their_cost(jobs, monkeypatch):
    monkeypatch.setattr("losslab.lockstep.loop.supervised_call", lambda *given: 1 / 0)
    stacked = jobs("stacked", *DIGITS, "loss=cross_entropy", "seed=0,1")
    train_jobs(stacked, workers=1)
    assert [cost.keys() for cost in costs_of(stacked)] == [{"step_ms", "run_mb"}] * 2
    for job in stacked:
        assert "cost of the loss was not measured" in (job.folder / "run.log").read_text()
