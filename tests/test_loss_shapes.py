"""The shapes of losses along one dimension, against their formulas."""

import numpy as np
import pytest

from losslab import loss_shapes as shapes
from losslab.config import groups
from losslab.config.errors import UserError
from losslab.loss_shapes import chosen_losses, evaluate_losses


@pytest.fixture(autouse=True)
def _few_points(monkeypatch):
    monkeypatch.setattr(shapes, "POINTS", 61)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# loss and gradient by hand: residual d, margin m, distance of the negative n
BY_HAND = {
    "loss=mse": (lambda d: d**2, lambda d: 2 * d),
    "loss=mae": (np.abs, np.sign),
    "loss=huber loss.delta=2": (
        lambda d: np.where(abs(d) < 2, d**2 / 2, 2 * abs(d) - 2),
        lambda d: d.clip(-2, 2),
    ),
    "loss=cross_entropy": (lambda m: np.log1p(np.exp(-m)), lambda m: -sigmoid(-m)),
    "loss=bce": (lambda m: np.log1p(np.exp(-m)), lambda m: -sigmoid(-m)),
    "loss=ctc": (lambda m: np.log1p(np.exp(-m)), lambda m: -sigmoid(-m)),
    "loss=hinge": (lambda m: (1 - m).clip(0), lambda m: -np.where(m < 1, 1.0, 0.0)),
    "loss=dice": (lambda m: 1 - 2 * sigmoid(m) / (1 + sigmoid(m)), None),
    "loss=triplet": (lambda n: (0.7 - n).clip(0), lambda n: -np.where(n < 0.7, 1.0, 0.0)),
}


@pytest.mark.parametrize("command", BY_HAND)
def test_a_shape_is_the_formula(command):
    loss, gradient = BY_HAND[command]
    [shape], without = evaluate_losses(chosen_losses(command.split()))
    assert not without
    smooth = abs(np.diff(shape.gradient, append=shape.gradient[-1])) < 0.5  # no step at a kink
    np.testing.assert_allclose(shape.loss, loss(shape.x), atol=1e-9)
    if gradient is not None:
        np.testing.assert_allclose(shape.gradient[smooth], gradient(shape.x)[smooth], atol=1e-6)


def test_every_loss_has_a_shape():
    names = groups.names("loss")
    drawn, without = evaluate_losses(chosen_losses([f"loss={','.join(names)}"]))
    trained = {"arcface", "center", "cosface", "proxy_anchor"}
    of_vectors = "it compares embeddings with vectors that are trained"
    sums = {"sum", "uncertainty_sum"}
    images = "adversarial_reconstruction"
    assert set(without) == {
        f"{images}: images have no single dimension",
        *(f"{name}: {of_vectors}" for name in trained),
        *(f"{name}: its components are chosen by you" for name in sums),
        "detection: boxes with classes have no single dimension",
    }
    without_shape = trained | sums | {"detection", images}
    assert {shape.name.partition(",")[0] for shape in drawn} == set(names) - without_shape
    for shape in drawn:
        assert np.isfinite(shape.loss).all(), shape.name
        assert np.isfinite(shape.gradient).all(), shape.name


@pytest.mark.parametrize("gamma", [0, 2])
def test_focal_against_the_probability(gamma):
    losses = chosen_losses(["loss=focal", f"loss.gamma={gamma}"])
    [shape], _ = evaluate_losses(losses, probability=True)
    assert shape.against == "probability of the true class"
    assert shape.by == "margin"
    p = shape.x
    np.testing.assert_allclose(shape.loss, -((1 - p) ** gamma) * np.log(p), atol=1e-9)


def test_a_loss_without_a_probability_says_so():
    drawn, [line] = evaluate_losses(chosen_losses(["loss=hinge,bce"]), probability=True)
    assert [shape.name for shape in drawn] == ["bce"]
    assert line == "hinge: it has no inverse link to a probability; plot it against the margin"


def test_each_loss_takes_the_options_that_it_has():
    chosen = chosen_losses(["loss=mse,huber", "loss.delta=1,2"])
    assert list(chosen) == ["mse", "huber, delta=1", "huber, delta=2"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=huberr"], "unknown loss 'huberr': did you mean huber"),
        (["loss=mse", "loss.delta=1"], "none of the losses has the option delta"),
        (["loss=mse", "seed=1"], "expected loss=NAME and loss.OPTION=VALUE, got seed"),
        (["seed=1"], "expected loss=NAME and loss.OPTION=VALUE, got seed"),
        (["loss=huber", "loss.delta=-1"], "loss=huber: delta must be > 0, got -1"),
    ],
    ids=["unknown", "option", "other", "none", "refused"],
)
def test_wrong_input_is_said_in_one_line(overrides, message):
    with pytest.raises(UserError, match=message):
        evaluate_losses(chosen_losses(overrides))
