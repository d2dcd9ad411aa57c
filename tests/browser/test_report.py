"""The report's page as a reader has it, made of runs that are made up."""

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection, Run
from losslab.report.write import write_report
from losslab.runs.record import new_record

pytestmark = pytest.mark.browser

METRICS = ["mae", "rmse", "r2", "slope_error", "intercept_error"]
LEVELS = {"huber": 9.0, "mae": 10.0, "mse": None}
"""As text, 10 would come before 9; mse has never finished."""


def config_and_record(loss, seed, level):
    content = new_record()
    content.update(loss=loss, seed=seed, data="line", task="regression", epochs=1)
    content.update(hashes=dict.fromkeys(("weights", "data", "batches"), str(seed)))
    if level is None:
        content.update(status="failed", error={"kind": "diverged", "message": "nan", "step": 7})
    else:
        content.update(status="done", test=dict.fromkeys(METRICS, level + 0.1 * seed))
    choices = {"loss": loss, "data": "line", "task": "regression"}
    task = {"metrics": METRICS, "monitor": "mae", "mode": "min"}
    return {"choices": choices, "task": task, "seed": seed, "overrides": ["data.noise=2"]}, content


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The address of a report."""
    folder = tmp_path_factory.mktemp("sweep")
    runs = []
    for loss, level in LEVELS.items():
        for seed in range(3):
            config, content = config_and_record(loss, seed, level)
            runs.append(Run(folder / loss / str(seed), content, config))
    return write_report(compare(Collection(tuple(runs))), folder / "report").as_uri()


@pytest.fixture
def report(page, written):
    """The same, shown by the page."""
    page.open(written)
    return written


def first_column(page):
    return page.ask("[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].innerText)")


def click(page, head):
    page.ask(f"document.querySelectorAll('th button')[{head}].click()")


def test_it_asks_nobody_and_its_scripts_do_not_fail(page, report):
    click(page, 0)
    assert page.errors == []
    assert {address for address in page.requests if not address.startswith("data:")} == {report}


def test_a_click_sorts_by_number_and_leaves_the_empty_row_last(page, report):
    assert first_column(page) == ["huber", "mae", "mse"]
    click(page, 2)
    assert first_column(page) == ["huber", "mae", "mse"]
    click(page, 2)
    assert first_column(page) == ["mae", "huber", "mse"]
    click(page, 0)
    assert first_column(page) == ["huber", "mae", "mse"]
    marks = page.ask("[...document.querySelectorAll('th')].map(head => head.ariaSort)")
    assert marks == ["ascending"] + [None] * 6


def test_five_metrics_fit_the_page(page, report):
    room, table = page.ask(
        "[document.body.clientWidth, document.querySelector('table').offsetWidth]"
    )
    assert table <= room
    assert "line (data.noise=2)" in page.text()


def test_pictures_follow_light_and_dark(page, report):
    for scheme, bright in (("light", True), ("dark", False)):
        page.prefer(scheme)
        ink = page.ask("getComputedStyle(document.querySelector('svg text')).fill")
        paper = page.ask("getComputedStyle(document.body).backgroundColor")
        assert (mean_of(paper) > 127, mean_of(ink) > 127) == (bright, not bright)


LEAST_TEXT = """Math.min(...[...document.querySelectorAll('svg text')]
  .filter(text => text.getClientRects().length)
  .map(text => parseFloat(getComputedStyle(text).fontSize)
    * text.ownerSVGElement.getBoundingClientRect().width
    / text.ownerSVGElement.viewBox.baseVal.width))"""
"""Size in pixels of the smallest letters that are shown in a figure."""


def test_everything_can_be_read_on_a_phone(page, report):
    page.size(390, 844)
    page.open(report)
    assert page.ask("document.documentElement.scrollWidth") == 390
    assert page.ask(LEAST_TEXT) > 10.5
    hint = "document.querySelector('.hint').hidden"
    assert page.ask(hint) is False
    assert page.ask("document.querySelector('.wide').scrollWidth") > 390
    page.size(1280, 900)
    page.wait_for(hint)


def mean_of(colour):
    """Of ``rgb(34, 34, 34)``."""
    return sum(map(int, colour.strip("rgb()").split(","))) / 3
