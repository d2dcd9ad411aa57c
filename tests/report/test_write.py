import re
from pathlib import Path

import pandas as pd
import pytest
from numpy.testing import assert_allclose

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.report.latex import latex
from losslab.report.markup import markdown
from losslab.report.write import write_report
from losslab.runs.looks import Looks

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3]
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, "diverged"]


@pytest.fixture
def comparison(collected):
    return compare(collected({"mse": MSE, "mae": MAE}), columns=["mae", "ref/mse"])


def test_the_folder_of_a_report(comparison, tmp_path):
    folder = tmp_path / "deep" / "report"
    first = write_report(comparison, folder)
    assert first.parent == folder
    assert first.is_file()
    assert {"runs.csv", "table.csv", "pairs.csv", "table.tex", "report.md"} <= {
        path.name for path in folder.iterdir()
    }


def test_the_same_runs_give_the_same_report(comparison, tmp_path):
    for name in ("one", "two"):
        write_report(comparison, tmp_path / name)
    one, two = tmp_path / "one", tmp_path / "two"
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert Path("report.html") in files
    assert Path("figures/final_metrics.svg") in files
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def test_runs_are_a_tidy_row_each(comparison, tmp_path):
    write_report(comparison, tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv").set_index(["loss", "seed"])
    assert len(runs) == 12
    assert runs.loc[("mae", 5), "outcome"] == "diverged"
    assert runs.loc[("mae", 5), "problem"] == "diverged at step 7: mae gave nan"
    assert runs.loc[("mse", 1), "test/mae"] == 2.5
    assert runs.loc[("mse", 1), "optimizer.lr"] == 0.02


def test_a_table_is_a_tidy_row_a_mean(comparison, tmp_path):
    write_report(comparison, tmp_path)
    table = pd.read_csv(tmp_path / "table.csv").set_index(["row", "metric"])
    mae = table.loc[("mae", "mae")]
    assert_allclose(mae["mean"], 1.2)
    assert (mae["n"], mae["failed"], mae["runs"], mae["better"]) == (5, 1, 6, "lower")
    assert_allclose(table.loc[("mse", "ref/mse"), "mean"], sum(x * x for x in MSE) / 6)


def test_costs_are_columns_of_the_table(collected, tmp_path):
    cost = {"loss_ms": 0.2, "loss_mb": 1.5, "step_ms": 2.0, "run_mb": None}
    comparison = compare(collected({"mse": MSE[:2]}, cost=cost))
    write_report(comparison, tmp_path)
    row = pd.read_csv(tmp_path / "table.csv").iloc[0]
    assert (row["cost_loss_ms"], row["cost_loss_mb"], row["cost_step_ms"]) == (0.2, 1.5, 2.0)
    assert pd.isna(row["cost_run_mb"])
    assert "| 0.2 ms, 1.5 MB of 2 ms per step |" in markdown(comparison)
    assert " ms" not in latex(comparison)


def test_pairs_hold_all_that_was_tested(comparison, tmp_path):
    write_report(comparison, tmp_path)
    [pair] = pd.read_csv(tmp_path / "pairs.csv").to_dict("records")
    assert (pair["a"], pair["b"], pair["n"], pair["test"]) == ("mse", "mae", 5, "sign flips")
    assert pd.isna(pair["better"])
    assert_allclose([pair["p"], pair["difference"]], [2 / 2**5, 1.04])
    assert (pair["failed_a"], pair["failed_b"], pair["p_failures"]) == (0, 1, 1.0)
    assert pair["looks"] == 1


def test_pairs_hold_the_looks(collected, tmp_path):
    runs = collected({"mse": [*MSE, *MSE], "mae": [value - 1 for value in [*MSE, *MSE]]})
    looks = Looks((frozenset(range(8)),), planned=(8, 12))
    write_report(compare(runs, looks=looks), tmp_path)
    [pair] = pd.read_csv(tmp_path / "pairs.csv").to_dict("records")
    assert (pair["looks"], pair["decided_after"]) == (2, 8)


def test_markdown_begins_with_the_answer(comparison):
    lines = markdown(comparison).splitlines()
    assert lines[0] == "# mse and mae on regression"
    assert lines[2].startswith("**On regression, undecided between mse and mae: too few seeds")
    assert lines[4].startswith("Next: tune the learning rate of each loss: losslab tune")


def test_markdown_says_the_table_the_verdict_and_the_pairs(comparison):
    text = markdown(comparison)
    assert "| loss | seeds | mean absolute error ↓ | mse loss ↓ |\n|---|---|---|---|\n" in text
    assert "| mae | 5, 1 of 6 failed | 1.200 [" in text
    assert "- mae: 1 of 6 diverged, seed 5" in text
    assert "| mean absolute error | mse | mae | 5 | +1.04 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5, 10}


def test_several_data_sets_are_pooled(sweep, tmp_path):
    runs = []
    for place in range(7):
        found = sweep({"mse": MSE, "mae": MAE}, settings={"choices.data": f"set{place}"})
        for run in found:
            run.record["hashes"]["data"] = f"set{place}"
        runs += found
    write_report(compare(Collection(tuple(runs))), tmp_path)
    [pair] = pd.read_csv(tmp_path / "pooled.csv").to_dict("records")
    assert (pair["a"], pair["b"], pair["data_sets"], pair["n"]) == ("mae", "mse", 7, 35)
    assert (pair["better"], pair["unit"]) == ("mae", "relative")
    for name in ("report.md", "report.html"):
        overall = (tmp_path / name).read_text().partition("Overall")[2]
        assert "mae is better than mse on average over these 7 data sets" in overall
        assert "mae is better than mse for data sets like these" in overall
        assert "joined by a bar" in overall
        assert "(7 runs of mae failed)" in overall
    assert (tmp_path / "figures" / "critical_difference.png").is_file()


def test_one_data_set_is_not_pooled(comparison, tmp_path):
    write_report(comparison, tmp_path)
    assert not (tmp_path / "pooled.csv").exists()


def test_latex_is_escaped(collected):
    settings = {"choices.data": "my_data", "task.metrics": ["accuracy"]}
    collection = collected({"cross_entropy": MSE}, settings=settings)
    for run in collection.runs:
        run.record["test"] = {"accuracy": 0.5, "r2": 0.5}
    text = latex(compare(collection, columns=["accuracy", "r2"]))
    assert r"\begin{tabular}{lrr}" in text
    assert r"loss & accuracy [\%] $\uparrow$ & R$^2$ $\uparrow$ \\" in text
    assert r"cross\_entropy & 50.00 [50.00, 50.00] & 0.5000 [0.5000, 0.5000] \\" in text


def test_settings_that_differ_much_give_names_that_fit(sweep, tmp_path):
    options = [f"data.option_number_{place}" for place in range(20)]
    maes = {"mse": [2.0, 2.5], "mae": [1.0, 1.4]}
    runs = [run for value in (1, 2) for run in sweep(maes, settings=dict.fromkeys(options, value))]
    write_report(compare(Collection(tuple(runs))), tmp_path)
    names = [path.name for path in (tmp_path / "figures").glob("*_final_metrics.png")]
    assert len(names) == 2
    assert max(map(len, names)) <= 140


INJECTIONS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://tracker.example/x.png)",
    "[click](javascript:alert(1))",
    "a|b\n\n# Heading\n- item",
    "`code` ``` fence",
    "</td></tr></table><iframe src=//x>",
    "{{7*7}} ${7*7} {% x %}",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "\\input{/etc/passwd} $x$ $\\frac$",
)


