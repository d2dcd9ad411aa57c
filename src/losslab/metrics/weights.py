"""What can be said of a network by its weights alone."""

import torch
from torch import nn

NEAR_ZERO = 1e-3
"""A weight below this size does next to nothing beside inputs and activations of about 1."""


def weight_summary(network: nn.Module) -> dict[str, float]:
    """The root mean square of the weights, and the share of them below 0.001 in size.

    Biases and the scales of normalisation layers, vectors all, are left out.

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
