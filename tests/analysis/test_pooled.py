"""Pooling over data sets: from runs to conclusions, and that each says what the numbers say."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from losslab.analysis.comparison import compare
from losslab.analysis.generalization import corrected_t
from losslab.analysis.load import Collection
from losslab.analysis.overall import overall, overall_answer, overall_conclusions
from losslab.analysis.pooled import pooled_pairs, unit_of
from losslab.analysis.statistics import sign_flip_p
from losslab.metrics.labels import metric

MSE = [2.0, 2.5, 2.2]
MAE = [1.0, 1.4, 1.3]
SIZES = {"train": 600, "val": 200, "test": 200}
SCOPE = "pooled conclusions are about the mean over these data sets, not about other data sets, "


@pytest.fixture
def on(sweep):
    """Makes runs on a data set of this name."""

    def runs(data, maes, settings=None, **record):
        found = sweep(maes, settings={"choices.data": data} | (settings or {}), **record)
        for run in found:
            run.record["hashes"]["data"] = f"{data}{settings}{run.seed}"
        return found

    return runs


def pooled(*runs, **options):
    return pooled_pairs(compare(Collection(tuple(run for each in runs for run in each)), **options))


def said(*runs, **options):
    return overall_conclusions(
        compare(Collection(tuple(run for each in runs for run in each)), **options)
    )


def scaled(values, factor):
    return [factor * value if isinstance(value, float) else value for value in values]


def test_two_data_sets_show_what_neither_shows_alone(on):
    lines = said(on("one", {"mse": MSE, "mae": MAE}), on("two", {"mse": MSE, "mae": MAE}))
    assert lines == [
        "mae is better than mse on average over these 2 data sets: mean absolute error -57.7 % "
        "[-63.5, -51.9], p = 0.031 (stratified sign flips) for new samples; better mean in 2 of 2 "
        "tables",
        SCOPE + "and corrected among themselves only",
    ]


def test_the_answer_over_data_sets(on):
    sets = [on(name, {"mse": MSE, "mae": MAE, "sse": MSE}) for name in ("one", "two", "three")]
    comparison = compare(Collection(tuple(run for each in sets for run in each)))
    assert overall_answer(comparison) == [
        "On average over these 3 data sets, mae is better than mse and sse by mean absolute error."
    ]
    equal = [on(name, {"mse": MSE, "sse": MSE}) for name in ("one", "two")]
    comparison = compare(Collection(tuple(run for each in equal for run in each)))
    assert overall_answer(comparison) == [
        "On average over these 2 data sets, no loss is significantly better than another by mean "
        "absolute error."
    ]


def test_one_table_is_not_pooled(collected):
    assert overall_conclusions(compare(collected({"mse": MSE, "mae": MAE}))) == []


def test_every_data_set_has_the_same_weight_whatever_its_scale_and_number_of_seeds(on):
    [pair] = pooled(
        on("small", {"mse": MSE, "mae": MAE}),
        on("large", {"mse": scaled(MAE * 3, 1e6), "mae": scaled(MSE * 3, 1e6)}),
    )
    assert_allclose(pair.mean, 0, atol=1e-12)
    assert (pair.seeds, pair.ahead, pair.better) == (12, (1, 1), None)


def test_shares_are_pooled_in_points(on):
    def classified(data, levels):
        runs = on(data, {"ce": MSE, "mse": MSE}, {"task.metrics": ["accuracy"]})
        for run in runs:
            run.record["test"] = {"accuracy": levels[run.loss] + 0.001 * run.seed}
        return runs

    [pair] = pooled(
        classified("one", {"ce": 0.9, "mse": 0.8}), classified("two", {"ce": 0.5, "mse": 0.48})
    )
    assert_allclose(pair.mean, (0.1 + 0.02) / 2)
    assert pair.unit == "metric"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("accuracy", "metric"),
        ("auroc", "metric"),
        ("r2", "metric"),
        ("psnr", "metric"),
        ("cer", "metric"),
        ("mae", "relative"),
        ("chamfer", "relative"),
        ("return_mean", "standardized"),
    ],
)
def test_the_unit_follows_from_the_metric(name, unit):
    assert unit_of(metric(name)) == unit


def test_estimates_without_a_common_scale_are_not_pooled(on):
    def unbounded(data):
        runs = on(
            data,
            {"a": MSE, "b": MAE},
            {"task.metrics": ["gain"], "task.monitor": "gain", "task.mode": "max"},
            sampling="redrawn",
            sizes=SIZES,
        )
        for run in runs:
            run.record["test"] = {"gain": -run.record["test"]["mae"]}
        return runs

    runs = unbounded("one"), unbounded("two")
    assert pooled(*runs) == []
    assert len(pooled(*runs, scope="data")) == 1


def test_returns_are_pooled_in_units_of_their_differences(on):
    def played(data, scale):
        runs = on(data, {"a": MSE, "b": MSE}, {"task.metrics": ["return_mean"]})
        for run in runs:
            run.record["test"] = {"return_mean": scale * ((run.loss == "a") - 10 + run.seed)}
        return runs

    runs = played("pole", 1.0), played("car", 1000.0)
    [pair] = pooled(*runs)
    assert (pair.mean, pair.better) == (1, "a")
    assert "mean return +1.00 in units of each data set's differences" in said(*runs)[0]


def test_groups_on_one_data_set_are_flipped_together(on):
    runs = [
        on("one", {"mse": MSE * 3, "mae": MAE * 3}, {"optimizer.lr": rate}) for rate in (0.1, 0.2)
    ]
    [pair] = pooled(*runs)
    assert (pair.seeds, pair.groups, pair.data_sets) == (9, 2, ("one",))
    assert pair.p == sign_flip_p([1.0] * 9)  # not of 18 differences
    assert pair.where == "these 2 comparison groups of one"


def test_your_own_files_are_different_data_sets(on):
    runs = [on("table", {"mse": MSE, "mae": MAE}, {"data.path": path}) for path in ("a", "b")]
    [pair] = pooled(*runs)
    assert pair.data_sets == ("table a", "table b")
    assert pair.seeds == 6


def test_estimates_are_combined_if_seeds_share_samples(on):
    redrawn = {"sampling": "redrawn", "sizes": SIZES}
    runs = on("one", {"mse": MSE, "mae": MAE}, **redrawn), on("two", {"mse": MSE, "mae": MAE})
    [pair] = pooled(*runs)
    differences = np.subtract(MAE, MSE) / np.mean([MAE, MSE])
    errors = [corrected_t(differences, share).error for share in (1 / 3, 0)]
    error = math.hypot(*errors) / 2
    freedom = sum(e**2 for e in errors) ** 2 / sum(e**4 / 2 for e in errors)
    assert_allclose(pair.p, 2 * stats.t.sf(abs(differences.mean()) / error, freedom))
    assert (pair.method, pair.holds_for) == ("Satterthwaite's t", "new samples")


def test_what_holds_for_these_samples_only_is_not_said_of_new_ones(on):
    runs = (
        on("one", {"mse": MSE, "mae": MAE}, sampling="redrawn", sizes=SIZES),
        on("two", {"mse": MSE, "mae": MAE}),
    )
    [pair] = pooled(*runs, scope="data")
    assert (pair.method, pair.holds_for) == ("stratified sign flips", "these samples")


def test_a_data_set_on_which_a_loss_failed_is_left_out(on):
    runs = (
        on("one", {"mse": MSE, "mae": MAE}),
        on("two", {"mse": MSE, "mae": ["diverged"] * 3}),
        on("three", {"mse": MSE, "mae": [1.0, 1.4, "diverged"]}),
        on("four", {"mse": MSE, "mae": MAE}),
    )
    [pair] = pooled(*runs)
    assert pair.left_out == ("two",)
    assert (pair.seeds, pair.groups) == (8, 3)
    assert said(*runs)[0].endswith("(1 run of mae failed; left out: two)")


def test_medians_are_not_pooled(on):
    runs = [on(data, {"mse": MSE * 3, "mae": MAE * 3}) for data in ("one", "two")]
    assert len(pooled(*runs)) == 1
    assert pooled(*runs, center="median") == pooled(*runs, center="iqm") == []


def test_too_few_seeds_in_total(on):
    maes = {"mse": MSE[:2], "mae": MAE[:2]}
    assert said(on("one", maes), on("two", maes))[0] == (
        "mae vs mse: underpowered over these 2 data sets: mean absolute error -60.9 %; with n = 4 "
        "in total no difference of any size can reach p < 0.05; at least 6 seeds are needed"
    )


def test_a_mean_over_opposite_results_says_so(on):
    low, high = scaled(MAE * 4, 0.1), MSE * 4
    runs = [on(data, {"mse": high, "mae": low}) for data in ("one", "two", "three")]
    [line, _] = said(*runs, on("four", {"mse": low, "mae": high}))
    assert line.endswith(
        "better mean in 3 of 4 tables, significantly in 3, significantly worse in 1"
    )


def test_pooled_pairs_are_corrected_among_themselves(on):
    maes = {"mse": MSE * 2, "mae": MAE * 2, "huber": scaled(MSE * 2, 1.01)}
    found = pooled(on("one", maes), on("two", maes))
    assert [pair.comparisons for pair in found] == [3] * 3
    assert_allclose([pair.adjusted_p for pair in found], 3 * 2 / 2**12)


def test_a_loss_counts_as_one_whatever_it_was_tuned_to(on, sweep):
    runs = []
    for data, delta in (("one", 1.0), ("two", 3.0)):
        huber = on(
            data, {"huber": MAE}, {"loss.delta": delta}, overrides=(f"loss.delta={delta:g}",)
        )
        for run in (mse := on(data, {"mse": MSE})):
            run.record["hashes"]["data"] = f"{data}{run.seed}"
        for run in huber:
            run.record["hashes"]["data"] = f"{data}{run.seed}"
        runs += [mse, huber]
    [pair] = pooled(*runs)
    assert (pair.a, pair.b, pair.groups) == ("huber", "mse", 2)


def test_many_pairs_are_said_in_short(on):
    maes = {f"loss{place}": scaled(MSE, 1 + place // 3) for place in range(6)}
    lines = said(on("one", maes), on("two", maes))
    assert lines[-2] == "no significant difference in 15 of 15 pooled pairs"


# --- ranks ----------------------------------------------------------------------------------------


def ranked_sets(on, count, maes):
    return [on(f"set{place}", maes) for place in range(count)]


def test_losses_are_ranked_from_six_data_sets_on(on):
    maes = {"mse": MSE, "mae": MAE}
    assert not any("rank" in line for line in said(*ranked_sets(on, 5, maes)))
    assert said(*ranked_sets(on, 6, maes))[-2:] == [
        "mean ranks over 6 data sets by mean absolute error: mae 1.00, mse 2.00",
        "mae is better than mse for data sets like these: on 6 of 6 data sets, p = 0.031 "
        "(Wilcoxon)",
    ]


def test_losses_of_which_no_pair_was_compared_are_not_ranked(on):
    """The baseline is on one of seven data sets."""
    sets = [on(f"set{place}", {"mse": MSE, "mae": MAE}) for place in range(7)]
    runs = [run for each in sets for run in each] + on("set0", {"huber": MAE})
    comparison = compare(Collection(tuple(runs)), baseline="huber")
    assert overall_conclusions(comparison) == []


def test_three_losses_need_more_data_sets(on):
    maes = {"mse": MSE, "mae": MAE, "huber": scaled(MAE, 1.1)}
    lines = said(*ranked_sets(on, 6, maes))[-2:]
    assert lines[0].endswith("mae 1.00, huber 2.00, mse 3.00; Friedman's test: p = 5e-05")
    assert lines[1] == (
        "underpowered: no pair can be significant with 6 data sets and 3 pairs; at least 7 data "
        "sets are needed"
    )


def test_a_loss_ranks_last_where_no_run_finished(on):
    maes = {"mse": MSE, "mae": [*MAE[:2], "diverged"], "huber": ["diverged"] * 3}
    runs = [*ranked_sets(on, 6, maes), on("last", {**maes, "other": MSE})]
    [ranking] = overall(compare(Collection(tuple(run for each in runs for run in each)))).rankings
    assert ranking.mean_ranks == {"mae": 1, "mse": 2, "huber": 3}
    assert ranking.left_out == ("other",)
    assert ranking.failed == {"mse": 0, "mae": 7, "huber": 21}
    assert sorted((pair.a, pair.b, pair.ahead) for pair in ranking.pairs) == [
        ("huber", "mae", (0, 7)),
        ("huber", "mse", (0, 7)),
        ("mae", "mse", (7, 0)),
    ]


def test_groups_on_one_data_set_count_once_in_ranks(on):
    runs = [
        on("one", {"mse": MSE, "mae": MAE}, {"optimizer.lr": rate / 10}) for rate in range(1, 8)
    ]
    assert not any("rank" in line for line in said(*runs))


def test_a_baseline_is_compared_alone(on):
    maes = {"mse": MSE, "mae": MAE, "huber": scaled(MAE, 1.1)}
    comparison = compare(
        Collection(tuple(run for each in ranked_sets(on, 7, maes) for run in each)), baseline="mse"
    )
    found = overall(comparison)
    couples = [("mae", "mse"), ("huber", "mse")]
    assert sorted((p.a, p.b) for p in found.pooled) == sorted(couples)
    assert sorted((p.a, p.b) for p in found.rankings[0].pairs) == sorted(couples)
