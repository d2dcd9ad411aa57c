"""Numbers against scipy and plain arithmetic; claims against simulation."""

import itertools
import math
import statistics as plain
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from losslab.analysis import statistics
from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection

MSE = [1.0, 1.5, 1.2, 1.4, 1.1, 1.3, 1.6]
MAE = [0.8, 1.4, 0.9, 1.2, 1.0, 1.4, 1.1]


def only_pair(collection, **given):
    [table] = compare(collection, **given).tables
    [pair] = table.pairs
    return pair


@pytest.mark.parametrize("center", ["mean", "median", "iqm"])
@pytest.mark.parametrize("failed", [["diverged"] * 2, ["diverged"] * 5])
def test_a_loss_that_always_fails_is_not_equivalent(collected, failed, center):
    """No test of values is left, and too few seeds differ to test the failures."""
    runs = collected({"mse": MSE[: len(failed)], "mae": failed})
    pair = only_pair(runs, center=center, within={"mae": 1.0})
    assert not pair.equivalent
    assert not pair.better
    assert pair.comparisons == 1
    assert pair.needed >= 2


def test_a_pair_is_compared_seed_by_seed(collected):
    pair = only_pair(collected({"mse": MSE, "mae": MAE}))
    differences = np.subtract(MAE, MSE)
    assert (pair.a, pair.b, pair.metric.name) == ("mae", "mse", "mae")  # the better one first
    assert pair.seeds == (0, 1, 2, 3, 4, 5, 6)
    assert_allclose([pair.differences[seed] for seed in range(7)], differences)
    assert_allclose(pair.mean, differences.mean())
    assert_allclose(pair.deviation, differences.std(ddof=1))
    subsets = [each for size in range(1, 8) for each in itertools.combinations(differences, size)]
    means = sorted(np.mean(each) for each in subsets)
    assert_allclose(pair.interval[:2], [means[2], means[-3]])  # 2 (1 + 2) / 2**7 <= 0.05
    reference = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=math.inf
    )
    assert_allclose(pair.p, reference.pvalue)
    assert (pair.wins, pair.losses, pair.ties) == (6, 1, 0)
    assert_allclose(pair.improvement, 6 / 7)
    assert pair.adjusted_p == pair.p
    assert pair.paired


def test_a_p_value_of_exactly_the_level_decides(collected):
    pair = only_pair(collected({"mse": MSE, "mae": MAE}))

    def corrected(p):
        return replace(pair, correction=replace(pair.correction, p=p, equivalence_p=p))

    assert corrected(0.05).better == "mae"
    assert corrected(0.05).equivalent
    assert not corrected(0.0501).better
    assert not corrected(0.0501).equivalent
    assert not replace(pair, test=replace(pair.test, smallest_p=0.05)).underpowered
    assert replace(pair, test=replace(pair.test, smallest_p=0.0501)).underpowered


def test_the_same_pair_turned(collected):
    pair = only_pair(collected({"mse": MSE, "mae": [*MAE[:5], "diverged", "diverged"]}))
    turned = pair.swapped
    assert (turned.a, turned.b, turned.mean) == (pair.b, pair.a, -pair.mean)
    assert turned.interval[:2] == (-pair.interval.high, -pair.interval.low)
    assert turned.failures == pair.failures.swapped
    assert_allclose(turned.improvement, 1 - pair.improvement)
    assert turned.swapped == pair


def test_only_common_seeds_count(collected):
    pair = only_pair(collected({"mse": [1.0, 2.0, None, 4.0], "mae": [0.5, None, 1.0, 2.0]}))
    assert pair.differences == {0: -0.5, 3: -2.0}
    assert pair.n == 2


def test_failures_are_compared_apart_from_values(collected):
    """Seed 5: mse diverged; seed 6: both. An error in mid-run, or no memory, is no pair at all."""
    ours = [*MAE[:5], 1.0, "diverged", 1.0, 1.0]
    theirs = [*MSE[:5], "diverged", "diverged", "exception", "memory"]
    pair = only_pair(collected({"mse": theirs, "mae": ours}))
    failures = pair.failures
    assert (pair.a, pair.n, pair.seeds) == ("mae", 5, (0, 1, 2, 3, 4, 5, 6))
    assert (failures.failed_a, failures.failed_b, failures.failed_both) == ((), (5,), (6,))
    differences = np.subtract(MAE[:5], MSE[:5])
    assert_allclose(pair.mean, differences.mean())
    assert_allclose(pair.p, statistics.sign_flip_p(differences))
    assert (failures.p, failures.significant) == (1.0, False)


