"""From the runs of a claim to the outcomes of its comparisons and its conclusion."""

from dataclasses import replace

import numpy as np
import pytest

from gallery.made_claims import (
    AT,
    EQUAL,
    LOWER,
    MAE,
    MSE,
    SEEDS,
    claim,
    evaluated,
    failing,
    run,
    runs,
)
from losslab.analysis.comparison_groups import Row
from losslab.analysis.statistics import equivalence_p
from losslab.gallery.claim import PreregisteredComparison
from losslab.gallery.evaluation import conclusion, evaluate_claim
from losslab.gallery.rows import picked, rows_of, slopes, with_setting, without
from losslab.runs.scores import Scores, write_scores


@pytest.mark.parametrize(
    ("planned", "difference", "seeds", "outcome"),
    [
        (LOWER, -1.0, 8, "held"),
        (LOWER, 1.0, 8, "refuted"),
        (LOWER, 0.0, 8, "undecided"),
        (replace(LOWER, expected="higher"), -1.0, 8, "refuted"),
        (EQUAL, 0.01, 8, "held"),
        (EQUAL, -1.0, 8, "refuted"),
        (EQUAL, 1.0, 8, "refuted"),
        (EQUAL, 0.074, 8, "undecided"),  # from 0.074 to 0.126
        (replace(LOWER, than=1.5), -1.0, 8, "held"),
        (replace(LOWER, than=0.2), -1.0, 8, "refuted"),
    ],
    ids=str,
)
@pytest.mark.parametrize("sampling", ["fresh", "redrawn"])
def test_an_outcome_follows_from_the_differences(planned, difference, seeds, outcome, sampling):
    every = [
        replace(each, record={**each.record, "sampling": sampling})
        for each in runs(difference, seeds)
    ]
    [each] = evaluate_claim(claim(planned), rows_of(every, []))
    assert each.outcome == outcome
    assert each.pair.test.method == {"fresh": "sign flips", "redrawn": "corrected t"}[sampling]


@pytest.mark.parametrize("planned", [LOWER, EQUAL], ids=str)
def test_with_too_few_seeds_nothing_is_decided(planned):
    [each] = evaluated([planned], seeds=5)
    assert each.outcome == "undecided"


@pytest.mark.parametrize(("times", "outcome"), [(1000.0, "held"), (1.0, "refuted")])
def test_values_in_another_unit_are_multiplied(times, outcome):
    """The errors of mae, in thousands of the unit, are compared with those of mse, in the unit."""
    every = [
        replace(each, record={**each.record, "test": {"intercept_error": 1000 * error}})
        if each.loss == "mse"
        else each
        for each in runs(0.001)
        for error in each.record["test"].values()
    ]
    planned = replace(EQUAL, row=MSE | AT, than=MAE | AT, within=2.0, times=times)
    [each] = evaluate_claim(claim(planned), rows_of(every, []))
    assert each.outcome == outcome
    assert each.pair.b == ("1,000 times mae (outliers=0.1)" if times > 1 else "mae (outliers=0.1)")
    expected = [2000 + 10 * seed - times * (2.001 + 0.0101 * seed) for seed in range(8)]
    assert list(each.pair.differences.values()) == pytest.approx(expected)


def test_runs_without_the_metric_stay_without_it_in_another_unit():
    planned = replace(EQUAL, metric="slope_error", times=10.0)
    [each] = evaluate_claim(claim(planned), rows_of(runs(), []))
    assert (each.pair.n, each.pair.failures.lost) == (0, 0)


def test_comparisons_are_corrected_together():
    [first, *_] = evaluated([LOWER] * 4)
    assert first.pair.p == 2 / 2**8
    assert first.adjusted_p == 4 * first.pair.p
    # equivalence must not release level to the other comparisons
    first, equal = evaluated([LOWER, replace(EQUAL, within=2.0)])
    assert (first.adjusted_p, equal.adjusted_p) == (2 * 2 / 2**8, 2 * 1 / 2**8)


def test_a_refuted_equality_is_corrected_too():
    [alone] = evaluated([EQUAL], seeds=6)
    [both, _] = evaluated([EQUAL, LOWER], seeds=6)
    assert (alone.outcome, both.outcome) == ("refuted", "undecided")  # p = 2 / 2**6


def test_a_run_that_diverged_is_compared_apart():
    _, [each] = failing(LOWER, [0])
    assert each.pair.failures.failed_b == (0,)
    assert (each.pair.n, each.outcome) == (7, "held")


def test_with_failures_equality_is_neither_shown_nor_refuted():
    _, [each] = failing(EQUAL, [0])
    assert each.outcome == "undecided"


