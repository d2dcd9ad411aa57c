"""Matrix factorization: scores of items for users."""

import torch
from torch import Tensor, nn


class Factorization(nn.Module):
    r"""Matrix factorization with biases.

    .. math:: s_{ui} = \mu + b_u + b_i + p_u^\top q_i

    Args:
        users: number of users.
        items: number of items.
        factors: dimensions of p and q, which begin as :math:`N(0, 0.1^2)`; biases begin at 0.

    Shape:
        user and items ``(Q, 1 + D)`` int64 to scores ``(Q, D)``.

    Source:
        Koren, Bell and Volinsky, "Matrix Factorization Techniques for Recommender Systems", 2009.

    Example:
        >>> network = Factorization(users=3, items=5)
        >>> network(torch.tensor([[2, 0, 4], [0, 1, 1]])).shape
        torch.Size([2, 2])
    """

    def __init__(self, users: int, items: int, factors: int = 16) -> None:
        super().__init__()
        self.users = nn.Parameter(0.1 * torch.randn(users, factors))
        self.items = nn.Parameter(0.1 * torch.randn(items, factors))
        self.user_bias = nn.Parameter(torch.zeros(users))
        self.item_bias = nn.Parameter(torch.zeros(items))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the score of each item for its user."""
        user, items = inputs[:, 0], inputs[:, 1:]
        products = self.items[items] @ self.users[user].unsqueeze(2)
        biases = self.bias + self.user_bias[user].unsqueeze(1) + self.item_bias[items]
        return products.squeeze(2) + biases
