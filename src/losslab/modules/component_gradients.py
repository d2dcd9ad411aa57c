"""Gradients of the components of an objective: their norms, and the cosines between them."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from losslab.modules.global_batch import average_over_ranks


def gradient_values(
    components: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]
) -> dict[str, Tensor]:
    """Compute norms and cosines of the components' gradients, by the name of their curve.

    A cosine below 0 means that two components pull the weights in opposite directions.

    Args:
        components: components of the objective, by name; their graph is kept.
        parameters: the network's parameters.

    Returns:
        ``grad_norm/NAME`` and ``grad_cosine/A,B``, on the device of the components.

    Example:
        >>> weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> components = {"a": weight.sum(), "b": -3 * weight[0]}
        >>> values = gradient_values(components, [weight])
        >>> {name: round(value.item(), 3) for name, value in values.items()}
        {'grad_norm/a': 1.414, 'grad_norm/b': 3.0, 'grad_cosine/a,b': -0.707}
    """
    gradients = {name: _gradient(value, parameters) for name, value in components.items()}
    average_over_ranks(gradients.values())
    norms = {f"grad_norm/{name}": gradient.norm() for name, gradient in gradients.items()}
    cosines = {
        f"grad_cosine/{a},{b}": cosine_similarity(gradients[a], gradients[b], dim=0)
        for a, b in itertools.combinations(gradients, 2)
    }
    return norms | cosines


def _gradient(value: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    if not value.requires_grad:  # a component with weight 0, or of other variables
        return torch.cat([torch.zeros_like(parameter).flatten() for parameter in parameters])
    found = torch.autograd.grad(
        value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return torch.cat([gradient.flatten() for gradient in found])
