"""docs/losses-of-others.md says what is found, for the libraries that are installed here."""

import warnings
from collections import Counter

import pytest

from load_script import load_script

peers = load_script("peers")
LINES = peers.PAGE.read_text().splitlines()


@pytest.mark.parametrize("library", peers.LOSSES)
def test_the_page_holds_what_is_found(library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(peers.table(library, peers.LOSSES[library]))
    if not found:
        pytest.skip(f"needs {library}")
    written = [line for line in LINES if line.startswith(f"| {library} |")]
    if written[0].split("|")[2] != found[0].split("|")[2]:
        pytest.skip(f"the page was made with another version of {library}")
    assert found == written


def test_the_page_has_a_row_for_each_loss():
    rows = Counter(line.split("|")[1].strip() for line in LINES if line.startswith("| "))
    del rows["library"]
    assert rows == {library: len(losses) for library, losses in peers.LOSSES.items()}
    assert len(rows) == 8
