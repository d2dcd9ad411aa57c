"""Fully connected networks."""

import math
from collections.abc import Sequence

from torch import nn


class MLP(nn.Sequential):
    """Multilayer perceptron with ReLU; without hidden layers, one affine layer.

    Args:
        input_shape: shape of a sample, which is flattened.
        outputs: outputs per sample.
        hidden: units of each hidden layer.
        dropout: probability of dropping a hidden unit in training.

    Shape:
        (N, *input_shape) to (N, outputs).

    Example:
        >>> import torch
        >>> MLP((1, 8, 8), 10, hidden=[64])(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        hidden: Sequence[int] = (64, 64),
        dropout: float = 0.0,
    ) -> None:
        widths = [math.prod(input_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
        for width, following in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(width, following), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers, nn.Linear(widths[-1], outputs))
