"""Reconstruction with a discriminator: which component moves which weights."""

import pytest
import torch
from torch.testing import assert_close

from losslab.losses import AdversarialReconstructionLoss, ReconstructionLoss


@pytest.fixture
def images():
    rng = torch.Generator().manual_seed(0)
    copies, originals = torch.rand(2, 3, 2, 8, 8, generator=rng, dtype=torch.float64)
    return copies.requires_grad_(), originals


def made(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AdversarialReconstructionLoss(channels=2, width=4, **options)


def gradients(value, tensors):
    found = torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for g, t in zip(found, tensors, strict=True)]


def test_each_component_moves_its_own_player(images):
    """A step on the sum is one of the generator and one of the discriminator."""
    copies, originals = images
    loss = made(weight=0.5)
    parts = loss.components(copies, originals)
    total = loss(copies, originals)
    weights = list(loss.discriminator.parameters())
    [of_copies] = gradients(total, [copies])
    assert_close(of_copies, gradients(parts["reconstruction"] + parts["generator"], [copies])[0])
    of_players = gradients(parts["real"] + parts["fake"], weights)
    for found, expected in zip(gradients(total, weights), of_players, strict=True):
        assert_close(found, expected)
        assert found.any()
    assert not gradients(parts["real"] + parts["fake"], [copies])[0].any()
    assert gradients(parts["generator"], [copies])[0].any()


@pytest.mark.parametrize("p", [1, 2])
def test_without_weight_copies_are_moved_as_by_the_distance_alone(images, p):
    copies, originals = images
    [found] = gradients(made(weight=0.0, p=p)(copies, originals), [copies])
    [expected] = gradients(ReconstructionLoss(p)(copies, originals), [copies])
    assert_close(found, expected, rtol=0, atol=0)


def test_training_the_discriminator_tells_copies_from_originals(images):
    copies, originals = images[0].detach() + 0.5, images[1]
    loss = made()
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss(copies, originals).backward()
        optimizer.step()
    logits = loss.diagnostics(copies, originals)
    assert logits["real_logit"] > 1 > -1 > logits["fake_logit"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -0.1}, "weight must be >= 0"),
        ({"kind": "wasserstein"}, "kind must be one of"),
        ({"p": 3}, "p must be one of 1, 2"),
    ],
    ids=["weight", "kind", "p"],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        made(**options)


def test_what_is_no_batch_of_images_is_refused():
    with pytest.raises(ValueError, match=r"prediction must be images .* got shape \(3, 5\)"):
        made()(torch.zeros(3, 5), torch.zeros(3, 5))
