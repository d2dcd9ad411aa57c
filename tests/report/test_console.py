import io
from pathlib import Path

import pytest
from rich.console import Console

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.report.console import ComparisonView, show

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3] * 2
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, 1.5] * 2
METRICS = ["mae", "rmse", "r2", "slope_error", "intercept_error"]


def text_of(comparison, width=110, **options):
    file = io.StringIO()
    Console(file=file, width=width, **options).print(ComparisonView(comparison))
    return file.getvalue()


def many_metrics(collected):
    collection = collected({"mse": MSE, "mae": MAE}, settings={"task.metrics": METRICS})
    for run in collection.runs:
        run.record["test"] = dict.fromkeys(METRICS, run.record["test"]["mae"] / 10)
    return collection


def lines_of(text, first):
    """The cells of each line of a table that begins so."""
    return [line.split() for line in text.splitlines() if line.split()[:1] == [first]]


def test_the_table(collected):
    text = text_of(compare(collected({"mse": MSE, "mae": [*MAE[:11], "diverged"]})))
    assert text.startswith("regression: test metrics, mean [95 % interval] over seeds\n")
    [head] = [line.split() for line in text.splitlines() if "seeds" in line and "loss" in line]
    assert head == ["loss", "seeds", "mae", "↓", "rmse", "↓", "better", "than"]
    first = lines_of(text, "1")[0]
    assert first[:6] == ["1", "mse", "12", "2.250", "[2.137,", "2.363]"]
    second = lines_of(text, "2")[0]
    assert second[:7] == ["2", "mae", "11,", "1", "of", "12", "failed"]


def test_units_are_shown(collected):
    collection = collected({"mse": MSE, "mae": MAE}, settings={"task.metrics": ["mae", "psnr"]})
    for run in collection.runs:
        run.record["test"]["psnr"] = 20 + run.record["test"]["mae"]
    assert "psnr [dB] ↑" in text_of(compare(collection))


def test_brackets_of_labels_are_shown(collected):
    assert lines_of(text_of(compare(collected({"mse[a]": MSE, "mae": MAE}))), "2")[0][1] == "mse[a]"


def test_the_title_tells_which_location_is_shown(collected):
    text = text_of(compare(collected({"mse": MSE, "mae": MAE}), center="iqm"))
    assert text.startswith("regression: test metrics, interquartile mean [95 % interval] over")


def test_collapsed_runs_are_counted_in_the_table(collected):
    values = [1.0, 1.1, 9.0, 1.05, 0.95, 1.0]
    text = text_of(compare(collected({"mae": values, "mse": MSE[:6]})))
    [row] = [line for line in lines_of(text, "1") + lines_of(text, "2") if "mae" in line][:1]
    assert row[2:7] == ["6,", "1", "of", "6", "collapsed"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_tables_fit_the_width_and_lose_nothing(collected, width):
    text = text_of(compare(many_metrics(collected)), width)
    assert max(map(len, text.splitlines())) <= width
    heads = " ".join(line for line in text.splitlines() if "↓" in line or "↑" in line)
    assert [heads.split().count(name) for name in METRICS] == [1] * len(METRICS)
    assert text.count("0.2250 [0.2137, 0.2363]") == len(METRICS)
    assert "…" not in text
    assert "\x1b" not in text


def test_long_options_take_no_room_from_the_numbers(collected, sweep):
    overrides = tuple(f"loss.option_{index}=12345" for index in range(6))
    settings = {f"loss.option_{index}": 12345 for index in range(6)}
    runs = sweep({"huber": MSE}, settings=settings, overrides=overrides)
    text = text_of(compare(Collection((*runs, *sweep({"mae": MAE})))), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "2.250 [2.137, 2.363]" in text


def test_who_is_better_is_named_by_its_place(collected):
    maes = {"mse": MSE, "mae": MAE, "huber": [value + 0.9 for value in MAE]}
    text = text_of(compare(collected(maes)))
    [[first], [second], [third]] = (lines_of(text, place) for place in "123")
    assert first[-2:] == ["2,", "3"]
    assert second[-1] == "3"
    assert third[-1].endswith("]")


def test_of_many_verdicts_the_terminal_shows_the_claims(collected):
    maes = {f"loss{index}": [value + index / 100 for value in MSE] for index in range(6)}
    text = text_of(compare(collected(maes)))
    assert "loss0 is better than loss1, loss2, loss3, loss4, loss5" in text
    assert " against " not in text


def test_a_terminal_without_unicode_gets_ascii(collected):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    comparison = compare(collected({"mse": MSE, "mae": MAE}))
    Console(file=file, width=100).print(ComparisonView(comparison))
    file.seek(0)
    assert "mae (min)" in file.read()


COST = {"loss_ms": 0.214, "loss_mb": 1.31, "step_ms": 2.44, "run_mb": None}


@pytest.mark.parametrize(("width", "shown"), [(110, True), (80, False)])
def test_costs_are_shown_where_they_fit(collected, width, shown):
    text = text_of(compare(collected({"mse": MSE, "mae": MAE}, cost=COST)), width)
    assert ("0.21 ms, 1.3 MB of 2.4 ms per step" in text) is shown
    assert "2.250 [2.137, 2.363]" in text


def test_the_answer_is_first(collected, tmp_path):
    file = io.StringIO()
    show(Console(file=file, width=80), compare(collected({"mse": MSE, "mae": MAE})), tmp_path)
    lines = file.getvalue().splitlines()
    assert lines[:4] == [
        "On regression, mae has the best mean absolute error; mse is worse by about 1. 12",
        "seeds; holds for new data of this kind.",
        "Next: nothing, the answer is decided",
        "",
    ]
    assert lines[4].startswith("regression: test metrics")


def test_a_comparison_is_shown_with_the_path_of_its_report(collected, tmp_path):
    file = io.StringIO()
    folder = tmp_path / ("long" * 40)
    show(Console(file=file, width=80), compare(collected({"mse": MSE, "mae": MAE})), folder)
    last = file.getvalue().splitlines()[-1]
    path = Path(last.removeprefix("report: "))
    assert path.parent == folder
    assert path.is_file()
