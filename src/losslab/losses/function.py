"""A plain function as a loss."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class FunctionLoss(nn.Module):
    """Loss that calls a function with prediction and target.

    What the function accepts and how it reduces is its own affair: it is tried on a batch before
    it trains, like every loss that is not this project's.

    Args:
        function: called as ``function(prediction, target, **options)``.
        options: keyword arguments of every call.

    Example:
        >>> import torch
        >>> loss = FunctionLoss(torch.nn.functional.mse_loss)
        >>> loss(torch.tensor([1.0]), torch.tensor([3.0])).item()
        4.0
    """

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        super().__init__()
        self.function = function
        self.options = options

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        """Return the function's value."""
        return self.function(prediction, target, **self.options)

    def extra_repr(self) -> str:
        """Name the function and its options."""
        name = getattr(self.function, "__name__", repr(self.function))
        return ", ".join([name, *(f"{key}={value}" for key, value in self.options.items())])
