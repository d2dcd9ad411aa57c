"""From the runs of a claim to its page and the index."""

from dataclasses import replace

import pytest

from gallery.made_claims import EQUAL, LOWER, MAE, SEEDS, claim, failing, run, runs
from losslab.gallery import run as gallery
from losslab.gallery.chart import draw_chart
from losslab.gallery.claim import Chart, read_claim
from losslab.gallery.evaluation import evaluate_claim
from losslab.gallery.index import IndexEntry, read_index, write_index
from losslab.gallery.page import PageFigure, seconds, write_page
from losslab.gallery.rows import rows_of
from losslab.gallery.run import ORDER


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
    assert "## How this could mislead\n\nTwo shares are not all.\n" in page
    assert (tmp_path / "images" / "outliers.png").stat().st_size < 150_000


def test_a_chart_of_rows_names_them_once_and_without_the_untold_settings():
    metrics = ("intercept_error", "intercept_error")
    chart = Chart(metrics, dependent_keys=("data.outliers",), where={"loss": "mae"})
    labels = [
        [label.get_text() for label in axes.get_yticklabels()]
        for axes in draw_chart(chart, rows_of(runs(), [])).axes
    ]
    assert labels == [["mae", "mae"], ["", ""]]


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
    assert "- mse (outliers=0.1) failed at 1 of 8 seeds where mae (outliers=0.1) finished" in page


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


def test_a_page_says_what_a_slope_is(tmp_path):
    every = [run("mae", share, seed, share) for share in (0.1, 0.2, 0.3) for seed in range(SEEDS)]
    rows = rows_of(every, [])
    trend = replace(LOWER, row=MAE, expected="higher", than={"trend": "data.outliers"})
    page = page_of(evaluate_claim(claim(trend), rows), rows, tmp_path)
    assert "| slope of error of the intercept over outliers: mae higher than 0 | +0.100 [" in page
    assert "the change from one of its values to the next" in page


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


def test_the_index_takes_what_was_run_here_from_its_runs(tmp_path, monkeypatch):
    write_index([IndexEntry(name, f"{name} earlier", "held", 8, 64.0) for name in ORDER], tmp_path)
    ours = rows_of(runs(), [])

    def rows_here(claim, folder):
        if claim.name != "outliers":
            raise ValueError("no runs")
        return ours

    monkeypatch.setattr(gallery, "read_rows", rows_here)
    monkeypatch.setattr(gallery, "known_claim", lambda name: replace(claim(LOWER), name=name))
    first, *others = gallery.entries(tmp_path, tmp_path)
    assert first == IndexEntry("outliers", "MAE is robust", "held", 32, seconds(ours))
    assert others == [IndexEntry(name, f"{name} earlier", "held", 8, 64.0) for name in ORDER[1:]]


def test_a_share_trains_every_other_run_together(tmp_path, monkeypatch):
    launched = []

    def launch(command, jobs, folder):
        launched.append((command, folder))
        return []

    monkeypatch.setattr(gallery, "launch", launch)
    monkeypatch.setattr(gallery, "checked_jobs", lambda command: [])
    assert gallery.run_share("calibration", 1, 3, tmp_path) == 0
    [(command, folder)] = launched
    assert "hydra/launcher=lockstep" in command.overrides
    assert len(command.jobs) == 3 * 3 * 16 / 3
    assert folder.name == "1-of-3"


def test_a_trend_is_read_with_the_settings_in_common(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "claim: {says: x, shown: [], chart: {metrics: []}, planned: ["
        "{metric: dice, row: {loss: a}, lower: {trend: b, of: {loss: c}}, where: {d: 1}}, "
        "{metric: dice, row: {loss: a}, lower: {trend: b}, where: {d: 1}}]}\nsweep: []"
    )
    both, one = read_claim(tmp_path / "x.yaml").preregistered
    assert (both.row, both.trend) == ({"loss": "a", "d": 1}, "b")
    assert both.than == {"trend": "b", "of": {"loss": "c", "d": 1}}
    assert (one.row, one.than) == (both.row, {"trend": "b"})


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
