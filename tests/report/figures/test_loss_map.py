"""The figure of a map, read off its axes, and its files."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from losslab.config.axes import Axis
from losslab.report.figures.loss_map import TINT, draw_loss_map
from losslab.report.figures.style import drawing_for, looks
from losslab.report.loss_map import write_loss_map

LOSSES = ("mae", "mse")


def error(loss, outliers, lr, seed):
    """Mae is better with many outliers; the sign varies with the seed for few."""
    sign = -1 if outliers == 0.2 else (-1) ** seed
    return 2 + 0.01 * seed + sign * 0.3 * (loss == "mae")


@pytest.fixture
def found(mapped):
    return mapped(LOSSES, error, 8)


def cells(axes):
    """Colour, opacity and hatch by the middle of each cell, rounded."""
    shown = {}
    for patch in axes.patches:
        x, y = patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2
        entry = shown.setdefault((round(x, 6), round(y, 6)), {})
        if patch.get_fill():
            entry["colour"] = to_hex(patch.get_facecolor())
            entry["opacity"] = patch.get_facecolor()[3]
        else:
            entry["hatch"] = patch.get_hatch()
    return shown


def test_cells_are_coloured_by_their_best_loss_and_hatched_where_unsure(found):
    [axes] = draw_loss_map(found).axes
    shown = cells(axes)
    assert len(shown) == 6
    look = looks(LOSSES)
    # learning rates are drawn by their logarithm
    assert shown[0.2, -1] == {"colour": look["mae"].colour, "opacity": 1.0}
    assert shown[0.0, -2]["opacity"] == TINT
    assert shown[0.0, -2]["hatch"] == "////"


def test_axes_have_the_values_of_the_grid(found):
    [axes] = draw_loss_map(found).axes
    assert [each.get_text() for each in axes.get_xticklabels()] == ["0", "0.1", "0.2"]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["0.01", "0.1"]
    assert axes.get_xlabel() == "outliers"
    assert axes.get_ylabel() == "lr (logarithmic)"
    assert axes.get_xlim() == pytest.approx((-0.05, 0.25))
    assert axes.get_ylim() == pytest.approx((-2.5, -0.5))


def test_a_long_axis_has_a_label_for_some_values(mapped):
    axis = Axis("data.outliers", tuple(np.linspace(0, 0.16, 17).round(2).tolist()))
    [axes] = draw_loss_map(mapped(LOSSES, error, 2, x=axis)).axes
    texts = [each.get_text() for each in axes.get_xticklabels()]
    assert texts == ["0", "0.03", "0.06", "0.09", "0.12", "0.15"]


def test_letters_can_be_read_on_a_phone(found):
    """At 390 pixels no letter is smaller than 9 pixels."""
    with drawing_for("phone"):
        narrow = draw_loss_map(found)
    for figure in (draw_loss_map(found), narrow):
        [axes] = figure.axes
        sizes = [each.get_fontsize() for each in [*axes.get_xticklabels(), axes.xaxis.label]]
        assert min(sizes) * 390 / figure.get_figwidth() / 72 >= 9


def test_files(found, tmp_path):
    files = write_loss_map(found, tmp_path)
    assert [path.name for path in files] == ["map.png", "map.svg", "map.csv", "map.md"]
    table = pd.read_csv(tmp_path / "map.csv")
    assert len(table) == 6
    row = table[(table["data.outliers"] == 0.2) & (table["optimizer.lr"] == 0.1)].iloc[0]
    assert (row["best"], row["runner_up"], row["established"]) == ("mae", "mse", "yes")
    assert (row["mean"], row["difference"]) == pytest.approx((1.735, -0.3))
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["p"] == pytest.approx(6 * 2 / 2**8)
    page = (tmp_path / "map.md").read_text()
    assert "| lr \\ outliers | 0 | 0.1 | 0.2 |" in page
    assert page.count("**mae**") == 2
    assert "![Map of the best of mae, mse over outliers from 0 to 0.2 and lr from 0.01" in page
