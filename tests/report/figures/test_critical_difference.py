"""The critical-difference diagram, read off its axes."""

from dataclasses import replace

import pytest

from losslab.analysis.ranking import RankedPair, Ranking
from losslab.metrics.labels import metric
from losslab.report.figures.critical_difference import critical_difference


@pytest.fixture
def ranking():
    """Three losses: huber and mae do not differ, both are better than mse."""
    pairs = (
        RankedPair("huber", "mae", (5, 4), 3.0, 0.9, 0.9),
        RankedPair("huber", "mse", (9, 0), 45.0, 0.004, 0.012),
        RankedPair("mae", "mse", (9, 0), 45.0, 0.004, 0.012),
    )
    ranks = {"huber": 1.4, "mae": 1.6, "mse": 3.0}
    return Ranking(metric("mae"), 9, ranks, (), {}, 0.001, pairs)


def bars(axes):
    """The ranks that each bar joins."""
    return [list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 2.2]


def test_mean_ranks_and_bars(ranking):
    [axes] = critical_difference(ranking).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["huber", "mae", "mse"]
    assert [text.get_text() for text in axes.texts] == ["1.40", "1.60", "3.00"]
    assert bars(axes) == [[1.4, 1.6]]


def test_without_a_difference_in_friedmans_test_all_losses_are_joined(ranking):
    [axes] = critical_difference(replace(ranking, friedman_p=0.2)).axes
    assert bars(axes) == [[1.4, 3.0]]


def test_letters_can_be_read_on_a_phone(ranking):
    """At 390 pixels no letter is smaller than 9 pixels."""
    figure = critical_difference(ranking)
    pixels_per_point = 390 / figure.get_figwidth() / 72
    [axes] = figure.axes
    sizes = [text.get_fontsize() for text in [*axes.texts, *axes.get_yticklabels()]]
    assert min(sizes) * pixels_per_point >= 9