def test_a_run_that_never_gets_there_counts_where_that_is_measured():
    planned = PreregisteredComparison("steps_to_solve", MAE | AT, "lower", MSE | AT)
    every = [
        replace(
            each,
            record={**each.record, "test": {"steps_to_solve": 9.0} if each.loss == "mae" else {}},
        )
        for each in runs()
    ]
    [each] = evaluate_claim(claim(planned), rows_of(every, []))
    assert (each.pair.n, each.outcome) == (0, "held")


def test_another_metric_of_the_same_row_has_its_own_scores(tmp_path):
    def both(seed, sampling):
        made = run("mae", 0.1, seed, 0.0, sampling=sampling)
        values = {"ece": 0.1 * seed, "brier": 0.5 + 0.01 * seed, "accuracy": 0.1 + 0.02 * seed}
        folder = tmp_path / f"{sampling}{seed}"
        folder.mkdir()
        spread = np.linspace(-0.02, 0.02, 20)
        scores = {name: values[name] + spread * (seed + 1) for name in ("brier", "accuracy")}
        write_scores(folder, Scores(np.arange(20), scores))
        return replace(made, folder=folder, record={**made.record, "test": values})

    planned = PreregisteredComparison("brier", MAE, "higher", {"metric": "accuracy"})
    rows = rows_of([both(seed, "fixed_test") for seed in range(8)], [])
    [each] = evaluate_claim(claim(planned), rows)
    assert (each.pair.test.method, each.outcome) == ("crossed t", "held")
    assert each.pair.b == "its accuracy"
    assert each.pair.mean == pytest.approx(0.4 - 0.01 * 3.5)
    # a metric without scores per sample is compared on these samples
    [each] = evaluate_claim(claim(replace(planned, than={"metric": "ece"})), rows)
    assert (each.pair.test.method, each.pair.test.holds_for) == ("sign flips", "these samples")


UP = replace(LOWER, expected="higher")
SAME = replace(LOWER, than=MAE | {"data.outliers": 0.05})


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        ([LOWER], "held"),
        ([LOWER, LOWER], "held in both comparisons"),
        ([LOWER, UP], "held in 1 of 2 comparisons, 1 refuted"),
        ([SAME, LOWER, UP], "held in 1 of 3 comparisons, 1 refuted, 1 undecided"),
        ([UP], "refuted"),
        ([SAME], "undecided"),
        ([SAME, SAME, SAME], "undecided in all 3 comparisons"),
        ([SAME, UP], "1 refuted, 1 undecided"),
    ],
)
def test_the_conclusion_is_that_of_the_comparisons(planned, expected):
    assert conclusion(evaluated(planned)) == expected


def test_a_comparison_that_picks_no_row_is_an_error():
    with pytest.raises(ValueError, match="picks 0 rows of: mae"):
        evaluated([replace(LOWER, row={"loss": "huber"})])
    with pytest.raises(ValueError, match="picks 2 rows of: mae"):
        evaluated([replace(LOWER, row=MAE)])


def test_rows_are_named_and_ordered_by_what_varies():
    rows = rows_of(runs(), [])
    assert [row.label for row in rows] == [
        f"{loss} (outliers={share})" for loss in ("mae", "mse") for share in ("0.05", "0.1")
    ]
    assert without(rows[0], "data.outliers") == "mae"


def test_a_label_loses_a_list_whole():
    row = Row("mae (sizes=[0.1, 0.2], outliers=0.1)", ())
    assert without(row, "data.sizes") == "mae (outliers=0.1)"
    assert without(row, "data.outliers") == "mae (sizes=[0.1, 0.2])"


def test_a_row_is_named_and_picked_by_its_number_of_training_samples():
    def with_samples(loss, samples, seed):
        made = run(loss, 0.1, seed, 0.0)
        share = 1 - samples / 1000
        record = {**made.record, "sizes": {"train": samples, "val": 1000 - samples, "test": 100}}
        overrides = [*made.overrides, f"data.val_fraction={share}"]
        data = {**made.config["data"], "val_fraction": share}
        return replace(
            made, record=record, config={**made.config, "overrides": overrides, "data": data}
        )

    every = [with_samples("mae", samples, seed) for samples in (200, 30, 100) for seed in (0, 1)]
    rows = rows_of(every, [])
    assert [row.label for row in rows] == [f"mae (train_samples={n})" for n in (30, 100, 200)]
    assert picked(rows, {"train_samples": 100}) is rows[1]
    assert slopes(with_setting(rows, {}, "train_samples"), "intercept_error").label == "mae"


def test_a_row_is_named_and_picked_by_its_epochs():
    def with_epochs(epochs, seed):
        made = run("mae", 0.1, seed, 0.0)
        overrides = [*made.overrides, f"task.epochs={epochs}"]
        config = {**made.config, "overrides": overrides, "trainer": {"max_epochs": epochs}}
        return replace(made, config=config)

    rows = rows_of([with_epochs(epochs, seed) for epochs in (8, 4, 16) for seed in (0, 1)], [])
    assert [row.label for row in rows] == [f"mae (epochs={epochs})" for epochs in (4, 8, 16)]
    assert picked(rows, {"task.epochs": 8}) is rows[1]
    assert slopes(with_setting(rows, {}, "task.epochs"), "intercept_error").label == "mae"


