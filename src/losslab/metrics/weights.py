"""Metrics of a network's weights."""

import torch
from torch import nn

NEAR_ZERO = 1e-3
"""Magnitude below which a weight has little effect on inputs and activations of about 1."""


def weight_summary(network: nn.Module) -> dict[str, float]:
    """Compute the root mean square of the weights, and the share with a magnitude below 0.001.

    Vectors (biases and scales of normalisation layers) are left out.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> _ = nn.init.constant_(layer.weight, 2.0)
        >>> weight_summary(layer)
        {'weight_rms': 2.0, 'near_zero_weights': 0.0}
    """
    kept = [weight.detach().flatten() for weight in network.parameters() if weight.ndim > 1]
    if not kept:
        return {}
    weights = torch.cat(kept).cpu().double()
    rms, share = weights.square().mean().sqrt(), (weights.abs() < NEAR_ZERO).double().mean()
    return {"weight_rms": float(rms), "near_zero_weights": float(share)}
