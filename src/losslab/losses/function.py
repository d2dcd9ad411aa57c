"""A plain function as a loss."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class FunctionLoss(nn.Module):
    """Loss that calls a function with prediction and target.

    What the function accepts and how it reduces is its own affair: it is tried on a batch before
    it trains, like every loss that is not this project's. If it has an argument ``reduction``, the
    loss has an attribute of that name, as the classes of torch have.

    Args:
        function: called as ``function(prediction, target, **options)``.
        options: keyword arguments of every call.

    Example:
        >>> import torch
        >>> loss = FunctionLoss(torch.nn.functional.mse_loss)
        >>> loss(torch.tensor([1.0]), torch.tensor([3.0])).item()
        4.0
        >>> loss.reduction
        'mean'
    """

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        super().__init__()
        self.function = function
        reduction = options.pop("reduction", _default_reduction(function))
        if reduction is not None:
            self.reduction = reduction
        self.options = options

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        """Return the function's value."""
        return self.function(prediction, target, **self._all_options)

    def extra_repr(self) -> str:
        """Name the function and its options."""
        name = getattr(self.function, "__name__", repr(self.function))
        return ", ".join([name, *(f"{key}={value}" for key, value in self._all_options.items())])

    @property
    def _all_options(self) -> dict[str, Any]:
        own = vars(self).get("reduction")
        return self.options if own is None else {**self.options, "reduction": own}


def _default_reduction(function: Callable[..., Tensor]) -> str | None:
    """Return the default of a function's argument ``reduction``, if it has one."""
    try:
        parameter = inspect.signature(function).parameters.get("reduction")
    except (ValueError, TypeError):  # C functions may have no signature
        return None
    return (
        parameter.default if parameter is not None and isinstance(parameter.default, str) else None
    )