def test_equality_is_one_sided_at_both_ends():
    assert equivalence_p([0.0] * 6, within=1.0) == 1 / 2**6
    assert equivalence_p([2.0, 2.1, 1.9], within=1.0) == 1.0
    assert equivalence_p([], within=1.0) == 1.0


# --- trends ---------------------------------------------------------------------------------------

SHARES = (0.2, 0.01, 0.1, 0.05)  # neither ordered nor evenly spaced


def trending(means, seeds=SEEDS, loss="mae", noise=0.1):
    """Runs whose values at the ordered shares are the means, plus noise of their own."""
    rng = np.random.default_rng(len(loss))
    of = dict(zip(sorted(SHARES), means, strict=True))
    return [
        run(loss, share, seed, of[share] + noise * rng.normal())
        for share in SHARES
        for seed in range(seeds)
    ]


TREND = PreregisteredComparison("intercept_error", MAE, "higher", {"trend": "data.outliers"})


@pytest.mark.parametrize(
    ("means", "expected", "outcome"),
    [
        ([0.0, 0.1, 0.2, 0.3], "higher", "held"),
        ([0.3, 0.2, 0.1, 0.0], "higher", "refuted"),
        ([0.3, 0.2, 0.1, 0.0], "lower", "held"),
        ([0.0, 0.0, 0.0, 0.0], "higher", "undecided"),
        ([0.0, 0.5, 0.5, 0.0], "higher", "undecided"),  # differences, but no trend
    ],
    ids=str,
)
def test_a_trend_is_that_of_the_slopes(means, expected, outcome):
    [each] = evaluate_claim(claim(replace(TREND, expected=expected)), rows_of(trending(means), []))
    assert each.outcome == outcome
    assert each.pair.n == SEEDS
    assert each.pair.metric.label == "slope of error of the intercept over outliers"


def test_a_slope_is_least_squares_over_the_ordered_rows():
    rows = rows_of(trending([0.0, 3.0, 1.0, 2.0], noise=1.0), [])
    ordered = with_setting(rows, MAE, "data.outliers")
    assert [row.settings["data.outliers"] for row in ordered] == sorted(SHARES)
    row = slopes(ordered, "intercept_error")
    assert row.label == "mae"
    for seed, each in row.by_seed.items():
        values = [one.by_seed[seed].record["test"]["intercept_error"] for one in ordered]
        expected = np.polyfit(range(4), values, 1)[0]
        assert each.record["test"]["intercept_error"] == pytest.approx(expected)


def test_equal_values_have_slope_0():
    rows = rows_of(trending([0.1, 0.1, 0.1, 0.1], noise=0.0), [])
    row = slopes(with_setting(rows, MAE, "data.outliers"), "intercept_error")
    assert {each.record["test"]["intercept_error"] for each in row.runs} == {0.0}


def test_a_trend_is_found_where_there_is_none_in_5_percent_at_most():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        every = [run("mae", share, seed, rng.normal()) for share in SHARES for seed in range(8)]
        [each] = evaluate_claim(claim(TREND), rows_of(every, []))
        found += each.outcome != "undecided"
    assert 0 < found <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_two_trends_are_compared():
    steep, flat = trending([0, 1, 2, 3]), trending([0, 0.1, 0.2, 0.3], loss="mse")
    planned = replace(TREND, than={"trend": "data.outliers", "of": MSE})
    [each] = evaluate_claim(claim(planned), rows_of([*steep, *flat], []))
    assert each.outcome == "held"
    assert (each.pair.a, each.pair.b) == ("mae", "mse")
    assert each.pair.mean == pytest.approx(0.9, abs=0.1)


def test_a_seed_without_all_runs_has_no_slope():
    every = trending([0.0, 0.1, 0.2, 0.3], seeds=10)
    missing, failed = every.pop(0), every.pop(4)
    every.append(run("mae", failed.settings["data.outliers"], failed.seed, 9.0, "failed"))
    [each] = evaluate_claim(claim(TREND), rows_of(every, []))
    assert set(range(10)) - set(each.pair.differences) == {missing.seed, failed.seed}


def test_a_trend_needs_three_rows_that_differ():
    every = [each for each in trending([0, 0, 0, 0]) if each.settings["data.outliers"] < 0.1]
    with pytest.raises(ValueError, match=r"three rows or more .* picks 2: mae \(outliers=0.01\)"):
        evaluate_claim(claim(TREND), rows_of(every, []))
    both = [*trending([0, 0, 0, 0]), *trending([0, 0, 0, 0], loss="mse")]
    with pytest.raises(ValueError, match="picks 8: mae"):
        evaluate_claim(claim(replace(TREND, row={})), rows_of(both, []))
