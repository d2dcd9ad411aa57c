"""Measures of linear networks, against networks and losses of torch and solutions on paper."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import read_run
from losslab.components import build_components
from losslab.config.jobs import compose_jobs
from losslab.gallery import linear_networks as linear
from losslab.gallery.boundaries import draw_boundaries
from losslab.gallery.linear_networks import Fit, Problem
from losslab.losses import HingeLoss, L2Regularizer
from losslab.saved_config import saved_config
from losslab.training import train

COMMON = ["data=ring", "data.modes=2", "data.n=200", "task=classification", "model=linear"]
QUICK = ["trainer=cpu", "task.epochs=2", "callbacks=quiet", "logger=none"]
STRENGTH = 0.01


def trained(folder, *options):
    [job] = compose_jobs([[*COMMON, *QUICK, *options]])
    train(job.config, folder)
    return read_run(folder)


def problem(spread, n=120):
    rng = np.random.default_rng(0)
    sides = rng.choice([-1, 1], n)
    centres = np.stack([2 * sides, 0 * sides], axis=1)
    return Problem(centres + spread * rng.normal(size=(n, 2)), sides, Fit(np.ones(2), 0.0))


def test_numbers_of_three_samples():
    """The boundary x = 1 leaves 1 on either side; x = 0.5 leaves a half; the third is far away."""
    inputs = np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 3.0]])
    made = Problem(inputs, np.array([-1, 1, 1]), Fit(np.array([2.0, 0.0]), -1.0))
    svm = made.svm(1e4)
    np.testing.assert_allclose([*svm.weight, svm.bias], [1, 0, -1], atol=1e-5)
    assert made.margin(made.fit) == 0.5
    assert made.margin(svm) == pytest.approx(1, abs=1e-5)
    assert made.support_vectors(svm).tolist() == [True, True, False]
    assert made.support_vectors(made.fit).tolist() == [True, False, False]
    assert made.fit.distance(Fit(np.array([1.0, 0.0]), -1.0)) == pytest.approx(1 / np.sqrt(2))
    expected = -np.mean(np.log1p(np.exp([-1.0, -3.0, -9.0])))
    assert made.log_likelihood(made.fit) == pytest.approx(expected)


@pytest.mark.parametrize("spread", [0.5, 1.0], ids=["separable", "nearly separable"])
def test_the_svm_minimises_the_hinge_loss_of_two_logits_with_a_penalty(spread):
    made = problem(spread)
    svm = made.svm(2 / (STRENGTH * len(made.sides)))
    inputs, classes = torch.from_numpy(made.inputs), torch.from_numpy((made.sides + 1) // 2)

    def objective(weight, bias):
        weight, bias = (torch.from_numpy(np.asarray(each)) for each in (weight, bias))
        data = HingeLoss()(inputs @ weight.T + bias, classes)
        return float(data + L2Regularizer(STRENGTH)({"weight": weight}))

    weight, bias = np.stack([-svm.weight, svm.weight]) / 2, np.array([-svm.bias, svm.bias]) / 2
    best, rng = objective(weight, bias), np.random.default_rng(1)
    for size in (0.3, 0.03):
        for _ in range(200):
            moved = weight + size * rng.normal(size=(2, 2)), bias + size * rng.normal(size=2)
            assert objective(*moved) > best
    assert objective(1.01 * weight, bias) > best
    assert objective(0.99 * weight, bias) > best


def test_bce_has_no_gradient_at_the_logistic_regression():
    made = problem(2.0)
    fit = made.logistic_regression()
    weight = torch.from_numpy(fit.weight).requires_grad_()
    bias = torch.tensor(fit.bias, dtype=torch.float64, requires_grad=True)
    target = torch.from_numpy((made.sides + 1) / 2)
    loss = binary_cross_entropy_with_logits(torch.from_numpy(made.inputs) @ weight + bias, target)
    loss.backward()
    assert float(weight.grad.abs().max()) < 1e-6
    assert float(bias.grad.abs()) < 1e-6
    assert made.log_likelihood(fit) == pytest.approx(-loss.item())


@pytest.mark.parametrize("loss", ["bce", "cross_entropy", "hinge"])
def test_the_score_is_that_of_the_run(loss, tmp_path):
    run = trained(tmp_path, f"loss={loss}", "data.spread=2")
    found = linear.problem_of(run)
    own = build_components(saved_config(tmp_path))
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    own.module.load_state_dict(state)
    with torch.no_grad():
        logits = own.network(own.data.train.inputs).double().numpy()
    score = logits[:, 1] if loss == "bce" else logits[:, 1] - logits[:, 0]
    expected = np.where(own.data.train.targets == 1, score, -score)
    np.testing.assert_allclose(found.scores(found.fit), expected, atol=1e-4)
    assert linear.lost_likelihood(run) > 0
    assert np.isnan(linear.distance_from_svm(run))  # without a penalty
    assert np.isnan(linear.relative_margin(run))  # the classes overlap


def test_the_svm_has_the_penalty_of_the_run(tmp_path):
    penalty = ["regularizer=l2", f"regularizer.strength={STRENGTH}"]
    run = trained(tmp_path, "loss=hinge", "data.spread=0.5", *penalty)
    found = linear.problem_of(run)
    svm = found.svm(2 / (STRENGTH * 120))
    assert linear.distance_from_svm(run) == found.fit.distance(svm)
    largest = found.margin(found.svm(linear.HARD))
    assert linear.relative_margin(run) == found.margin(found.fit) / largest < 1
    ours, theirs = (set(np.flatnonzero(found.support_vectors(fit))) for fit in (found.fit, svm))
    assert linear.shared_support_vectors(run) == len(ours & theirs) / len(ours | theirs) < 1
    assert linear.support_vectors(run) == len(ours) / 120
    [axes] = draw_boundaries([Row("hinge", (run,))], ["hinge"]).axes
    *_, lower, boundary, upper = axes.lines
    for line, score in ((lower, -1), (boundary, 0), (upper, 1)):
        points = np.column_stack(line.get_data())
        np.testing.assert_allclose(points @ found.fit.weight + found.fit.bias, score, atol=1e-9)


def test_a_network_that_is_not_linear_is_refused(tmp_path):
    run = trained(tmp_path, "loss=hinge", "model=mlp")
    with pytest.raises(ValueError, match="expected a linear network of two classes"):
        linear.problem_of(run)


def test_samples_that_are_drawn_otherwise_are_refused(tmp_path):
    run = trained(tmp_path, "loss=hinge")
    run.record["hashes"]["data"] = "other"
    with pytest.raises(ValueError, match="train it again"):
        linear.problem_of(run)
