"""From the runs of a claim to its conclusion and its page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from losslab.analysis.load import Run
from losslab.analysis.statistics import equivalence_p
from losslab.gallery.chart import draw_chart
from losslab.gallery.claim import Chart, Claim, PreregisteredComparison, read_claim
from losslab.gallery.evaluation import conclusion, evaluate_claim
from losslab.gallery.index import IndexEntry, read_index, write_index
from losslab.gallery.page import PageFigure, seconds, write_page
from losslab.gallery.rows import rows_of, without
from losslab.runs.record import new_record
from losslab.runs.scores import Scores, write_scores

SEEDS = 8
MAE, MSE = {"loss": "mae"}, {"loss": "mse"}


def run(loss, outliers, seed, error, status="done", sampling="fresh"):
    record = new_record()
    record.update(
        status=status,
        loss=loss,
        data="regression",
        task="regression",
        seed=seed,
        seconds=2.0,
        sampling=sampling,
        sizes={"train": 600, "val": 200, "test": 200},
        test={"intercept_error": error},
        error={"kind": "diverged", "message": "nan", "step": 3} if status == "failed" else None,
        hashes={"weights": "w", "data": "d", "batches": "b"},
    )
    config = {
        "seed": seed,
        "overrides": [f"loss={loss}", f"data.outliers={outliers}", f"seed={seed}"],
        "choices": {"loss": loss, "data": "regression"},
        "data": {"outliers": outliers},
        "loss": {},
        "task": {"monitor": "mae", "mode": "min"},
    }
    return Run(Path(f"/runs/{loss}-{outliers}-{seed}"), record, config)


def runs(difference=-1.0, seeds=SEEDS):
    """Rows of mse and mae, whose error is smaller by about the difference at an outlier share."""
    return [
        run(loss, outliers, seed, 2 + 0.01 * seed + shift * (1 + 0.1 * seed))
        for loss, shift in (("mse", 0.0), ("mae", difference))
        for outliers in (0.1, 0.05)
        for seed in range(seeds)
    ]


def claim(*planned):
    return Claim(
        name="outliers",
        says="MAE is robust",
        why="A share lies off.",
        preregistered=planned,
        chart=Chart(("intercept_error",), along="data.outliers"),
        columns=("intercept_error",),
        sweep=("loss=mse,mae seed=range(8)",),
        settings={},
        figures=(),
    )


AT = {"data.outliers": 0.1}
LOWER = PreregisteredComparison("intercept_error", MAE | AT, "lower", MSE | AT)


def evaluated(planned, difference=-1.0, seeds=SEEDS):
    return evaluate_claim(claim(*planned), rows_of(runs(difference, seeds), []))


EQUAL = replace(LOWER, expected="equal", within=0.1)


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


def failing(planned, lost):
    every = [each for each in runs() if not (each.loss == "mse" and each.seed in lost)]
    failed = [run("mse", share, seed, 9.0, "failed") for share in (0.1, 0.05) for seed in lost]
    rows = rows_of([*every, *failed], [])
    return rows, evaluate_claim(claim(planned), rows)


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


def test_equality_is_one_sided_at_both_ends():
    assert equivalence_p([0.0] * 6, within=1.0) == 1 / 2**6
    assert equivalence_p([2.0, 2.1, 1.9], within=1.0) == 1.0
    assert equivalence_p([], within=1.0) == 1.0


def test_a_page_says_conclusion_numbers_and_command(tmp_path):
    rows = rows_of(runs(), [])
    its = claim(LOWER)
    figures = [PageFigure("outliers", draw_chart(its.chart, rows), "A figure.")]
    page = write_page(its, rows, evaluate_claim(its, rows), figures, tmp_path).read_text()
    assert page.lower().count("held") == 2  # the conclusion, and the outcome of the comparison
    assert "\n\n**Held.**\n\n" in page
    assert "| 0.0078 (sign flips) | **held** |" in page
    assert "The exact sign-flip test holds for new samples." in page
    assert "mae (outliers=0.1) lower than mse (outliers=0.1)" in page
    assert "| mae (outliers=0.1) | 8 | 0.6850 [" in page
    assert "python train.py -m experiment=claims/outliers" in page
    assert "The 32 runs took 2 s" in page
    assert (tmp_path / "images" / "outliers.png").stat().st_size < 150_000


def page_of(results, rows, tmp_path):
    return write_page(claim(), rows, results, [], tmp_path).read_text()


def test_a_page_names_the_test_of_seeds_that_share_samples(tmp_path):
    every = [replace(each, record={**each.record, "sampling": "redrawn"}) for each in runs()]
    rows = rows_of(every, [])
    page = page_of(evaluate_claim(claim(LOWER, EQUAL), rows), rows, tmp_path)
    assert " (corrected t); for these samples 0.016 | **held** |" in page
    assert "holds for new samples of the same kind" in page
    assert "corrected for 2 tests by Bonferroni's method" in page


def test_a_page_tells_when_samples_limit_what_seeds_can_show(tmp_path):
    every = [replace(each, record={**each.record, "sampling": "redrawn"}) for each in runs(-0.01)]
    far = replace(LOWER, than=2.04)
    rows = rows_of(every, [])
    [result] = evaluate_claim(claim(far), rows)
    page = page_of([result], rows, tmp_path)
    assert result.outcome == "undecided"
    assert result.pair.limited_by_samples
    assert "with any number of seeds). To detect less takes more samples" in page
    fresh = rows_of(runs(-0.01), [])
    assert "samples, since" not in page_of(evaluate_claim(claim(far), fresh), fresh, tmp_path)


def test_a_page_tells_failures_apart_from_values(tmp_path):
    rows, results = failing(LOWER, [0])
    page = page_of(results, rows, tmp_path)
    assert "lower for 7 of 7 seeds" in page
    assert "- Mse (outliers=0.1) failed at 1 of 8 seeds where mae (outliers=0.1) finished" in page


def test_a_page_tells_what_was_undecided_and_which_runs_collapsed(tmp_path):
    every = [
        each if each.seed or each.loss == "mae" else run("mse", share, 0, 90.0)
        for each in runs(seeds=5)
        for share in [each.settings["data.outliers"]]
    ]
    rows = rows_of(every, [])
    page = page_of(evaluate_claim(claim(LOWER), rows), rows, tmp_path)
    assert "With fewer than 6 seeds no difference can be significant." in page
    assert "- mse (outliers=0.1): 1 of 5 runs collapsed in " in page
    assert ", at seed 0\n" in page


def test_runs_that_were_trained_together_share_their_time():
    def at(pid, heartbeat):
        made = run("mae", 0.1, 0, 0.0)
        return replace(made, record={**made.record, "pid": pid, "heartbeat": heartbeat})

    rows = rows_of([at(1, 10.0), at(1, 11.0), at(1, 20.0), at(2, 10.0)], [])
    assert seconds(rows) == 3.0 + 2.0 + 2.0


def test_the_index_keeps_claims_that_were_run_elsewhere(tmp_path):
    entries = [
        IndexEntry("outliers", "MAE is robust", "held in 1 of 2 comparisons", 32, 64.0),
        IndexEntry("other", "Other"),
    ]
    index = write_index(entries, tmp_path).read_text()
    assert (
        "| [MAE is robust](outliers.md) | **held in 1 of 2 comparisons** | 32 | 64.0 |\n"
        "| Other | not run yet |" in index
    )
    assert read_index(tmp_path) == {"outliers": entries[0]}
    assert read_index(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize(
    ("claimed", "message"),
    [
        ("claim: {says: x}\nsweep: []", "is not a valid claim"),
        (
            "claim: {says: x, shown: [], chart: {metrics: []}, "
            "planned: [{metric: mae, row: {}, equal: {}}]}\nsweep: []",
            "within must be given for equal",
        ),
    ],
)
def test_a_file_that_is_no_claim_says_why(tmp_path, claimed, message):
    (tmp_path / "x.yaml").write_text(claimed)
    with pytest.raises(ValueError, match=message):
        read_claim(tmp_path / "x.yaml")
