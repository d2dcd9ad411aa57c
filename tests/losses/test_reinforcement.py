"""Policy gradient and Q-learning on numbers worked out by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from losslab.losses import (
    PolicyGradientLoss,
    PolicyPrediction,
    PolicyTarget,
    QLearningLoss,
    TransitionTarget,
)
from losslab.losses.functional.reinforcement import standardized

LOG_PROBS = torch.tensor([-0.5, -1.0, -2.0])


def test_plain_form_weighs_log_probabilities_by_advantages():
    target = PolicyTarget(torch.tensor([1.0, -2.0, 0.5]))
    # -(-0.5 * 1 + 1 * 2 - 2 * 0.5) / 3
    assert_close(PolicyGradientLoss(normalize=False)(LOG_PROBS, target).item(), -0.5 / 3)


def test_advantages_are_normalised_over_the_batch():
    target = PolicyTarget(torch.tensor([1.0, 2.0, 3.0]))
    # (-1, 0, 1) / sqrt(2 / 3), times (-0.5, -1, -2): sum -1.5 / sqrt(2 / 3)
    expected = 0.5 / math.sqrt(2 / 3)
    assert_close(PolicyGradientLoss()(LOG_PROBS, target).item(), expected)


EQUAL = {
    "one": [5.0],
    "equal": [0.1] * 7,
    "equal and large": [1e7 + 1] * 3,
    "equal to rounding": [0.1, 0.3 - 0.2, 0.1],
    "zero": [0.0, 0.0],
    "none": [],
}


@pytest.mark.parametrize("advantages", EQUAL.values(), ids=EQUAL)
def test_equal_advantages_become_zero(advantages):
    assert standardized(torch.tensor(advantages)).tolist() == [0] * len(advantages)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_the_scale_of_the_advantages_does_not_matter(scale):
    advantages = scale * torch.tensor([1.0, 2.0, 4.0, -3.0])
    assert_close(standardized(advantages), standardized(torch.tensor([1.0, 2.0, 4.0, -3.0])))
    assert_close(standardized(advantages).square().mean().item(), 1.0)


def test_advantages_that_are_nan_are_not_taken_for_equal_ones():
    assert standardized(torch.tensor([1.0, math.nan, 2.0])).isnan().all()


def test_large_and_small_advantages_are_standardized_together():
    advantages = torch.tensor([1e30, -2e30, 1.0, 3e25], dtype=torch.float64)
    expected = (advantages - advantages.mean()) / advantages.std(correction=0)
    assert_close(standardized(advantages.float()), expected.float())


CLIPPED = {
    # ratio, advantage -> loss, d loss / d log pi
    "inside": (1.1, 2.0, -2.2, -2.2),
    "good and already likelier": (1.5, 2.0, -2.4, 0.0),
    "good and less likely": (0.5, 2.0, -1.0, -1.0),
    "bad and less likely": (0.5, -2.0, 1.6, 0.0),
    "bad and likelier": (1.5, -2.0, 3.0, 3.0),
    "good and likelier beyond float32": (math.exp(700), 2.0, -2.4, 0.0),
}


@pytest.mark.parametrize(("ratio", "advantage", "value", "slope"), CLIPPED.values(), ids=CLIPPED)
def test_clipped_surrogate(ratio, advantage, value, slope):
    log_probs = torch.tensor([math.log(ratio)], requires_grad=True)
    target = PolicyTarget(torch.tensor([advantage]), torch.zeros(1))
    result = PolicyGradientLoss(normalize=False, clip=0.2)(log_probs, target)
    result.backward()
    assert_close(result.item(), value, rtol=1e-6, atol=0)
    assert_close(log_probs.grad.item(), slope, rtol=1e-6, atol=0)


def test_entropy_bonus_is_a_part_with_its_gradient():
    entropy = torch.tensor([0.5, 1.0, 1.5], requires_grad=True)
    prediction = PolicyPrediction(LOG_PROBS, entropy)
    target = PolicyTarget(torch.tensor([1.0, -2.0, 0.5]))
    loss = PolicyGradientLoss(entropy_bonus=0.1, normalize=False)
    parts = loss.components(prediction, target)
    assert_close(parts["entropy"].item(), -0.1)
    assert_close(loss(prediction, target), parts["policy"] + parts["entropy"])
    loss(prediction, target).backward()
    assert_close(entropy.grad, torch.full((3,), -0.1 / 3))


def test_no_gradient_flows_into_the_targets():
    advantages, old = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    log_probs = LOG_PROBS.clone().requires_grad_()
    loss = PolicyGradientLoss(normalize=False, clip=0.2)
    loss(log_probs, PolicyTarget(advantages, old)).backward()
    assert advantages.grad is None
    assert old.grad is None


def test_facts_tell_how_much_is_clipped():
    target = PolicyTarget(torch.ones(3), LOG_PROBS - torch.tensor([0.0, 0.5, -0.1]))
    diagnostics = PolicyGradientLoss(clip=0.2).diagnostics(LOG_PROBS, target)
    assert_close(diagnostics["clipped_share"].item(), 1 / 3)
    assert_close(diagnostics["ratio"].item(), (1 + math.exp(0.5) + math.exp(-0.1)) / 3)


B = torch.zeros(3)
POLICY_WRONG = {
    "column": (PolicyGradientLoss(), B[:, None], PolicyTarget(B), r"log_probs must .*\(3, 1\)"),
    "column of advantages": (
        PolicyGradientLoss(),
        B,
        PolicyTarget(B[:, None]),
        r"advantages must hold one value per step, shape \(3,\), got \(3, 1\)",
    ),
    "no old": (PolicyGradientLoss(clip=0.1), B, PolicyTarget(B), "old_log_probs for clip"),
    "no entropy": (PolicyGradientLoss(0.1), B, PolicyTarget(B), "PolicyPrediction"),
    "short entropy": (
        PolicyGradientLoss(0.1),
        PolicyPrediction(B, B[:2]),
        PolicyTarget(B),
        r"entropy must .* got \(2,\)",
    ),
}


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "message"), POLICY_WRONG.values(), ids=POLICY_WRONG
)
def test_what_does_not_fit_a_policy_is_refused(loss, prediction, target, message):
    with pytest.raises(ValueError, match=message):
        loss(prediction, target)


# Q(s, a) is 1; r = 0.5, gamma = 0.5; the target network says (4, 2) of s', the online one (0, 1)
TRANSITIONS = {
    "goes on": ({}, False, 0.5 + 0.5 * 4),
    "terminated": ({}, True, 0.5),
    "double": ({"double": True}, False, 0.5 + 0.5 * 2),
    "double, terminated": ({"double": True}, True, 0.5),
}


@pytest.mark.parametrize("td", ["mse", "huber"])
@pytest.mark.parametrize(("options", "end", "wanted"), TRANSITIONS.values(), ids=TRANSITIONS)
def test_q_learning_moves_towards_the_target(options, end, wanted, td):
    values = torch.tensor([[7.0, 1.0]], requires_grad=True)
    next_values = torch.tensor([[4.0, 2.0]], requires_grad=True)
    target = TransitionTarget(
        torch.tensor([1]),
        torch.tensor([0.5]),
        torch.tensor([end]),
        next_values,
        torch.tensor([[0.0, 1.0]]),
    )
    loss = QLearningLoss(discount=0.5, td=td, **options)
    result = loss(values, target)
    result.backward()
    error = 1 - wanted
    huber = error**2 / 2 if abs(error) <= 1 else abs(error) - 0.5
    assert_close(result.item(), error**2 if td == "mse" else huber)
    slope = 2 * error if td == "mse" else max(-1, min(1, error))
    assert_close(values.grad, torch.tensor([[0.0, slope]]))
    assert next_values.grad is None
    diagnostics = {"td_error": torch.tensor(abs(error)), "q": torch.tensor(1.0)}
    assert_close(loss.diagnostics(values, target), diagnostics)


def test_what_stands_behind_the_end_is_not_read():
    target = TransitionTarget(
        torch.tensor([0]), torch.ones(1), torch.tensor([1.0]), torch.full((1, 2), torch.nan)
    )
    assert QLearningLoss()(torch.ones(1, 2), target).item() == 0


def test_double_is_still_a_method_of_the_module():
    assert isinstance(QLearningLoss(double=True).double(), QLearningLoss)


Q = torch.zeros(3, 2)
STEPS = TransitionTarget(torch.zeros(3).long(), B, torch.zeros(3).bool(), Q)
Q_WRONG = {
    "column of rewards": ({"rewards": B[:, None]}, r"rewards must .*\(3,\), got \(3, 1\)"),
    "column of actions": ({"actions": B[:, None].long()}, r"actions must .* got \(3, 1\)"),
    "column of ends": ({"terminated": B[:, None]}, r"terminated must .* got \(3, 1\)"),
    "real actions": ({"actions": B}, "actions must be int64, got torch.float32"),
    "other actions": (
        {"next_q_target": torch.zeros(3, 4)},
        r"next_q_target .*\(3, 2\), got \(3, 4",
    ),
}


@pytest.mark.parametrize(("wrong", "message"), Q_WRONG.values(), ids=Q_WRONG)
def test_what_does_not_fit_q_learning_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        QLearningLoss()(Q, STEPS._replace(**wrong))


def test_double_needs_the_online_values():
    with pytest.raises(ValueError, match="next_q_online for double=True"):
        QLearningLoss(double=True)(Q, STEPS)


RANGE = [
    (QLearningLoss, {"discount": 1.1}),
    (QLearningLoss, {"td": "mae"}),
    (PolicyGradientLoss, {"entropy_bonus": -0.1}),
    (PolicyGradientLoss, {"clip": 1.0}),
]


@pytest.mark.parametrize(("make", "options"), RANGE, ids=str)
def test_options_are_checked(make, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        make(**options)