def test_names_and_notes_are_texts_in_all_files_of_a_report(sweep, tmp_path):
    text = " ".join(INJECTIONS)
    losses = ("mse", text, "=HYPERLINK(1)", "@SUM(1)", "=1+1")
    runs = sweep(dict.fromkeys(losses, MSE), settings={"choices.data": text})
    for run in runs:
        run.record["data_notes"] = [text]
        run.record["loss_notes"] = {"warnings": [text]}
        run.record["command"] = f"python train.py {text}"
    write_report(compare(Collection(tuple(runs))), tmp_path)
    page = (tmp_path / "report.html").read_text()
    for tag in ("<script>alert", "<img src=x", "<iframe", "</td></tr></table><iframe"):
        assert tag not in page
    lines = (tmp_path / "report.md").read_text().splitlines()
    outside = [re.sub(r"(`+) .* \1|`[^`]*`", "", line) for line in lines]
    assert not [each for each in outside if re.search(r"(?<!\\)<[A-Za-z/!]|\]\((?!figures/)", each)]
    assert not [each for each in lines if each in ("# Heading", "- item")]
    for table in re.findall(r"(?:^\|.*\n)+", "\n".join([*outside, ""]), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    frame = pd.read_csv(tmp_path / "table.csv", dtype=str, keep_default_na=False)
    cells = [str(cell) for cell in [*frame.columns, *frame.to_numpy().flatten()]]
    formulas = [each for each in cells if re.match(r"[=+@-]", each)]
    assert not [each for each in formulas if not re.fullmatch(r"[+-](\d[\d.]*(e-?\d+)?|inf)", each)]
    assert {"'=1+1", "'@SUM(1)"} <= set(cells)
    table = "".join(
        line for line in (tmp_path / "table.tex").read_text().splitlines() if line[:1] != "%"
    )
    assert not re.search(r"\\input|(?<!\\)\$x", table)
