"""A training pass of a network in a stack, compared with the one that it makes alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Unstackable(Exception):  # noqa: N818 (an expected outcome, not a fault)
    """Raised if runs cannot be trained together; the message completes ``because ...``."""


class Pass(NamedTuple):
    """Predictions of a pass, of one network or of several."""

    prediction: Tensor
    gradients: dict[str, Tensor]
    """Gradients of the sum of the squared predictions, by parameter that they depend on."""

    def row(self, row: int) -> "Pass":
        """Return the pass of one of several networks."""
        return Pass(
            self.prediction[row], {name: each[row] for name, each in self.gradients.items()}
        )


def passed(prediction: Tensor, parameters: Mapping[str, Tensor]) -> Pass:
    """Compute the gradients of a pass.

    Args:
        prediction: its predictions.
        parameters: parameters by name, of which those that are trained get a gradient.
    """
    trained = {name: value for name, value in parameters.items() if value.requires_grad}
    if not trained:
        return Pass(prediction, {})
    objective = prediction.square().sum()
    found = torch.autograd.grad(objective, list(trained.values()), allow_unused=True)
    named = zip(trained, found, strict=True)
    return Pass(prediction.detach(), {name: value for name, value in named if value is not None})


def require_same(
    network: nn.Module, sample: Tensor, together: Pass, buffers: Mapping[str, Tensor]
) -> None:
    """Check that a network gives alone what it gave in a stack.

    Args:
        network: the network in training mode, before the pass; it may be changed.
        sample: its inputs.
        together: its pass in the stack.
        buffers: its buffers after that.

    Raises:
        Unstackable: if predictions, gradients or buffers differ by more than rounding, or if the
            network has state elsewhere, which the networks of a stack would share.
    """
    attributes = _attributes(network)
    alone = passed(network(sample), dict(network.named_parameters()))
    if changed := sorted(attributes.items() ^ _attributes(network).items(), key=str):
        raise Unstackable(f"the network changes its attribute {changed[0][0]} in a pass")
    _require_close("predictions", together.prediction, alone.prediction)
    if together.gradients.keys() != alone.gradients.keys():
        raise Unstackable("the network gives other gradients when it is mapped")
    unit = max((value.abs().max().item() for value in alone.gradients.values()), default=0) or 1
    for name, gradient in alone.gradients.items():
        _require_close("gradients", together.gradients[name] / unit, gradient / unit)
    for name, value in network.named_buffers():
        if name in buffers:
            _require_close("running statistics", buffers[name], value)


def _require_close(what: str, value: Tensor, expected: Tensor) -> None:
    close = value.shape == expected.shape and torch.allclose(
        value.double(), expected.double(), rtol=1e-3, atol=1e-4, equal_nan=True
    )
    if not close:
        raise Unstackable(f"the network gives other {what} when it is mapped")


def _attributes(network: nn.Module) -> dict[str, Any]:
    """Return what a network holds beside parameters and buffers, to detect changes."""
    return {
        f"{path}.{name}" if path else name: value
        if isinstance(value, str | int | float)
        else (id(value), len(value) if isinstance(value, list | dict | set) else None)
        for path, module in network.named_modules()
        for name, value in vars(module).items()
        if name not in ("_parameters", "_buffers", "_modules")
    }


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