def test_no_claim_contradicts_its_number(collected):
    """Better at each seed at which it finishes, but it failed once: no claim of the other."""
    pair = only_pair(collected({"l0": MAE, "l1": [*np.subtract(MAE[:6], 0.5), "diverged"]}))
    assert (pair.a, pair.b) == ("l0", "l1")  # what fails sorts last
    assert (pair.better, pair.p, pair.mean) == ("l1", 2 / 2**6, pytest.approx(0.5))


def test_a_loss_that_fails_more_often(collected):
    pair = only_pair(collected({"mse": ["diverged"] * 6, "mae": MAE[:6]}))
    assert pair.failures.p == stats.binomtest(6, 6).pvalue == 2 / 2**6
    assert (pair.better, pair.fails_less, pair.preferred) == (None, "mae", "mae")
    assert math.isnan(pair.mean)


def test_values_and_failures_may_contradict_each_other(collected):
    values = {"mse": MSE * 2, "mae": [*np.subtract(MSE, 1.0), *["diverged"] * 7]}
    pair = only_pair(collected(values))
    assert (pair.better, pair.fails_less, pair.preferred) == ("mae", "mse", None)
    assert pair.comparisons == 2


def test_failures_that_cannot_be_significant_do_not_cost_level(collected):
    pair = only_pair(collected({"mse": [*MSE, 1.0], "mae": [*MAE, "diverged"]}))
    assert (pair.comparisons, pair.adjusted_p) == (1, pair.p)


def test_a_value_that_is_not_finite_is_lost(collected):
    runs = collected({"mse": [1.0, math.nan, math.inf], "mae": [1.0, 2.0, 3.0]})
    for run in runs.runs:  # of predictions that are NaN, the loss is NaN, too
        run.record["test"]["loss"] = run.record["test"]["mae"]
    [table] = compare(runs).tables
    [row] = [row for row in table.rows if row.label == "mse"]
    summary = table.summary(row, table.primary_metrics[0])
    assert (summary.values, summary.failed, summary.mean) == ({0: 1.0}, (1, 2), 1.0)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        # Student's 5 % points are 3.182 for 3 degrees of freedom and 12.71 for one
        ([3.0, 4.0, 5.0, 6.0], 4.5 - 3.182 * 1.291 / 2, 4.5 + 3.182 * 1.291 / 2),
        ([0.1, 0.9], 0.0, 0.5 + 12.71 * 0.4),  # no absolute error is below 0
        ([1.0], math.nan, math.nan),
    ],
    ids=["four", "within what is possible", "one"],
)
def test_a_mean_and_its_interval(collected, values, low, high):
    [table] = compare(collected({"mse": values})).tables
    summary = table.summary(table.rows[0], table.primary_metrics[0])
    assert summary.mean == plain.fmean(values)
    assert_allclose(summary.interval[:2], [low, high], atol=0.005)


@pytest.mark.parametrize(
    ("metric", "mode", "order"),
    [
        ("mae", "min", ["mae", "mse", "huber", "sse"]),
        ("my_score", "max", ["huber", "mse", "mae", "sse"]),
    ],
)
def test_the_best_stands_first_and_what_has_no_value_last(collected, metric, mode, order):
    collection = collected(
        {"sse": ["diverged"], "huber": [3.0], "mae": [1.0], "mse": [2.0]},
        settings={"task.metrics": [metric], "task.monitor": metric, "task.mode": mode},
    )
    for run in collection.runs:
        if run.outcome == "done":
            run.record["test"] = {metric: run.record["test"]["mae"]}
    [table] = compare(collection).tables
    assert [row.label for row in table.rows] == order


def test_holm_corrects_for_every_comparison_of_every_table(collected, sweep):
    maes = {"mse": MSE, "mae": MAE, "huber": [value - 0.6 for value in MSE]}
    other = sweep(maes, settings={"choices.data": "table"})
    for run in other:
        run.record["hashes"]["data"] += " of table"
    comparison = compare(
        Collection((*collected(maes).runs, *other)), primary_metrics=["mae", "rmse"]
    )
    assert [table.name for table in comparison.tables] == ["regression", "table"]
    assert comparison.comparisons == 12
    pairs = [pair for table in comparison.tables for pair in table.pairs]
    assert [len(table.pairs_of(table.primary_metrics[1])) for table in comparison.tables] == [3, 3]
    p = np.array([pair.p for pair in pairs])
    # step down by hand: the smallest times 12, the next times 11, never below the one before
    order = np.argsort(p, kind="stable")
    expected = np.minimum(np.maximum.accumulate(p[order] * (12 - np.arange(12))), 1)
    assert_allclose([pairs[index].adjusted_p for index in order], expected)
    assert {pair.needed for pair in pairs} == {9}
    assert all(pair.underpowered for pair in pairs)


