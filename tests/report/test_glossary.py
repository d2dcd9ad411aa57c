"""The glossary explains what occurs, in one line each."""

import re

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.location import TRIMMED
from losslab.report.glossary import TERMS, glossary
from losslab.report.markup import markdown

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3, 2.6, 2.2]
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, 1.5, 1.6, 1.2]


def test_only_what_occurs_is_explained():
    assert glossary("The loss is fast.") == {}
    assert list(glossary("ECE by 8 seeds, p = 0.02 (sign flips, Holm over 3)")) == [
        *("seeds", "p", "Holm", "sign flips", "ECE")
    ]


@pytest.mark.parametrize(
    "method",
    [
        *("sign flips", "corrected t", "crossed t", "sign test", TRIMMED, "McNemar's test"),
        *("stratified sign flips", "Satterthwaite's t", "Friedman's test", "Wilcoxon"),
    ],
)
def test_every_test_is_explained(method):
    assert list(glossary(f"p = 0.02 ({method})")) == ["p", method]


def test_meanings_are_one_line():
    for pattern, meaning in TERMS.values():
        re.compile(pattern)
        assert "\n" not in meaning
        assert len(meaning) < 160


def test_a_report_ends_with_the_terms_that_it_uses(collected):
    text = markdown(compare(collected({"mse": MSE, "mae": MAE})))
    glossary_text = text.partition("## Glossary\n")[2]
    assert "- **sign flips**: exact test" in glossary_text
    assert "ECE" not in glossary_text
