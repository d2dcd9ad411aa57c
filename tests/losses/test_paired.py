"""Losses on pairs of embeddings: their limits, and what the conformance suite cannot know."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from losslab.losses import InfoNCELoss, SigLIPLoss

LABELS = torch.arange(7)


def pairs(n=7, dimensions=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, dimensions, generator=generator, dtype=torch.float64)


def test_with_different_labels_info_nce_is_clips_loss():
    images, texts = F.normalize(pairs(), dim=2).unbind(1)
    loss = InfoNCELoss(temperature=0.2).double()
    logits = images @ texts.T * loss.log_scale.detach().exp()  # as in OpenAI's clip.model
    expected = (F.cross_entropy(logits, LABELS) + F.cross_entropy(logits.T, LABELS)) / 2
    assert_close(loss(pairs(), LABELS), expected, rtol=1e-12, atol=0)


def test_siglip_is_the_papers_algorithm():
    images, texts = F.normalize(pairs(), dim=2).unbind(1)
    loss = SigLIPLoss(scale=3.0, bias=-2.0).double()
    logits = images @ texts.T * loss.log_scale.detach().exp() + loss.bias.detach()
    labels = 2 * torch.eye(7) - torch.ones(7, 7)
    expected = -F.logsigmoid(labels * logits).sum() / 7  # algorithm 1
    assert_close(loss(pairs(), LABELS), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", [InfoNCELoss(), SigLIPLoss()])
def test_pairs_with_equal_labels_attract_each_other(loss):
    two = torch.tensor([[[1.0, 0.0], [0.8, 0.6]], [[0.0, 1.0], [0.6, -0.8]]], requires_grad=True)
    same = torch.autograd.grad(loss(two, torch.tensor([3, 3])), two)[0]
    apart = torch.autograd.grad(loss(two, torch.tensor([3, 4])), two)[0]
    towards_other_text = torch.tensor([0.0, -1.0])  # from the first image
    steps = [(-slope[0, 0] @ towards_other_text).item() for slope in (same, apart)]
    assert steps[0] > steps[1]
    assert steps[1] < 0


@pytest.mark.parametrize(("label", "chance"), [([0, 1, 2, 3], 4), ([0, 0, 0, 0], 4)])
def test_equal_embeddings_have_the_value_of_guessing(label, chance):
    value = InfoNCELoss()(torch.ones(4, 2, 3), torch.tensor(label))
    assert_close(value, torch.tensor(float(chance)).log())


def test_diagnostics_are_the_trained_numbers():
    given = pairs().float(), LABELS
    assert InfoNCELoss(temperature=0.1).diagnostics(*given)["temperature"].item() == pytest.approx(
        0.1
    )
    found = SigLIPLoss(scale=4.0, bias=-3.0).diagnostics(*given)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {"scale": 4, "bias": -3}
    )


@pytest.mark.parametrize("loss", [InfoNCELoss(), SigLIPLoss()])
def test_what_does_not_fit(loss):
    with pytest.raises(ValueError, match=r"shape \(N, 2, D\), got torch.float32 of shape \(4, 3\)"):
        loss(torch.ones(4, 3), torch.arange(4))
    with pytest.raises(ValueError, match=r"shape \(4,\), got \(8,\)"):
        loss(torch.ones(4, 2, 3), torch.arange(8))
    with pytest.raises(ValueError, match=r"integer labels, got torch.float32"):
        loss(torch.ones(4, 2, 3), torch.arange(4.0))
    with pytest.raises(ValueError, match="no sample weights"):
        loss.total(torch.ones(4, 2, 3), torch.arange(4), torch.ones(4))


def test_options_out_of_range():
    with pytest.raises(ValueError, match="temperature must be > 0"):
        InfoNCELoss(temperature=0)
    with pytest.raises(ValueError, match="scale must be > 0"):
        SigLIPLoss(scale=-1)
