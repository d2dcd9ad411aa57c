"""Losses with a vector per class beside pytorch-metric-learning, and their limit cases."""

import math

import pytest
import torch
from torch.testing import assert_close

from losslab.losses import (
    ArcFaceLoss,
    CenterLoss,
    CosFaceLoss,
    CrossEntropyLoss,
    ProxyAnchorLoss,
)

SIZES = {"num_classes": 5, "embedding_size": 8}


def batch(seed, n=40):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    return embeddings.requires_grad_(), torch.randint(4, (n,), generator=generator)


def peer(name, vectors, **options):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    loss = getattr(losses, name)(**SIZES, **options).double()
    own = next(loss.parameters())
    own.data.copy_(vectors if own.shape == vectors.shape else vectors.T)
    return loss


PEERS = {
    "arcface": (ArcFaceLoss, "ArcFaceLoss", {"margin": 0.5}, {"margin": math.degrees(0.5)}),
    "arcface, wide": (ArcFaceLoss, "ArcFaceLoss", {"margin": 2.0}, {"margin": math.degrees(2.0)}),
    "cosface": (CosFaceLoss, "CosFaceLoss", {"margin": 0.35}, {"margin": 0.35}),
    "proxy anchor": (ProxyAnchorLoss, "ProxyAnchorLoss", {}, {}),
    "proxy anchor, mild": (
        ProxyAnchorLoss,
        "ProxyAnchorLoss",
        {"margin": 0.3, "scale": 4.0},
        {"margin": 0.3, "alpha": 4.0},
    ),
}


@pytest.mark.parametrize(("ours", "name", "options", "theirs"), PEERS.values(), ids=PEERS)
def test_value_and_gradients_are_those_of_pytorch_metric_learning(ours, name, options, theirs):
    for seed in range(3):
        torch.manual_seed(seed)
        loss = ours(**SIZES, **options).double()
        other = peer(name, loss.vectors.data, **theirs)
        embeddings, labels = batch(seed)
        value, expected = loss(embeddings, labels), other(embeddings, labels)
        assert_close(value, expected, rtol=1e-10, atol=1e-10)
        slopes = torch.autograd.grad(value, [embeddings, loss.vectors])
        of_peer = torch.autograd.grad(expected, [embeddings, *other.parameters()])
        assert_close(slopes[0], of_peer[0], rtol=1e-8, atol=1e-10)
        theirs_too = of_peer[1] if of_peer[1].shape == slopes[1].shape else of_peer[1].T
        assert_close(slopes[1], theirs_too, rtol=1e-8, atol=1e-10)


def test_a_head_is_a_linear_layer_before_cross_entropy():
    loss = CrossEntropyLoss(label_smoothing=0.1, **SIZES).double()
    embeddings, labels = batch(0)
    logits = torch.nn.functional.linear(embeddings, loss.head.weight, loss.head.bias)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert_close(loss(embeddings, labels), expected, rtol=1e-12, atol=0)
    assert set(loss.state_dict()) == {"head.weight", "head.bias"}
    assert not list(CrossEntropyLoss().parameters())


def test_the_cosine_falls_with_the_angle_beyond_the_margin_too():
    """The loss grows with the angle to the own class, from 0 to 180 degrees."""
    loss = ArcFaceLoss(num_classes=2, embedding_size=2, margin=0.5, scale=1.0)
    loss.vectors.data = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    angles = torch.linspace(0, math.pi, 50)
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    values = torch.stack([loss(row[None], torch.tensor([0])) for row in rows])
    assert (values.diff() > 0).all()


def test_an_embedding_on_its_class_vector_has_a_finite_gradient():
    loss = ArcFaceLoss(num_classes=2, embedding_size=2)
    loss.vectors.data = torch.eye(2)
    embeddings = torch.tensor([[3.0, 0.0]], requires_grad=True)
    loss(embeddings, torch.tensor([0])).backward()
    assert embeddings.grad.isfinite().all()
    assert loss.vectors.grad.isfinite().all()


@pytest.mark.parametrize("ours", [ArcFaceLoss, CenterLoss, CosFaceLoss, ProxyAnchorLoss])
def test_sizes_and_targets_that_do_not_fit(ours):
    labels = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="embedding_size=8 dimensions, got 3"):
        ours(**SIZES)(torch.ones(2, 3), labels)
    with pytest.raises(ValueError, match="integer class labels"):
        ours(**SIZES)(torch.ones(2, 8), labels.float())
    with pytest.raises(ValueError, match="num_classes must be >= 1"):
        ours(num_classes=0, embedding_size=8)


@pytest.mark.parametrize("ours", [ArcFaceLoss, CosFaceLoss, ProxyAnchorLoss])
def test_margins_and_scales_out_of_range(ours):
    with pytest.raises(ValueError, match="margin"):
        ours(**SIZES, margin=-0.1)
    with pytest.raises(ValueError, match="scale must be > 0"):
        ours(**SIZES, scale=0)


def test_a_head_needs_both_sizes():
    with pytest.raises(ValueError, match="given together"):
        CrossEntropyLoss(num_classes=3)


def test_proxy_anchor_has_no_sample_weights():
    with pytest.raises(ValueError, match="no sample weights"):
        ProxyAnchorLoss(**SIZES).total(*batch(0), torch.ones(40))
