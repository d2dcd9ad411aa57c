"""From the runs of a claim to its conclusion and its page."""

from dataclasses import replace
from pathlib import Path

import pytest

from losslab.analysis.load import Run
from losslab.analysis.statistics import equivalence_p
from losslab.gallery.chart import draw_chart
from losslab.gallery.claim import Chart, Claim, PreregisteredComparison, read_claim
from losslab.gallery.evaluation import conclusion, evaluate_claim
from losslab.gallery.page import IndexEntry, PageFigure, write_index, write_page
from losslab.gallery.rows import rows_of, without
from losslab.runs.record import new_record

SEEDS = 8
MAE, MSE = {"loss": "mae"}, {"loss": "mse"}


def run(loss, outliers, seed, error, status="done"):
    record = new_record()
    record.update(
        status=status,
        loss=loss,
        data="regression",
        task="regression",
        seed=seed,
        seconds=2.0,
        sampling="fresh",
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


@pytest.mark.parametrize(
    ("planned", "difference", "seeds", "outcome"),
    [
        (LOWER, -1.0, 8, "held"),
        (LOWER, 1.0, 8, "the opposite"),
        (LOWER, 0.0, 8, "no significant difference"),
        (LOWER, -1.0, 5, "underpowered"),
        (replace(LOWER, expected="higher"), -1.0, 8, "the opposite"),
        (replace(LOWER, expected="equal", within=0.1), 0.01, 8, "held"),
        (replace(LOWER, expected="equal", within=0.1), -1.0, 8, "equivalence not shown"),
        (replace(LOWER, than=1.5), -1.0, 8, "held"),
        (replace(LOWER, than=0.2), -1.0, 8, "the opposite"),
    ],
    ids=str,
)
def test_an_outcome_follows_from_the_differences(planned, difference, seeds, outcome):
    [each] = evaluated([planned], difference, seeds)
    assert each.outcome == outcome


def test_holm_corrects_over_all_comparisons():
    [first, *_] = evaluated([LOWER] * 4)
    assert first.p == 2 / 2**8
    assert first.adjusted_p == 4 * first.p


def test_a_run_that_diverged_is_left_out():
    every = [each for each in runs() if not (each.loss == "mse" and each.seed == 0)]
    lost = [run("mse", share, 0, 9.0, status="failed") for share in (0.1, 0.05)]
    [each] = evaluate_claim(claim(LOWER), rows_of([*every, *lost], []))
    assert each.pair.failures.failed_b == (0,)
    assert (each.pair.n, each.outcome) == (7, "held")


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        ([LOWER], "held"),
        ([LOWER, replace(LOWER, expected="higher")], "held in 1 of 2 comparisons"),
        ([replace(LOWER, expected="higher")], "did not hold"),
        ([replace(LOWER, than=MAE | {"data.outliers": 0.05})], "no significant difference"),
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
    assert "**Held.** 1 of 1 preregistered comparisons" in page
    assert "mae (outliers=0.1) lower than mse (outliers=0.1)" in page
    assert "| mae (outliers=0.1) | 8 | 0.6850 [" in page
    assert "python train.py -m experiment=claims/outliers" in page
    assert "The 32 runs took 64 s" in page
    assert (tmp_path / "images" / "outliers.png").stat().st_size < 150_000


def test_the_index_says_which_claims_were_not_run(tmp_path):
    its = claim(LOWER)
    entries = [
        IndexEntry(its, "held", 1, 32, 64.0),
        IndexEntry(replace(its, says="Other"), "", 0, 0, 0.0),
    ]
    index = write_index(entries, tmp_path).read_text()
    assert "| [MAE is robust](outliers.md) | **held** | 1 of 1 | 32 | 64.0 |" in index
    assert "| Other | not run yet |" in index


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
