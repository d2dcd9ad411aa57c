"""Minimisation of a loss over free predictions, without a network."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor, nn

from losslab.passport.calls import Refusal, gradient_of, value_of
from losslab.passport.problems import Problem

STEPS = 250
LOOK = 50
"""Steps between two looks at whether the predictions are right."""
LEARNING_RATE = 0.1
BETAS, EPSILON = (0.9, 0.999), 1e-8
GRID = 400


def fitted(loss: nn.Module, problem: Problem, *, stop_when_right: bool = False) -> Tensor:
    """Minimise a loss over the predictions of a problem, and over its own parameters.

    Adam is used since its steps do not depend on the scale of the loss. They are written out, as
    ``torch.optim.Adam`` takes longer than most losses on a dozen numbers, and each loss of a sweep
    is fitted. They equal its steps to the bit, since some losses turn rounding into another answer.

    Args:
        loss: the loss.
        problem: predictions and their answers.
        stop_when_right: whether to stop once all predictions agree with the answers at two looks in
            a row. More steps would only make logits more confident.

    Raises:
        Refusal: if the loss fails or becomes NaN on the way.
    """
    prediction = problem.start.clone().requires_grad_()
    own = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    points = [prediction, *own]
    moments = [(torch.zeros_like(point), torch.zeros_like(point)) for point in points]
    is_right = False
    for step in range(1, STEPS + 1):
        value = value_of(loss, prediction, problem.target)
        if not math.isfinite(number := value.item()):
            raise Refusal(f"becomes {number:g} when it is minimised")
        gradients = torch.autograd.grad(value, points, allow_unused=True)
        with torch.no_grad():
            for point, gradient, (first, second) in zip(points, gradients, moments, strict=True):
                if gradient is not None:
                    first.lerp_(gradient, 1 - BETAS[0])
                    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
                    scale = (second.sqrt() / (1 - BETAS[1] ** step) ** 0.5).add_(EPSILON)
                    rate = LEARNING_RATE / (1 - BETAS[0] ** step)
                    point.addcdiv_(first, scale, value=-rate)
        if stop_when_right and step % LOOK == 0:
            was_right, is_right = is_right, problem.agreement(prediction.detach()) == 1
            if was_right and is_right:
                break
    return prediction.detach()


def minimiser(risk: Callable[[Tensor], Tensor], size: int) -> Tensor:
    """Return where a smooth function of ``size`` numbers is smallest, found from 0."""

    def value_and_gradient(numbers: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        point = torch.from_numpy(numbers).requires_grad_()
        value = risk(point)
        (gradient,) = torch.autograd.grad(value, point, materialize_grads=True)
        return value.item(), gradient.numpy()

    options = {"maxiter": 200, "gtol": 1e-10, "ftol": 1e-15}
    found = minimize(
        value_and_gradient, np.zeros(size), jac=True, method="L-BFGS-B", options=options
    )
    return torch.from_numpy(found.x)


def lowest(risk: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function of one number is smallest, which may have several minima."""
    points = torch.linspace(low, high, GRID, dtype=torch.float64).tolist()
    values = [risk(point) for point in points]
    best = min(range(GRID), key=values.__getitem__)
    found = minimize_scalar(
        risk,
        bounds=(points[max(0, best - 1)], points[min(GRID - 1, best + 1)]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(found.x) if found.fun < values[best] else points[best]


def is_bounded(loss: nn.Module, problem: Problem, prediction: Tensor) -> bool:
    """Return whether a loss stops falling when its minimised predictions are scaled up."""
    with torch.no_grad():
        values = [float(loss(scale * prediction, problem.target).mean()) for scale in (1, 1e2, 1e4)]
    first, second, third = values
    return not (third < second < first and second - third > 10 * (first - second) > 0)


def gradient_scale(loss: nn.Module, problem: Problem) -> tuple[float, float]:
    """Return a loss at the start of a problem, and the norm of its gradient."""
    value, gradient = gradient_of(loss, problem.start, problem.target)
    return value.item(), gradient.norm().item()
