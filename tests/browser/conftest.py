"""A page of a headless Chromium; where there is none, these tests are skipped."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chromium import Page, find_browser


@pytest.fixture
def page(tmp_path):
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    opened = Page(browser, tmp_path / "profile")
    yield opened
    opened.close()
