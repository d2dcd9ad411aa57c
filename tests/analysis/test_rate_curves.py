"""Learning rates that curves of a range test suggest."""

import math

import numpy as np
import pytest

from losslab.analysis import rate_curves
from losslab.analysis.rate_curves import RateCurve, smoothed
from losslab.report.learning_rates import LearningRates

RATES = tuple(np.geomspace(1e-7, 10, 100).tolist())


def curve(losses):
    return RateCurve(RATES[: len(losses)], tuple(losses), steps=100)


def test_a_moving_average_weighs_the_past():
    values = np.array([3.0, 1.0, 4.0, 1.0])
    weights = np.array([0.98 ** (3 - i) for i in range(4)])
    assert smoothed(values.tolist())[-1] == pytest.approx((values * weights).sum() / weights.sum())


def test_the_valley_is_half_way_down_the_longest_fall():
    """A loss that is flat for 40 steps, falls for 30 and then rises."""
    losses = [2.0] * 40 + np.linspace(2, 0.5, 30).tolist() + np.linspace(0.6, 3, 20).tolist()
    found = curve(losses)
    # 10 steps are left out; one of the flat values and all 29 below it make 30: 69 - 30 + 10 + 5
    assert found.valley == RATES[54]
    assert found.lowest == RATES[69]


def test_the_steepest_point_is_that_of_the_largest_drop():
    losses = np.linspace(2, 1, 90)
    losses[60:] -= 0.2
    assert curve(losses).steepest == RATES[59]


@pytest.mark.parametrize("losses", [[2.0] * 90, np.linspace(1, 3, 90).tolist(), [1.0], [3.0, 2.0]])
def test_no_suggestion_for_a_loss_that_does_not_fall(losses):
    found = LearningRates({"mine": curve(losses)}, "digits", 0)
    assert all(map(math.isnan, found.suggestions["mine"].values()))
    assert "mine  -       -" in repr(found)
    assert len(found.plot().axes) == 1


def test_tables_and_files(tmp_path):
    fall = np.linspace(2, 1, 90).tolist()
    found = LearningRates({"mse": curve(fall), "mae": curve(fall[:50])}, "digits", 3)
    table = found.table()
    assert list(table.columns) == ["loss", "valley", "steepest", "lowest", "steps"]
    assert table["steps"].tolist() == [90, 50]
    assert table["valley"].tolist() == [found.suggestions[loss]["valley"] for loss in table["loss"]]
    names = [path.name for path in found.save(tmp_path)]
    assert names == ["lr_find.png", "suggestions.csv", "curves.csv"]
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 1 + 90 + 50


def test_the_longest_fall_is_searched_once_per_curve(monkeypatch):
    searched = []
    monkeypatch.setattr(
        rate_curves, "longest_fall", lambda losses: searched.append(losses) or (0, len(losses))
    )
    fall = np.linspace(2, 1, 90).tolist()
    found = LearningRates({"mse": curve(fall), "mae": curve(fall)}, "digits", 3)
    assert found.suggestions["mse"] == found.suggestions["mae"]
    assert "mse" in repr(found)
    assert len(found.table()) == len(searched) == 2


def test_files_hold_no_formula(tmp_path):
    fall = np.linspace(2, 1, 90).tolist()
    LearningRates({"=HYPERLINK(1)": curve(fall)}, "digits", 3).save(tmp_path)
    for name in ("suggestions.csv", "curves.csv"):
        assert (tmp_path / name).read_text().splitlines()[1].startswith("'=HYPERLINK(1),")