def test_a_baseline_makes_fewer_comparisons(collected):
    maes = {"mse": MSE, "mae": MAE, "huber": MAE, "sse": MSE}
    [table] = compare(collected(maes), baseline="mse").tables
    assert {(pair.a, pair.b) for pair in table.pairs} == {
        ("mae", "mse"),
        ("huber", "mse"),
        ("sse", "mse"),
    }
    assert {pair.comparisons for pair in table.pairs} == {3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"baseline": "focal"}, "unknown baseline 'focal'. Rows: mae, mse"),
        ({"primary_metrics": ["map"]}, "unknown metric 'map'. Known: mae, rmse, loss, ref/mse"),
        ({"columns": ["map"]}, "unknown metric 'map'. Known: mae, rmse, loss, ref/mse"),
        ({"primary_metrics": ["loss"]}, "loss cannot be a primary metric: it is not known"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for(collected, given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        compare(collected({"mse": MSE, "mae": MAE}), **given)


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="no run"):
        compare(Collection(()))


def test_columns_on_request_stand_after_what_judges(collected):
    [table] = compare(
        collected({"mse": MSE}), primary_metrics=["rmse"], columns=["ref/mse", "mae"]
    ).tables
    assert [column.name for column in table.columns] == ["rmse", "ref/mse", "mae"]
    [table] = compare(collected({"mse": MSE})).tables
    assert [column.name for column in table.columns] == ["mae", "rmse"]


def test_validation_stands_in_where_no_test_was_read(collected):
    collection = collected({"mse": MSE, "mae": MAE})
    assert compare(collection).split == "test"
    assert compare(collection, split="val").split == "val"
    for run in collection.runs:
        run.record["test"] = {}
    comparison = compare(collection)
    assert comparison.split == "val"
    assert comparison.tables[0].pairs[0].n == 7


def test_runs_of_a_search_do_not_stand_beside_those_that_read_the_test_split(collected, sweep):
    search = sweep({"mse": [1.0, "diverged"], "huber": [1.0]}, settings={"test": False})
    for run in search:
        run.record["seed"] += 1000
        run.record["test"] = {}
    everything = Collection((*collected({"mse": MSE, "mae": MAE}).runs, *search))
    comparison = compare(everything)
    assert {run.seed for run in comparison.runs} == set(range(7))
    assert len(comparison.searched) == 3
    assert len(compare(everything, split="val").runs) == 17
    with pytest.raises(ValueError, match="no run has read the test split"):
        compare(Collection(tuple(search)), split="test")


def test_runs_of_which_none_has_come_to_an_epoch(collected):
    collection = collected({"mse": ["running"], "mae": ["running"]}, best=None)
    [table] = compare(collection).tables
    assert [column.name for column in table.columns] == ["mae"]
    assert table.pairs[0].n == 0


def test_equal_up_to_single_precision_is_a_tie(collected):
    values = [float(np.float32(value)) for value in MSE]
    pair = only_pair(collected({"mse": MSE, "mae": values}))
    assert (pair.ties, pair.mean, pair.p, pair.improvement) == (7, 0, 1, 0.5)


@pytest.mark.parametrize(
    ("hashes", "environment", "paired", "unequal"),
    [
        ({}, {}, True, []),
        ({"weights": "other"}, {}, False, ["initial weights"]),
        ({"data": "x", "batches": "y"}, {}, False, ["data", "batch order"]),
        ({"batches": None}, {}, False, []),
        ({"batches": "y"}, {"data.env_id": "Pole"}, True, ["batch order"]),
    ],
    ids=["equal", "weights", "data and batches", "not recorded", "reinforcement learning"],
)
def test_runs_are_paired_where_the_hashes_agree(sweep, hashes, environment, paired, unequal):
    runs = sweep({"mse": MSE}, settings=environment)
    others = sweep({"mae": MAE}, settings=environment)
    for name, value in hashes.items():
        others[2].record["hashes"][name] = value
    for run in others if None in hashes.values() else []:
        del run.record["hashes"]["batches"]
    pair = only_pair(Collection((*runs, *others)))
    assert (pair.paired, pair.unequal) == (paired, unequal)


def test_a_loss_that_defines_no_such_metric_is_not_compared_by_it(collected):
    collection = collected({"mse": MSE, "mae": MAE, "hinge": MSE})
    for run in collection.runs:
        if run.loss == "hinge":
            del run.record["test"]["rmse"]
    [table] = compare(collection, primary_metrics=["rmse", "mae"]).tables
    assert len(table.pairs_of(table.primary_metrics[0])) == 1
    assert len(table.pairs_of(table.primary_metrics[1])) == 3
    assert {pair.comparisons for pair in table.pairs} == {4}


def test_a_run_that_never_got_there_is_worse_than_one_that_did(collected):
    task = {"task.metrics": ["steps_to_solve"]}
    collection = collected({"mse": [400.0] * 7, "mae": [200.0] * 7}, settings=task)
    for run in collection.runs:
        solved = run.loss == "mae" or run.seed == 0
        steps = {"steps_to_solve": run.record["test"]["mae"]} if solved else {}
        run.record["test"] = {"return_mean": 1.0} | steps
    pair = only_pair(collection)
    failed = pair.failures.failed_b
    assert (pair.a, failed, pair.differences) == ("mae", (1, 2, 3, 4, 5, 6), {0: -200.0})
    assert (pair.fails_less, pair.preferred) == ("mae", "mae")


@pytest.mark.parametrize(("n", "claimed"), [(5, False), (6, True)])
def test_no_claim_below_the_seeds_that_it_needs(collected, n, claimed):
    pair = only_pair(collected({"mse": [100.0] * n, "mae": [1.0 + s / 10 for s in range(n)]}))
    assert pair.needed == 6
    assert pair.underpowered is not claimed
    assert pair.better == ("mae" if claimed else None)
    assert math.isinf(pair.mde) is not claimed


def test_equal_losses_are_seldom_called_different(collected):
    """Three equal losses, eight seeds, a tenth of the runs diverging: the whole way to a claim."""
    stream = np.random.default_rng(11)
    wrong, times = 0, 150
    for _ in range(times):
        shared = stream.normal(5, 1, size=8)
        maes = {
            loss: [
                "diverged" if stream.random() < 0.1 else float(value)
                for value in shared + 0.3 * stream.normal(size=8)
            ]
            for loss in ("mse", "mae", "huber")
        }
        [table] = compare(collected(maes)).tables
        wrong += any(pair.significant for pair in table.pairs)
    assert wrong / times <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / times)


