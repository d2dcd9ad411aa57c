"""docs/losses-of-others.md says what is found, for the libraries that are installed here."""

import importlib.util
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("peers", ROOT / "scripts" / "peers.py")
peers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peers)

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


def test_at_least_sixty_losses_of_eight_libraries():
    rows = [line.split("|")[1].strip() for line in LINES if line.startswith("| ")][1:]
    assert len(rows) >= 60
    assert len(set(rows)) == 8
