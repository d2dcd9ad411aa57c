"""The report as one HTML file."""

import re
from html.parser import HTMLParser

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.report.figures.selection import table_figures
from losslab.report.html import page

VOID = {"meta", "br", "img"}


class Outline(HTMLParser):
    """Tags that are open, ids, and what a page would ask a server for."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.asked, self.rows = [], [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.asked += [given[key] for key in ("src", "href", "xlink:href") if key in given]
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append(given["data-value"])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def html(made_up):
    runs = [
        made_up(loss, seed, level + seed, overrides=("trainer.max_epochs=3",))
        for loss, level in (("mse", 9.0), ("a<b&c", 10.0))
        for seed in range(3)
    ]
    comparison = compare(Collection(tuple(runs)))
    [table] = comparison.tables
    return page(comparison, {table.name: list(table_figures(comparison, table))})


@pytest.fixture
def outline(html):
    read = Outline()
    read.feed(html)
    return read


def test_it_is_whole_and_asks_nobody(outline):
    assert outline.open == []
    assert all(address.startswith(("#", "data:")) for address in outline.asked)


def test_it_begins_with_the_answer(html):
    assert "<title>mse and a&lt;b&amp;c on regression</title>" in html
    body = html.partition("<body>")[2]
    answer = body.index("On regression, undecided between mse and a&lt;b&amp;c")
    following = body.index("Next: more seeds: at least 6")
    assert answer < following < body.index("<dl") < body.index("<table>") < body.index("<svg")
    assert body.rindex("Glossary") > body.rindex("<svg")


def test_phones_get_figures_of_their_own_and_a_hint(html):
    assert html.count('<div class="phone">') == html.count('<div class="desk">') > 1
    assert html.count('<p class="hint" hidden>Scroll sideways') == 1 + html.count('class="phone"')
    assert "@media (max-width: 50rem)" in html


def test_costs_are_a_column_that_is_sorted_by_the_time_of_the_loss(made_up):
    cost = {"loss_ms": 0.214, "loss_mb": 1.31, "step_ms": 2.44, "run_mb": None}
    runs = [made_up("mse", 0, 1.0, cost=cost), made_up("mae", 0, 2.0)]
    text = page(compare(Collection(tuple(runs))), {})
    assert '<td data-value="0.214">0.21 ms, 1.3 MB <small>of 2.4 ms per step</small></td>' in text
    assert '<td data-value=""></td>' in text
    assert ">cost<" not in page(compare(Collection((made_up("mse", 0, 1.0),))), {})


def test_its_heading_says_what_every_run_was_asked_for(html):
    assert "<h2>regression (trainer.max_epochs=3)</h2>" in html
    assert "Test metrics: mean over seeds [95 % interval], the best by mean absolute error" in html


def test_ids_are_unique_over_all_pictures(outline):
    assert len(outline.ids) == len(set(outline.ids)) > 10


def test_each_reference_within_a_picture_has_its_target(outline, html):
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', html))
    assert {first or second for first, second in used} <= set(outline.ids)


def test_cells_carry_the_number_that_they_are_sorted_by(outline):
    body = [row for row in outline.rows if row]
    assert [(row[0], row[1], float(row[2])) for row in body] == [
        ("mse", "3", 10.0),
        ("a<b&c", "3", 11.0),
    ]


def test_pictures_follow_the_page_in_light_and_dark(html):
    assert "prefers-color-scheme: dark" in html
    assert "var(--ink)" in html
    pictures = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert not re.search("#222222|#dddddd|#666666", pictures)
