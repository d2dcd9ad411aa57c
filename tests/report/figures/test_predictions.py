"""Predictions of several runs in one picture, and what a report finds in the run folders."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from losslab.report.figures.predictions import predictions
from losslab.report.figures.side_by_side import MOST_RUNS, run_figures
from losslab.report.figures.style import NothingToDraw
from losslab.runs.figure_data import Boxes, Clouds, Images, Line, Scatter, to_bytes

X = np.linspace(0, 1, 5)


def fit(slope):
    points = np.stack([X, X], axis=1)
    return Line("Fitted curve", "input", "target", X, slope * X, points, "test samples", points)


def images(level):
    given = np.stack([np.zeros((3, 4, 4)), np.ones((3, 4, 4))])
    made = np.full((2, 3, 4, 4), level)
    return Images("Masks", given, np.array(["image", "true mask"]), made, np.array(["1", "2"]))


def test_curves_stand_on_one_plot():
    [axes] = predictions({"mse": fit(2), "mae": fit(3)}).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == ["test samples", "mse", "mae", "truth"]
    np.testing.assert_array_equal(lines["mae"].get_ydata(), 3 * X)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input", "target")


def test_a_point_of_each_curve_is_named_once():
    marked = [Line("PR", "recall", "precision", X, X, mark=X[:2], mark_name="0.5") for _ in "ab"]
    [axes] = predictions(dict(zip("ab", marked, strict=True))).axes
    _, labels = axes.get_legend_handles_labels()
    assert labels == ["a", "0.5", "b"]


def test_images_stand_in_a_row_a_run():
    figure = predictions({"bce": images(0.25), "dice": images(0.75)}, "ring, seed 0")
    grid = np.array(figure.axes).reshape(4, 3)
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["image", "true mask", "bce", "dice"]
    assert grid[3, 1].images[0].get_array().mean() == 0.75
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0, 1)}  # one grey scale
    assert figure.get_suptitle() == "ring, seed 0: masks"


def test_a_single_run_shows_all_of_its_rows():
    figure = predictions({"": images(0.5)})
    assert len(figure.axes) == 4 * 3


def test_boxes_stand_in_a_row_a_run():
    given = np.array([[[1.0, 2, 5, 6], [np.nan] * 4], [[0, 0, 3, 3], [2, 2, 4, 4]]])
    made = given[:, :1] + 1
    images = np.zeros((2, 8, 8))
    scores = np.array([[0.25], [0.75]])
    drawn = {
        "giou": Boxes("Boxes", images, given, made),
        "iou": Boxes("", images, given, made, scores),
    }
    figure = predictions(drawn)
    grid = np.array(figure.axes).reshape(2, 2)
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["giou", "iou"]
    assert [len(axes.lines) for axes in grid[0]] == [2, 3]  # padding is not drawn
    target, prediction = grid[0, 0].lines
    # pixel 1 begins half a pixel before its centre
    assert (target.get_xdata().min(), target.get_ydata().max()) == (0.5, 5.5)
    assert (prediction.get_xdata().min(), prediction.get_ydata().max()) == (1.5, 6.5)
    assert grid[0, 0].get_xlim() == (-0.5, 7.5)  # a box beyond the image does not shrink it
    assert [text.get_text() for text in grid[1, 1].texts] == ["0.75"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["target", "prediction"]


def test_boxes_are_named_if_there_are_several_kinds():
    boxes = np.array([[[1.0, 2, 5, 6], [np.nan] * 4]])
    names, scores = np.array([["disc", ""]]), np.array([[0.25, np.nan]])
    drawn = Boxes("", np.zeros((1, 8, 8)), boxes, boxes, scores, names, names)
    [axes] = predictions({"": drawn}).axes
    assert [text.get_text() for text in axes.texts] == ["disc", "disc 0.25"]


def test_clouds_stand_in_a_row_a_run():
    cloud = np.ones((2, 6, 3))
    figure = predictions(
        {"emd": Clouds("Clouds", cloud, cloud), "chamfer": Clouds("", cloud, cloud)}
    )
    assert len(figure.axes) == 3 * 2


def test_scatters_stand_side_by_side():
    names = np.array(["a", "b"])
    scatter = Scatter("Classes", "x", "y", np.eye(2), np.arange(2), names, True)
    first, second = predictions({"triplet": scatter, "angular": scatter}).axes
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("triplet", "angular")
    assert [text.get_text() for text in first.texts] == ["a", "b"]


@pytest.mark.parametrize("shown", [{}, {"a": fit(1), "b": images(0)}], ids=["none", "mixed"])
def test_what_cannot_be_drawn_together(shown):
    with pytest.raises(NothingToDraw, match="expected predictions of one kind"):
        predictions(shown)


# --- from run folders -----------------------------------------------------------------------------


@pytest.fixture
def leave(tmp_path):
    """Gives a run a folder with pictures; of a ``FigureData`` the arrays too."""
    buffer = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(buffer, format="png")

    def write(run, **pictures):
        object.__setattr__(run, "folder", tmp_path / run.loss / str(run.seed))
        folder = run.folder / "figures"
        folder.mkdir(parents=True)
        for name, shown in pictures.items():
            (folder / f"{name}.png").write_bytes(buffer.getvalue())
            if shown is not None:
                (folder / f"{name}.npz").write_bytes(to_bytes(shown))
        return run

    return write


def test_arrays_of_all_rows_become_one_picture(made_up, leave, table_of):
    runs = [leave(made_up(loss, 0, 1.0), test_fit=fit(2)) for loss in ("mse", "mae")]
    [(name, draw)] = run_figures(table_of(runs))
    figure = draw()
    assert name == "fit"
    assert figure.get_suptitle() == "regression, seed 0: fitted curve"
    assert [line.get_label() for line in figure.axes[0].lines][1:3] == ["mse", "mae"]


def test_files_without_arrays_stand_side_by_side(made_up, leave, table_of):
    runs = [leave(made_up(loss, 0, 1.0), test_confusion=None) for loss in ("mse", "mae")]
    [(name, draw)] = run_figures(table_of(runs))
    figure = draw()
    assert name == "confusion"
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["mse", "mae"]


def test_the_seed_at_which_most_rows_have_pictures(made_up, leave, table_of):
    runs = [made_up("mse", 0, 1.0), leave(made_up("mae", 0, 1.0), test_fit=fit(2))]
    runs += [leave(made_up(loss, 1, 1.0), test_fit=fit(2)) for loss in ("mse", "mae")]
    [(_, draw)] = run_figures(table_of(runs))
    figure = draw()
    assert figure.get_suptitle().startswith("regression, seed 1")


def test_validation_where_the_test_was_not_read(made_up, leave, table_of):
    runs = [leave(made_up(loss, 0, 1.0), val_fit=fit(2)) for loss in ("mse", "mae")]
    assert [name for name, _ in run_figures(table_of(runs))] == ["fit"]


def test_of_many_rows_the_best(made_up, leave, table_of):
    runs = [
        leave(made_up(f"loss{number}", 0, 1.0 + number), test_fit=fit(2))
        for number in range(MOST_RUNS + 2)
    ]
    [(_, draw)] = run_figures(table_of(runs))
    figure = draw()
    assert figure.get_suptitle() == ("regression, seed 0, the best 8 of 10 rows: fitted curve")
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert "loss0" in labels
    assert "loss9" not in labels


def test_runs_without_pictures(table):
    assert list(run_figures(table)) == []
