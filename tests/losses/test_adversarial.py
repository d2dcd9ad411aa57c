import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from losslab.losses import AdversarialLoss

REAL, FAKE = np.array([2.0, -0.5, 0.3, 40.0]), np.array([-1.0, 0.7, 3.0, -40.0])


def _minus_log_sigmoid(z):
    return np.logaddexp(0, -z)


# what the papers give: real part, generated part, generator
FORMULAS = {
    "non_saturating": (
        _minus_log_sigmoid(REAL),
        _minus_log_sigmoid(-FAKE),
        _minus_log_sigmoid(FAKE),
    ),
    "minimax": (
        _minus_log_sigmoid(REAL),
        _minus_log_sigmoid(-FAKE),
        -_minus_log_sigmoid(-FAKE),
    ),
    "least_squares": ((REAL - 1) ** 2 / 2, FAKE**2 / 2, (FAKE - 1) ** 2 / 2),
    "hinge": (np.maximum(0, 1 - REAL), np.maximum(0, 1 + FAKE), -FAKE),
    "wasserstein": (-REAL, FAKE, -FAKE),
}
KINDS = pytest.mark.parametrize("kind", FORMULAS)


@KINDS
def test_both_players_pay_what_the_paper_says(kind):
    real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
    expected = FORMULAS[kind]
    each = AdversarialLoss(kind, reduction="none")
    parts = each.discriminator_components(real, fake) | each.generator_components(fake)
    assert list(parts) == ["real", "fake", "generator"]
    for part, values in zip(parts.values(), expected, strict=True):
        assert_close(part.numpy(), values)
    mean = AdversarialLoss(kind)
    assert_close(mean(real, fake).item(), expected[0].mean() + expected[1].mean())
    assert_close(mean.generator_components(fake)["generator"].item(), expected[2].mean())


@KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_keep_finite_values_and_gradients(kind, dtype):
    logits = torch.tensor([1e4, -1e4, 0.0], dtype=dtype, requires_grad=True)
    loss = AdversarialLoss(kind)
    parts = loss.discriminator_components(logits, logits) | loss.generator_components(logits)
    for part in parts.values():
        assert part.dtype == torch.float32
        assert part.isfinite()
        (slope,) = torch.autograd.grad(part, logits, retain_graph=True)
        assert slope.isfinite().all()


def test_the_kinds_differ_in_the_slope_of_a_generator_that_is_found_out():
    logit = torch.tensor([-20.0], dtype=torch.float64)
    slopes = {
        kind: torch.func.grad(
            lambda z, k=kind: AdversarialLoss(k).generator_components(z)["generator"]
        )(logit).item()
        for kind in FORMULAS
    }
    assert slopes["minimax"] == pytest.approx(-np.exp(-20), rel=1e-6)
    assert slopes["non_saturating"] == pytest.approx(-1, rel=1e-6)
    assert slopes["hinge"] == slopes["wasserstein"] == -1
    assert slopes["least_squares"] == -21


# --- gradient penalty


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    return real, fake, torch.rand(6, generator=generator, dtype=torch.float64)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope(samples):
    critic = nn.Linear(3, 1).double()
    slope = critic.weight.detach().norm()
    penalty = AdversarialLoss("wasserstein", gradient_penalty=5.0).penalty(critic, *samples)
    assert_close(penalty.detach(), 5 * (slope - 1) ** 2)
    penalty.backward()
    expected = 10 * (slope - 1) * critic.weight.detach() / slope
    assert_close(critic.weight.grad, expected)


def test_the_penalty_of_a_quadratic_critic_shows_where_it_is_taken(samples):
    real, fake, mixing = samples
    penalty = AdversarialLoss("wasserstein", reduction="none").penalty(
        lambda x: x.square().sum(dim=1) / 2, *samples
    )
    points = mixing[:, None] * real + (1 - mixing[:, None]) * fake
    assert_close(penalty, 10 * (points.norm(dim=1) - 1) ** 2)


@pytest.mark.parametrize(("share", "which"), [(1.0, 0), (0.0, 1)], ids=["real", "generated"])
def test_mixing_of_1_is_the_real_sample(samples, share, which):
    seen = []
    AdversarialLoss("wasserstein").penalty(
        lambda x: (seen.append(x.detach().clone()), x.sum(dim=1))[1],
        *samples[:2],
        torch.full((6,), share, dtype=torch.float64),
    )
    assert_close(torch.func.debug_unwrap(seen[0]), samples[which])


def test_the_penalty_reaches_the_critic_but_not_the_generator(samples):
    real, fake, mixing = samples
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    fake.requires_grad_()
    penalty = AdversarialLoss("wasserstein").penalty(critic, real, fake, mixing)
    penalty.backward()
    assert fake.grad is None
    assert critic[0].weight.grad.abs().sum() > 0


def test_the_penalty_has_the_gradient_of_finite_differences(samples):
    first = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def penalty(weight):
        return AdversarialLoss("wasserstein").penalty(
            lambda x: (x @ weight).tanh().sum(dim=1), *samples
        )

    assert torch.autograd.gradcheck(penalty, first.requires_grad_())


def test_a_flat_critic_has_a_finite_gradient(samples):
    critic = nn.Linear(3, 1).double()
    nn.init.zeros_(critic.weight)
    penalty = AdversarialLoss("wasserstein").penalty(critic, *samples)
    penalty.backward()
    assert penalty.item() == 10
    assert critic.weight.grad.isfinite().all()


def test_stacked_critics_have_one_penalty_each(samples):
    weights = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = AdversarialLoss("wasserstein")

    def penalty(weight):
        return loss.penalty(lambda x: (x @ weight).tanh(), *samples)

    assert_close(torch.vmap(penalty)(weights), torch.stack([penalty(w) for w in weights]))


def test_images_have_one_slope_a_sample():
    real, fake = torch.rand(2, 4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    penalty = AdversarialLoss("wasserstein", gradient_penalty=1.0, reduction="none").penalty(
        lambda x: 2 * x.flatten(1).sum(dim=1), real, fake, torch.rand(4)
    )
    assert_close(penalty, torch.full((4,), 25.0))  # a slope of 2 in 9 directions is 6


@pytest.mark.parametrize(
    ("kind", "weight", "needs"),
    [("wasserstein", 10.0, True), ("wasserstein", 0.0, False), ("hinge", 10.0, False)],
)
def test_only_wasserstein_needs_the_penalty(kind, weight, needs):
    assert AdversarialLoss(kind, gradient_penalty=weight).needs_penalty is needs


# --- errors


def test_facts_are_the_mean_logits():
    diagnostics = AdversarialLoss().diagnostics(torch.tensor([1.0, 3.0]), torch.tensor([-4.0, 0.0]))
    assert diagnostics == {"real_logit": 2, "fake_logit": -2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "gan"}, "kind must be one of 'non_saturating', 'minimax'.*got 'gan'"),
        ({"gradient_penalty": -1}, "gradient_penalty must be >= 0, got -1"),
    ],
    ids=["kind", "gradient_penalty"],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AdversarialLoss(**options)


def test_samples_and_mixing_must_belong_together(samples):
    real, fake, mixing = samples
    loss = AdversarialLoss("wasserstein")
    with pytest.raises(ValueError, match=r"mixing must have shape \(6,\)"):
        loss.penalty(nn.Identity(), real, fake, mixing.unsqueeze(1))
    with pytest.raises(ValueError, match="target must have the shape of prediction"):
        loss.penalty(nn.Identity(), real, fake[:3], mixing)
    with pytest.raises(ValueError, match="target must have the shape of prediction"):
        loss(real, fake[:3])
