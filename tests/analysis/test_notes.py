"""The caveats of a comparison."""

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection, Unreadable
from losslab.analysis.notes import comparison_notes, notes, unreadable_notes

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3]
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, 1.5]


def noted(runs):
    [table] = compare(Collection(tuple(runs))).tables
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
            {"metrics_version": 2},
            "the runs use different definitions of the metrics (version 1 for mse; version 2 for "
            "mae): evaluate the older ones again before comparing them",
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