def test_the_number_of_samples_does_not_depend_on_how_few_seeds_there_are(collected):
    """Three seeds estimate the spread as eight do: their t-test would ask for far more samples."""
    sizes = {"train": 600, "val": 200, "test": 200}
    redrawn = {"sampling": "redrawn", "sizes": sizes}
    few = only_pair(collected({"mse": [1.0, 1.4, 1.2], "mae": [1.2, 1.3, 1.0]}, **redrawn))
    assert 0 < abs(few.mean) < few.smallest_ever
    share = few.smallest_ever / abs(few.mean)
    assert few.samples_to_see == math.ceil(1000 * share**2)
    clear = only_pair(collected({"mse": [1.0, 1.4, 1.2], "mae": [3.2, 3.3, 3.6]}, **redrawn))
    assert abs(clear.mean) > clear.smallest_ever
    assert clear.samples_to_see is None


@pytest.mark.parametrize(
    ("rarest", "expected"),
    [
        (["3", "3", "3"], "recall of class 3, the rarest"),
        (["3", "5", "3"], "recall of the rarest class (differs by seed)"),
        (["3", None, "3"], "recall of the rarest class"),
    ],
    ids=["same", "differs", "unknown"],
)
def test_a_table_names_the_rarest_class(made_up, rarest, expected):
    runs = [
        made_up(loss, seed, test={"rare_recall": 0.5 + 0.1 * seed}, rarest=name)
        for loss in ("mse", "mae")
        for seed, name in enumerate(rarest)
    ]
    [table] = compare(
        Collection(tuple(runs)), primary_metrics=["rare_recall"], columns=["rare_recall"]
    ).tables
    assert [metric.label for metric in (*table.columns, table.pairs[0].metric)] == [expected] * 2
