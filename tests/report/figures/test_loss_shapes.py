"""The picture of losses along one dimension."""

import numpy as np

from losslab.report.figures.loss_shapes import LossShape, loss_shapes

X = np.linspace(-1, 1, 5)


def shape(name, loss, gradient, against="residual (m)"):
    return LossShape(name, against, against.partition(" ")[0], X, loss, gradient)


def test_losses_stand_above_their_gradients_a_column_a_dimension():
    square, size = shape("square", X**2, 2 * X), shape("size", abs(X), np.sign(X))
    other = shape("log", np.log(2 + X), 1 / (2 + X), "margin (logits)")
    figure = loss_shapes([square, size, other])
    above, right, below, _ = figure.axes
    assert [line.get_label() for line in above.lines[:2]] == ["square", "size"]
    np.testing.assert_array_equal(above.lines[0].get_ydata(), X**2)
    np.testing.assert_array_equal(below.lines[1].get_ydata(), np.sign(X))
    assert (below.get_xlabel(), below.get_ylabel()) == (
        "residual (m)",
        "gradient w.r.t. residual",
    )
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["log"]


def test_equal_losses_share_a_line():
    figure = loss_shapes([shape("a", X**2, 2 * X), shape("b", X**2, 2 * X), shape("c", X, X**0)])
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["a = b", "c"]


def test_many_names_stand_below_the_axes():
    figure = loss_shapes([shape(f"loss {number}", number * X, X**0) for number in range(8)])
    above, below = figure.axes
    assert above.get_legend() is None
    assert len(below.get_legend().get_texts()) == 8
