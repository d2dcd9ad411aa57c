"""Similarities of embeddings and the vectors of classes, and what margins make of them."""

import math
from typing import Any

import torch
from torch import Tensor

from losslab.losses.base import full_precision
from losslab.losses.functional.metric import normalized


def linear(embeddings: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute logits ``(N, C)`` of embeddings ``(N, D)``, in full precision under autocast."""
    (embeddings,) = full_precision(embeddings)
    product: Tensor = _Product.apply(embeddings, weight.to(embeddings.dtype))
    return product + bias.to(embeddings.dtype)


def cosines(embeddings: Tensor, vectors: Tensor) -> Tensor:
    """Compute the cosines ``(N, C)`` of embeddings ``(N, D)`` and class vectors ``(C, D)``.

    Those of a zero embedding are 0.
    """
    product: Tensor = _Product.apply(*_directions(embeddings, vectors))
    return product


def _directions(embeddings: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Scale embeddings and class vectors to length 1, in the precision of the loss."""
    embeddings = normalized(embeddings)
    return embeddings, normalized(vectors.to(embeddings.dtype))


def center(embeddings: Tensor, vectors: Tensor, labels: Tensor) -> Tensor:
    """Compute half the squared distances ``(N,)`` of embeddings from their class's vector."""
    (embeddings,) = full_precision(embeddings)
    return (embeddings - vectors.to(embeddings.dtype)[labels]).square().sum(dim=1) / 2


def own_class(labels: Tensor, classes: int) -> Tensor:
    """Return the mask ``(N, C)`` of the class of each sample."""
    return labels[:, None] == torch.arange(classes, device=labels.device)


def cosine_margin(cosine: Tensor, own: Tensor, margin: float) -> Tensor:
    r"""Subtract the margin from the cosine of a sample's own class, :math:`\cos\theta - m`."""
    return cosine - margin * own.to(cosine.dtype)


def angular_margin(embeddings: Tensor, vectors: Tensor, own: Tensor, margin: float) -> Tensor:
    r"""Compute cosines with a margin at the angle of the own class, :math:`\cos(\theta + m)`.

    Beyond :math:`\pi - m`, where it would rise again, it is :math:`\cos\theta - m \sin m`.

    Args:
        embeddings: ``(N, D)``.
        vectors: class vectors ``(C, D)``.
        own: mask ``(N, C)`` of the class of each sample.
        margin: m, in radians.
    """
    # once: gradients of a half-precision embedding must not be rounded before they are added
    embeddings, vectors = _directions(embeddings, vectors)
    cosine: Tensor = _Product.apply(embeddings, vectors)
    mask = own.to(cosine.dtype)
    along = (mask * cosine).sum(dim=1, keepdim=True)
    # the sine as a length: sqrt(1 - cos^2) cancels, and has an infinite slope at an angle of 0
    across = embeddings - along * _Product.apply(mask, vectors.mT)
    sine = torch.linalg.vector_norm(across, dim=1, keepdim=True)
    turned = along * math.cos(margin) - sine * math.sin(margin)
    beyond = along < -math.cos(margin)
    changed = torch.where(beyond, along - margin * math.sin(margin), turned)
    return torch.where(own, changed, cosine)


def proxy_anchor(cosine: Tensor, own: Tensor, margin: float, scale: float) -> Tensor:
    r"""Compute the proxy anchor loss of a batch.

    .. math::
        \frac{1}{|P^+|} \sum_{p \in P^+} \log\Bigl(1 + \sum_{x \in X_p} e^{-\alpha (s(x, p) -
        \delta)}\Bigr) + \frac{1}{|P|} \sum_{p \in P} \log\Bigl(1 + \sum_{x \notin X_p}
        e^{\alpha (s(x, p) + \delta)}\Bigr)

    Args:
        cosine: cosines ``(N, C)`` with the proxies.
        own: mask ``(N, C)`` of the class of each sample.
        margin: :math:`\delta`.
        scale: :math:`\alpha`.
    """
    positive = _log_one_plus_sum(-scale * (cosine - margin), own)
    negative = _log_one_plus_sum(scale * (cosine + margin), ~own)
    present = own.any(dim=0).sum().clamp(min=1)
    return positive.sum() / present + negative.mean()


def _log_one_plus_sum(exponents: Tensor, kept: Tensor) -> Tensor:
    """Compute log(1 + the sum of the exponentials that are kept) of each column."""
    exponents = exponents.masked_fill(~kept, -math.inf)
    return torch.cat([torch.zeros_like(exponents[:1]), exponents]).logsumexp(dim=0)


class _Product(torch.autograd.Function):
    """``x y'`` with autocast disabled in the forward and the backward product."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return x @ y.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            return slope @ y, slope.mT @ x
