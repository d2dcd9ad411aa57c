"""Reports of more rows than a screen has lines."""

import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from losslab.analysis.comparison import compare
from losslab.report import write
from losslab.report.console import FEW_ROWS, show
from losslab.report.figures import rendering
from losslab.report.figures.selection import ReportFigure, both
from losslab.report.figures.style import new_figure
from losslab.report.frames import grid, pairs_grid
from losslab.report.html import page
from losslab.report.latex import latex
from losslab.report.methods import paragraphs

ROWS = 250


def many(collected, rows=ROWS, **options):
    maes = {f"loss{place:03d}": [1 + place / 100, 1.01 + place / 100] for place in range(rows)}
    return compare(collected(maes), **options)


def shown(comparison, tmp_path, monkeypatch) -> list[str]:
    monkeypatch.setattr("losslab.report.console.write_report", lambda *_: tmp_path / "report.html")
    console = Console(width=80, record=True, quiet=False, file=(tmp_path / "out").open("w"))
    show(console, comparison, tmp_path)
    return console.export_text().splitlines()


def test_the_terminal_shows_a_screen_that_ends_with_the_answer(collected, tmp_path, monkeypatch):
    lines = shown(many(collected), tmp_path, monkeypatch)
    assert len(lines) < 60
    text = "\n".join(lines)
    assert f"{ROWS - FEW_ROWS} more rows" in text
    assert "loss009" in text
    assert "loss010  2" not in text
    assert text.index("more rows") < text.index("On regression,") < text.index("report: ")


def test_the_baseline_is_shown_wherever_it_stands(collected, tmp_path, monkeypatch):
    text = "\n".join(shown(many(collected, baseline="loss099"), tmp_path, monkeypatch))
    assert " 100  loss099" in text


def test_a_short_table_is_shown_whole_below_the_answer(collected, tmp_path, monkeypatch):
    text = "\n".join(shown(many(collected, rows=12), tmp_path, monkeypatch))
    assert "loss011  2" in text
    assert "more rows" not in text
    assert text.index("On regression,") < text.index("loss011  2")


def test_files_say_which_rows_and_pairs_they_leave_out(collected):
    comparison = many(collected)
    [table] = comparison.tables
    html = page(comparison, {})
    assert "the best 200 of 250 rows; table.csv has all" in html
    assert ">loss199<" in html
    assert ">loss200<" not in html
    assert "more pairs in pairs.csv" in html
    assert (len(grid(table)), len(pairs_grid(table))) == (201, 201)
    assert len(write.table_frame(comparison)) == ROWS * 2
    assert len(write.pairs_frame(comparison)) == ROWS - 1


def test_a_paper_says_what_was_compared(collected):
    comparison = many(collected, rows=50)
    text = latex(comparison)
    assert "Bold: not significantly worse than loss000" in text or "nothing is bold" in text
    assert "each loss with the best one" in " ".join(paragraphs(comparison))


def test_figures_rendered_by_several_processes_are_the_same(tmp_path, monkeypatch):
    def draw():
        figure = new_figure(2, 1)
        figure.subplots().plot([0, 1])
        return figure

    folders = [tmp_path / "one", tmp_path / "several"]
    texts = []
    for folder, processes in zip(folders, (1, 2), strict=True):
        folder.mkdir()
        monkeypatch.setattr(rendering, "MOST_PROCESSES", processes)
        monkeypatch.setattr(rendering, "_can_fork", lambda: True)
        figures = [ReportFigure(name, "", *both(draw)) for name in ("a", "b")]
        rendering.save_figures(figures, folder)
        assert ("svg" in figures[1].__dict__) is True
        texts.append([(figure.svg, figure.phone_svg) for figure in figures])
    assert texts[0] == texts[1]
    one, several = ({each.name: each.read_bytes() for each in f.iterdir()} for f in folders)
    assert one == several
    assert set(one) == {"a.png", "a.svg", "b.png", "b.svg"}


@pytest.mark.parametrize(
    ("threads", "on_device", "forks"), [(1, False, True), (2, False, False), (1, True, False)]
)
def test_figures_are_rendered_in_forks_unless_torch_has_threads(
    monkeypatch, threads, on_device, forks
):
    cuda = SimpleNamespace(is_initialized=lambda: on_device)
    torch = SimpleNamespace(get_num_threads=lambda: threads, cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(rendering.threading, "active_count", lambda: 1)
    assert rendering._can_fork() is (forks and sys.platform == "linux")
