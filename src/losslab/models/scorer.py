"""A network that scores each document of a query by itself."""

from collections.abc import Sequence

from torch import Tensor, nn

from losslab.config.specs import require_samples
from losslab.models.mlp import MLP


class Scorer(nn.Module):
    """Multilayer perceptron that is applied to each document.

    Args:
        input_shape: (documents, features) of a query.
        hidden: units of each hidden layer.

    Shape:
        (Q, D, F) to (Q, D).

    Raises:
        ValueError: if a sample is not a query.

    Example:
        >>> import torch
        >>> Scorer((20, 16))(torch.zeros(4, 20, 16)).shape
        torch.Size([4, 20])
    """

    def __init__(self, input_shape: Sequence[int], hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        require_samples("Scorer", input_shape)
        self.each = MLP(input_shape[1:], outputs=1, hidden=hidden)

    def forward(self, queries: Tensor) -> Tensor:
        """Compute one score per document."""
        scores: Tensor = self.each(queries)
        return scores.squeeze(-1)
