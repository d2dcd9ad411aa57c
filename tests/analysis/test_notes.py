"""The caveats of a comparison."""

from pathlib import Path

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection, Unreadable
from losslab.analysis.notes import comparison_notes, notes, tuning_notes, unreadable_notes
from losslab.analysis.search import Trial, Tuning
from losslab.metrics.labels import metric

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3]
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, 1.5]


def noted(runs, **options):
    [table] = compare(Collection(tuple(runs)), **options).tables
    return notes(table)


def test_nothing_to_note(sweep):
    assert noted(sweep({"mse": MSE, "mae": MAE})) == []


def test_failures_are_listed_with_their_reason(sweep):
    runs = sweep({"mse": [1.0, "diverged", "diverged", "running", "memory"], "mae": [1.0] * 5})
    assert noted(runs) == [
        "mse: 2 of 5 diverged, seed 1, 2 (diverged at step 7: mse gave nan)",
        "mse: 1 of 5 running, seed 3 (running)",
        "mse: 1 of 5 missing, seed 4 (memory at step 7: mse gave nan)",
    ]


def test_what_is_odd_about_a_loss_is_said_once_per_row(sweep):
    odd = {"estimates": "the mean", "warnings": ["the loss is inf for exact predictions", "b"]}
    runs = sweep({"mse": MSE}, loss_notes=odd) + sweep({"mae": MAE}, loss_notes={"warnings": []})
    assert noted(runs) == ["mse: the loss is inf for exact predictions", "mse: b"]


@pytest.mark.parametrize(
    ("settings", "record", "note"),
    [
        (
            {"optimizer.lr": 0.1},
            {},
            "the rows differ in more than the loss: optimizer.lr: 0.02 for mse; 0.1 for mae",
        ),
        ({}, {"epochs": 3}, "unequal epochs: mae 3, mse 20"),
        (
            {},
            {"hashes": {"weights": "x", "data": "data0", "batches": "y"}},
            "not paired: initial weights and batch order differ at the same seed",
        ),
        (
            {},
            {"hashes": {}},
            "possibly not paired: no hashes were recorded",
        ),
        (
            {},
            {"metrics_version": 1},
            "the runs use different definitions of the metrics (version 1 for mae; version 4 for "
            "mse): evaluate the older ones again before comparing them",
        ),
    ],
    ids=["a setting", "epochs", "not paired", "no hashes", "metrics"],
)
def test_what_is_not_equal_is_said(sweep, settings, record, note):
    runs = sweep({"mse": [2.0]}) + sweep({"mae": [1.0]}, settings=settings, **record)
    assert note in noted(runs)


def test_a_comparison_of_something_else_than_losses_is_called_so(sweep):
    runs = sweep({"mse": [1.0]}, settings={"optimizer.lr": 0.1}) + sweep({"mse": [1.0]})
    assert noted(runs) == [
        "all rows have the same loss and differ in: "
        "optimizer.lr: 0.1 for mse (optimizer.lr=0.1); 0.02 for mse (optimizer.lr=0.02)"
    ]


def test_cells_without_a_partner_are_named(sweep):
    runs = sweep({"mse": [1.0, 1.0, 1.0], "mae": [1.0, None, None]})
    assert noted(runs) == ["mae has no run with seed 1, 2"]


def test_a_metric_that_a_loss_does_not_define_is_no_gap(sweep):
    runs = sweep({"mse": MSE, "mae": MAE})
    for run in runs:
        if run.loss == "mae":
            del run.record["test"]["rmse"]
    assert noted(runs) == ["undefined for mae: rmse"]


def test_where_the_losses_scale_is_part_of_the_result(sweep):
    settings = {"optimizer._target_": "torch.optim.SGD", "choices.regularizer": "l2"}
    assert noted(sweep({"mse": MSE, "mae": MAE}, settings=settings)) == [
        "under SGD a loss's scale is part of its step size",
        "a regularizer's strength is relative to each loss's scale",
    ]
    assert noted(sweep({"mse": MSE}, settings=settings)) == []


def test_reinforcement_learning_is_paired_by_environment_alone(sweep):
    runs = sweep({"mse": MSE, "mae": MAE}, settings={"data.env_id": "Pole"})
    assert noted(runs) == [
        "paired by environment seed only, since the training data depend on the policy"
    ]


