"""What a paper needs of a comparison: LaTeX, figures, methods and references."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.analysis.search import Tuning
from losslab.config import groups
from losslab.metrics.labels import metric
from losslab.report import paper
from losslab.report.bibliography import WITHOUT_PAPER, bibtex, entries, keys_for, keys_of_row
from losslab.report.latex import escaped, latex
from losslab.report.methods import TESTS, as_latex, as_text, citations, paragraphs
from losslab.report.paper import write_paper
from made_up_runs import made_up, sweep

GOOD = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07]
BAD = [value + 1 for value in GOOD]
FILES = ["tables.tex", "pairs.tex", "methods.tex", "methods.txt", "references.bib", "paper.tex"]


def compared(maes=None, *, record=None, **options):
    maes = {"huber": GOOD, "mae": GOOD[::-1], "mse": BAD} if maes is None else maes
    versions = {"losslab": "0.1.0", "torch": "2.14.1"}
    runs = sweep(maes, versions=versions, **record or {})
    return compare(Collection(tuple(runs)), **options)


def rows(text):
    return {line.partition(" &")[0]: line for line in text.splitlines() if " & " in line}


# --- tables ---------------------------------------------------------------------------------------


def test_rows_that_none_beats_are_bold():
    text = latex(compared(), "sd")
    lines = rows(text)
    bold = r"\textbf{1.035 $\boldsymbol{\pm}$ 0.024}"
    assert lines["huber"] == rf"huber & {bold} & 1.294 $\pm$ 0.031 \\"
    assert lines["mae"].startswith(rf"mae & {bold} & ")
    assert lines["mse"] == r"mse & 2.035 $\pm$ 0.024 & 2.544 $\pm$ 0.031 \\"
    assert "Bold: no other loss is significantly better in mean absolute error" in text
    assert r"(at 5 \% after correction for 3 comparisons)" in text


def test_without_a_significant_difference_nothing_is_bold():
    text = latex(compared({"huber": GOOD, "mae": GOOD[::-1]}), "interval")
    assert "textbf" not in text
    assert "No difference in mean absolute error is significant" in text
    assert rows(text)["mae"] == r"mae & 1.035 [1.015, 1.055] & 1.294 [1.268, 1.319] \\"


def test_with_a_baseline_those_better_than_it_are_bold():
    comparison = compared({"huber": GOOD, "mae": BAD, "mse": BAD}, baseline="mse")
    text = latex(comparison, "none")
    assert [name for name, line in rows(text).items() if "textbf" in line] == ["huber"]
    assert "Bold: significantly better than mse in mean absolute error" in text
    same = latex(compared({"mse": GOOD, "mae": GOOD}, baseline="mse"))
    assert "No loss is significantly better than mse" in same


def test_only_metrics_that_were_tested_have_bold():
    text = latex(compared(primary_metrics=["rmse"], columns=["mae"]), "none")
    assert rows(text)["huber"] == r"huber & \textbf{1.294} & 1.035 \\"


def test_columns_that_do_not_fit_on_a_page_are_in_blocks_below_each_other():
    long = {f"{name}_{'of_a_long_name' * 3}": GOOD for name in "ab"}
    columns = ["mae", "rmse", "loss", "ref/mse"]
    text = latex(compared(long, columns=columns), "interval")
    blocks = text.split(r"\medskip")
    assert [block.count(r"\begin{tabular}") for block in blocks] == [1, 1]
    assert [len(rows(block)) for block in blocks] == [3, 3]  # the losses stand in both
    assert sum(rows(block)["loss"].count("&") for block in blocks) == 4
    assert text.count(r"\caption") == 1
    assert r"\medskip" not in latex(compared(columns=columns), "interval")


def test_minus_signs_and_failed_seeds():
    comparison = compared({"mse": [-1.0, -2.0, "diverged"], "mae": GOOD[:3]})
    lines = rows(latex(comparison, "sd"))
    assert lines["mse"].startswith(r"mse & 2, 1 of 3 failed & $-$1.500 $\pm$ 0.707")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50 % #1 {x} $y", r"a\_b \& 50 \% \#1 \{x\} \$y"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("x^2 ~ <b>", r"x\^{}2 \~{} $<$b$>$"),
        ("größer β\N{EN DASH}Ω, λΛ", r"größer $\beta$--$\Omega$, $\lambda$$\Lambda$"),
        ("naïve Č 中", "naïve C ?"),
    ],
)
def test_texts_are_escaped(text, expected):
    assert escaped(text) == expected


# --- methods and references -----------------------------------------------------------------------


def test_every_loss_of_conf_has_a_paper_or_a_reason():
    named = {
        loss for each in entries().values() for loss in each.field("losses").split(", ") if loss
    }
    assert named | set(WITHOUT_PAPER) == set(groups.names("loss"))
    assert not named & set(WITHOUT_PAPER)


def test_entries_are_whole():
    for key, entry in entries().items():
        assert all(entry.field(name) for name in ("author", "title", "year")), key
        assert entry.text.count("{") == entry.text.count("}"), key
        assert sum(bool(entry.field(name)) for name in ("losses", "libraries", "methods")) == 1
        for ours in ("losses =", "libraries =", "methods ="):
            assert ours not in entry.bibtex
    assert entries()["graves2006ctc"].short == "Graves et al., 2006"
    assert entries()["cortes1995svm"].short == "Cortes and Vapnik, 1995"


def test_every_test_is_described():
    for method in ("sign flips", "corrected t", "crossed t"):
        assert keys_for("methods", method)
    assert set(TESTS) >= {"sign flips", "corrected t", "crossed t", "sign test"}


def cited(loss, settings=None, **given):
    [table] = compare(Collection((made_up(loss, 0, 1.0, settings=settings, **given),))).tables
    return keys_of_row(table.rows[0])


def test_losses_are_cited_by_choice_class_or_library():
    assert cited("huber") == ("huber1964robust",)
    of_torch = {"class": "torch.nn.modules.loss.L1Loss"}
    target = "losslab.given.x1.mine"
    given = {"settings": {"loss._target_": target}, "overrides": (f"loss._target_={target}",)}
    assert cited("mse", **given) == ()  # your own, in the place of mse
    assert cited("mse", loss_notes=of_torch, **given) == ("paszke2019pytorch",)
    ours = {"class": "losslab.losses.classification.FocalLoss"}
    assert cited("mse", loss_notes=ours, **given) == ("lin2017focal",)
    parts = {
        "loss._target_": "losslab.losses.SumLoss",
        "loss.of.bce": {"weight": 1, "loss": {"_target_": "losslab.losses.BCELoss"}},
        "loss.of.jaccard": {"weight": 1, "loss": {"_target_": "monai.losses.DiceLoss"}},
    }
    assert cited("sum", settings=parts) == ("good1952rational", "cardoso2022monai")


def test_the_methods_say_what_was_done():
    record = {"sizes": {"train": 600, "val": 200, "test": 200}}
    what, how = paragraphs(compared(record=record, within={"mae": 0.1}))
    text = as_text(what)
    assert text.startswith(
        "We compared the losses huber (Huber, 1964), mae (Laplace, 1793) and mse (Gauss, 1823) on "
        "regression. The splits have 600 training, 200 validation, 200 test samples. Each seed "
        "draws new samples. The network was linear. It was trained by Adam with learning rate 0.02"
    )
    assert "The checkpoint that was tested was the best by validation mean absolute error." in text
    assert "Each loss was trained with 8 seeds. At each seed, all losses had the same data" in text
    text = as_text(how)
    assert (
        "all pairs of losses by mean absolute error, on the differences per seed, with a " in text
    )
    assert (
        "sign-flip test of the mean difference (a paired permutation test) (Fisher, 1935)" in text
    )
    assert "corrected for 3 comparisons by Bonferroni's method;" in text
    assert "equivalent within 0.1 in mean absolute error by two one-sided tests (Schuirmann" in text
    assert "Conclusions hold for new data of this kind." in text
    assert "losslab 0.1.0 and PyTorch 2.14.1 (Paszke et al., 2019)" in text
    assert citations([what, how])[:3] == [
        "huber1964robust",
        "laplace1793figure",
        "gauss1823theoria",
    ]


def test_the_methods_say_what_chose_the_settings():
    searched = Tuning(Path("x"), "tuned", 20, metric("mae"), (100,), (0, 1), {}, {})
    what, _ = paragraphs(compared(), searched)
    assert "(the default setting and points of one Sobol sequence), each on 1 seed," in what
    what, _ = paragraphs(compared(), replace(searched, sampler="optuna"))
    assert (
        "points of one Sobol sequence, and from the 11th on points of optuna's TPE (Bergstra et "
        "al., 2011; Akiba et al., 2019)), each on"
    ) in as_text(what)
    assert {"bergstra2011tpe", "akiba2019optuna"} <= set(citations([what]))


def test_the_methods_name_failures_baseline_and_center():
    failing = {"huber": ["diverged", *GOOD[1:]], "mse": BAD}
    what, how = paragraphs(compared(failing, baseline="mse", center="median"))
    assert "1 of 8 runs of huber failed." in what
    assert "each loss with mse" in how
    assert "as the median over seeds" in how
    assert "a sign test of the median difference" in how
    assert "McNemar's exact test" in how
    [only, rest] = paragraphs(compared({"mse": GOOD[:1]}))
    assert only.startswith("We trained with the loss mse")
    assert "1 seed." in only
    assert "significant" not in rest


def test_citations_in_latex():
    text = as_latex("50 % of mse [@gauss1823theoria] and my_loss [@a,b].")
    assert text == r"50 \% of mse~\cite{gauss1823theoria} and my\_loss~\cite{a,b}."


# --- all of it ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    lines = write_paper(compared(), folder)
    return folder, lines


def test_the_folder(written):
    folder, _ = written
    assert {*FILES, "runs.csv", "table.csv", "pairs.csv"} <= {
        each.name for each in folder.iterdir()
    }
    names = {each.stem for each in (folder / "figures").iterdir()}
    assert {"final_metrics", "seed_differences"} <= names
    shown = (folder / "paper.tex").read_text()
    for name in names:
        sizes = [(folder / "figures" / f"{name}.{end}").stat().st_size for end in ("pdf", "svg")]
        assert min(sizes) > 1000
        assert (folder / "figures" / f"{name}.png").is_file()
        assert f"{{figures/{name}.pdf}}" in shown
    cites = set(re.findall(r"\\cite\{(.*?)\}", (folder / "methods.tex").read_text()))
    keys = {key for each in cites for key in each.split(",")}
    assert keys == set(re.findall(r"^@\w+\{(.*),", (folder / "references.bib").read_text(), re.M))


def test_fonts_are_embedded_as_truetype(written):
    folder, _ = written
    content = (folder / "figures" / "final_metrics.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert "<text" not in (folder / "figures" / "final_metrics.svg").read_text()


def test_parquet_needs_pyarrow(written, monkeypatch, tmp_path):
    monkeypatch.setattr(paper, "is_installed", lambda name: False)
    monkeypatch.setattr(paper, "_figures", lambda *given: [])
    [note] = write_paper(compared(), tmp_path)
    assert note.startswith("Parquet files are left out: pyarrow is not installed: pip install ")
    assert not list(tmp_path.glob("*.parquet"))


def test_parquet_equals_csv(written):
    pytest.importorskip("pyarrow", reason="only pyarrow writes Parquet")
    folder, lines = written
    assert lines == []
    for name in ("runs", "table", "pairs"):
        parquet, csv = (
            pd.read_parquet(folder / f"{name}.parquet"),
            pd.read_csv(folder / f"{name}.csv"),
        )
        assert list(parquet.columns) == list(csv.columns)
        assert len(parquet) == len(csv)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles(written):
    folder, _ = written
    for command in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        options = ["-interaction=nonstopmode", "-halt-on-error"] if command == "pdflatex" else []
        subprocess.run([command, *options, "paper"], cwd=folder, check=True, capture_output=True)
    log = (folder / "paper.log").read_text(errors="replace")
    assert not re.findall(r"^LaTeX Warning: (?:Citation|Reference).*undefined", log, re.M)


def test_bibtex_has_each_entry_once():
    text = bibtex(["huber1964robust", "huber1964robust", "lin2017focal"])
    assert text.count("@article{huber1964robust,") == 1
    assert text.count("@") == 2
