"""Scores the documents of a query, each by itself."""

from collections.abc import Sequence

from torch import Tensor, nn

from losslab.models.mlp import MLP


class Scorer(nn.Module):
    """The same fully connected network for every document.

    Args:
        input_shape: (documents, features) of one query.
        hidden: widths of the hidden layers.

    Shape:
        (Q, D, F) to (Q, D).

    Example:
        >>> import torch
        >>> Scorer((20, 16))(torch.zeros(4, 20, 16)).shape
        torch.Size([4, 20])
    """

    def __init__(self, input_shape: Sequence[int], hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        if len(input_shape) != 2:
            raise ValueError(
                f"model=scorer expects queries (documents, features), got {tuple(input_shape)}"
            )
        self.each = MLP(input_shape[1:], outputs=1, hidden=hidden)

    def forward(self, queries: Tensor) -> Tensor:
        """One score a document."""
        scores: Tensor = self.each(queries)
        return scores.squeeze(-1)