def test_the_best_of_many_rows_is_optimistic(sweep):
    four = {f"loss{index}": MSE for index in range(4)}
    assert noted(sweep(four)) == []
    assert noted(sweep(four | {"mae": MAE})) == [
        "the best of 5 rows was chosen by the values that are shown, so its mean is optimistic"
    ]


def test_metrics_that_may_have_been_chosen_afterwards(sweep):
    runs = sweep({"mse": MSE, "mae": MAE})
    assert noted(runs, primary_metrics=["mae"]) == []
    assert noted(runs, primary_metrics=["mae", "rmse"]) == [
        "primary metrics other than the task's mae: rmse; if they were chosen after looking at the "
        "results, the p-values are too small"
    ]


@pytest.mark.parametrize(
    ("curve", "note"),
    [
        ([3.0, 2.0, 1.9, 1.89, 1.895], None),
        ([3.0, 2.0, 1.9, 1.89, 1.885], None),
        ([5.0, 4.0, 3.0, 2.0], "mse: not converged, validation still improved in the last epochs"),
        ([2.0, 2.0, 2.0], "mse: validation mae of 6 of 6 runs stays at chance"),
    ],
    ids=["converged", "less than its spread", "improving", "constant"],
)
def test_training_that_decides_the_comparison(sweep, with_monitor, curve, note):
    runs = sweep({"mse": MSE, "mae": MAE})
    for run in runs:
        if run.loss == "mse":
            with_monitor(run, [value + run.seed / 100 for value in curve])
    assert noted(runs) == [note] * (note is not None)


def test_a_monitor_at_chance(sweep, with_monitor):
    settings = {"task.metrics": ["mae"], "task.monitor": "auroc", "task.mode": "max"}
    runs = sweep({"mse": MSE, "mae": MAE}, settings=settings)
    for run in runs:
        top = 0.505 if run.loss == "mse" and run.seed < 2 else 0.9
        with_monitor(run, [0.48, top, 0.49], "auroc")
    assert noted(runs) == ["mse: validation auroc of 2 of 6 runs stays at chance"]


def test_a_first_epoch_that_is_the_best(sweep):
    runs = sweep({"mse": MSE, "mae": MAE})
    for run in runs[:2]:
        run.record["best"]["epoch"] = 0
    note = "mse: the best epoch of 2 of 6 runs is the first; the learning rate may be too high"
    assert noted(runs) == [note]
    for run in runs:
        run.record["epochs"] = 1
    assert noted(runs) == []


def tuned(**values):
    """A tuning of losses, by the error they reach at the rates 0.001, 0.01 and 0.1."""
    trials = {
        loss: tuple(
            Trial(loss, point, {"optimizer.lr": rate}, {100: value}, (100,))
            for point, (rate, value) in enumerate(zip((0.001, 0.01, 0.1), errors, strict=True))
        )
        for loss, errors in values.items()
    }
    return Tuning(Path("x"), "tuned", 3, metric("mae"), (100,), (0, 1), {}, trials)


def test_a_winner_that_depends_on_the_learning_rate():
    assert tuning_notes(tuned(mse=[3.0, 2.0, 1.0], mae=[2.0, 1.5, 4.0])) == [
        "which loss is best depends on the learning rate: mae at low rates (0.001) and "
        "middle rates (0.01); mse at high rates (0.1)"
    ]
    assert tuning_notes(tuned(mse=[3.0, 2.0, 1.0], mae=[4.0, 4.0, 4.0])) == []


def test_notes_on_the_whole(collected, made_up, tmp_path):
    runs = collected({"mse": MSE, "mae": MAE, "huber": MSE}).runs
    collection = Collection(runs, (Unreadable(tmp_path, "no JSON"),), (made_up(),))
    comparison = compare(collection, split="val")
    assert unreadable_notes(comparison) == [f"cannot read {tmp_path}: no JSON"]
    assert comparison_notes(comparison) == [
        "1 run left out: repeated later with the same settings and seed",
        "these are validation metrics, which also chose the checkpoints",
        "p-values are corrected for 3 comparisons by Holm's method",
    ]


def test_a_claim_is_about_its_data_set(collected):
    lines = comparison_notes(compare(collected({"mse": MSE, "mae": MAE})))
    assert lines == ["These results hold for regression only."]
