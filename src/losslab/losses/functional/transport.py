"""Earth mover's distance between clouds of equally weighted points: exact and by Sinkhorn."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from losslab.losses.base import full_precision, not_negative
from losslab.losses.functional.fused import Computed, fused
from losslab.losses.functional.kernels import compiled, pointers
from losslab.losses.functional.points import (
    euclidean_norm,
    fold_vmap,
    gather_points,
    require_finite,
)

# number of points from which POT's network simplex is at least as fast as SciPy's assignment
LARGE = 2048
# iteration limit; more than any cloud that fits in memory has needed
MOST_PIVOTS = 10**8
# a cloud counts as collapsed if its spread is below this fraction of the other's
COLLAPSED = 0.1
# A Sinkhorn step moves all potentials at once by RATE of the way to the new ones, and again by
# MOMENTUM of the step before. 50 steps of this over-relaxation leave about the error of 200 with
# 0.9 and 0; larger values oscillate if there are few steps.
RATE, MOMENTUM = 1.44, 0.6


def exact_transport_cost(prediction: Tensor, target: Tensor, p: int = 1) -> Tensor:
    """Compute the minimum of ``sum_ij w_ij |x_i - y_j|^p`` over the transport plans w, ``(N,)``.

    The gradient keeps the plan fixed, which is exact if the optimal plan is unique (envelope
    theorem).
    """
    (prediction,) = full_precision(prediction)
    target = target.to(prediction.dtype)
    rows, columns, weights = optimal_plan(prediction.detach(), target.detach(), p)
    difference = gather_points(prediction, rows) - gather_points(target, columns)
    cost = euclidean_norm(difference) if p == 1 else difference.square().sum(dim=-1)
    total: Tensor = (weights * cost).sum(dim=1)
    return total


# A custom operator, since torch.compile and vmap cannot trace a solver.
@torch.library.custom_op("losslab::optimal_plan", mutates_args=())
def optimal_plan(prediction: Tensor, target: Tensor, p: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs of an optimal transport plan and their weights, which sum to 1.

    Plans are solved on the CPU in float64, one thread per cloud; tensors on a device are copied
    synchronously. Clouds of equal size are solved as an assignment, others by POT, as a plan of at
    most ``P + Q - 1`` pairs.

    Args:
        prediction: ``(N, P, D)``.
        target: ``(N, Q, D)``.
        p: 1 for the distance as cost, 2 for its square.

    Returns:
        Rows and columns (int64) and weights, each ``(N, K)`` with K = P for equal sizes, else
        P + Q - 1, padded with pairs of weight 0.

    Raises:
        ValueError: if a coordinate is NaN or infinite.
        ImportError: if the sizes differ and POT is not installed.
    """
    require_finite("prediction and target", prediction, target)
    clouds = list(
        zip(prediction.cpu().double().numpy(), target.cpu().double().numpy(), strict=True)
    )
    solve = partial(_solve, p=p)
    workers = min(len(clouds), torch.get_num_threads())
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            plans = list(pool.map(solve, clouds))
    else:
        plans = [solve(pair) for pair in clouds]
    size = _plan_size(prediction, target)
    stacked = (np.array(part).reshape(len(clouds), size) for part in zip(*plans, strict=True))
    rows, columns, weights = stacked if plans else (np.zeros((0, size)) for _ in range(3))
    return (
        torch.from_numpy(rows.astype(np.int64)).to(prediction.device),
        torch.from_numpy(columns.astype(np.int64)).to(prediction.device),
        torch.from_numpy(weights).to(prediction),
    )


@optimal_plan.register_fake
def _(prediction: Tensor, target: Tensor, p: int) -> tuple[Tensor, Tensor, Tensor]:
    shape = (prediction.shape[0], _plan_size(prediction, target))
    index = prediction.new_empty(shape, dtype=torch.int64)
    return index, torch.empty_like(index), prediction.new_empty(shape)


@optimal_plan.register_vmap
def _(
    info: object, in_dims: tuple[int | None, ...], prediction: Tensor, target: Tensor, p: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    size: int = info.batch_size  # type: ignore[attr-defined]
    plan = optimal_plan(*fold_vmap(size, in_dims, prediction, target), p)
    return tuple(part.unflatten(0, (size, -1)) for part in plan), (0, 0, 0)


def _plan_size(prediction: Tensor, target: Tensor) -> int:
    """Return the number of pairs that suffice for an optimal plan."""
    ours, theirs = prediction.shape[1], target.shape[1]
    return ours if ours == theirs else ours + theirs - 1


def _solve(
    clouds: tuple[np.ndarray, np.ndarray], p: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve for rows, columns and weights of an optimal plan between two clouds."""
    cost = cdist(*clouds, metric="euclidean" if p == 1 else "sqeuclidean")
    ours, theirs = cost.shape
    if ours != theirs:
        return _sparse(_network_simplex(cost), ours + theirs - 1)
    if ours >= LARGE and find_spec("ot"):
        rows, columns = np.arange(ours), _network_simplex(cost).argmax(axis=1)
    else:
        if _spread(clouds[0]) < COLLAPSED * _spread(clouds[1]):
            # all points prefer the same targets, which slows SciPy's search down; subtracting the
            # mean cost of each target does not change the best assignment
            cost -= cost.mean(axis=0)
        rows, columns = linear_sum_assignment(cost)
    return rows, columns, np.full(ours, 1 / ours)


def _spread(cloud: np.ndarray) -> float:
    """Compute the root mean square distance of the points from their mean."""
    return float(np.sqrt(cloud.var(axis=0).sum()))


def _network_simplex(cost: np.ndarray) -> np.ndarray:
    """Compute the optimal plan between uniform weights with POT."""
    if not find_spec("ot"):
        raise ImportError(
            "prediction and target must have equally many points for the exact distance, got "
            f"{cost.shape[0]} and {cost.shape[1]}; for different sizes, install POT "
            "(pip install POT) or use method='sinkhorn'"
        )
    ot = import_module("ot")  # optional, and slow to import

    ours, theirs = (np.full(size, 1 / size) for size in cost.shape)
    plan, log = ot.emd(ours, theirs, cost, numItermax=MOST_PIVOTS, log=True)
    if log["warning"]:
        raise RuntimeError(f"POT found no optimal plan: {log['warning']}")
    return np.asarray(plan)


def _sparse(plan: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of a plan, padded to ``size`` with pairs of weight 0."""
    rows, columns = np.nonzero(plan)
    fill = (0, size - len(rows))
    return np.pad(rows, fill), np.pad(columns, fill), np.pad(plan[rows, columns], fill)


def sinkhorn_cost(
    prediction: Tensor, target: Tensor, p: int = 1, blur: float = 0.001, steps: int = 100
) -> Tensor:
    r"""Compute the Sinkhorn divergence :math:`S = OT(x, y) - OT(x, x)/2 - OT(y, y)/2`, ``(N,)``.

    OT is the transport cost with entropic regularization ``blur**p``, computed in the log domain
    and annealed from 1 in ``steps`` steps of equal ratio. Lengths are relative to the diameter of
    the clouds. The gradient keeps the potentials and the diameter fixed, which is exact for
    converged potentials. Memory is quadratic in the points.
    """
    (prediction,) = full_precision(prediction)
    target = target.to(prediction.dtype)
    both = torch.cat([prediction.detach(), target.detach()], dim=1)
    low, high = both.amin(dim=1, keepdim=True), both.amax(dim=1, keepdim=True)
    diameter = euclidean_norm(high - low)[..., None]
    unit = torch.where(diameter > 0, diameter, 1)
    x, y = (prediction - low) / unit, (target - low) / unit
    definition = partial(_divergence, p=p, blur=blur, steps=steps)
    (divergence,) = fused(SinkhornKernel(p, blur, steps), definition, x, y)
    return not_negative(divergence) * unit.flatten() ** p


class SinkhornKernel(NamedTuple):
    """Kernel of the Sinkhorn divergence of clouds of diameter 1."""

    p: int
    blur: float
    steps: int

    def compute(self, slopes: bool, x: Tensor, y: Tensor) -> Computed:
        """Compute the divergence of each pair of clouds, and its gradient."""
        x, y = x.contiguous(), y.contiguous()
        values, room = x.new_empty(len(x)), torch.empty_like(x)
        sizes = *x.shape[:2], *y.shape[1:], torch.get_num_threads()
        how = self.p, self.steps, self.blur, RATE, MOMENTUM
        compiled("sinkhorn")(*sizes, *how, *pointers(x, y, values, room))
        return (values,), room


def _divergence(x: Tensor, y: Tensor, p: int, blur: float, steps: int) -> tuple[Tensor]:
    """Compute the Sinkhorn divergence of clouds of diameter 1."""
    # all four transport problems use the same operations on rows, so that identical clouds give
    # exactly 0
    pairs = ((x, y), (y, x), (x, x), (y, y))
    costs = [_pair_costs(ours, theirs.detach(), p) for ours, theirs in pairs]
    with torch.no_grad():
        now = before = [cost.new_zeros(cost.shape[:2]) for cost in costs]
        for step in range(steps + 1):
            found = _soft_minima(costs, now, blur ** (p * step / steps))
            moved = [
                old + RATE * (new - old) + MOMENTUM * (old - older)
                for new, old, older in zip(found, now, before, strict=True)
            ]
            now, before = moved, now
    there, back, own_x, own_y = (each.mean(dim=1) for each in _soft_minima(costs, now, blur**p))
    return ((there - own_x) + (back - own_y),)


def _soft_minima(costs: list[Tensor], potentials: list[Tensor], epsilon: float) -> list[Tensor]:
    """Compute the potentials of x to y, y to x, x to x and y to y from those of the other side."""
    f, g, own_f, own_g = potentials
    others = (g, f, own_f, own_g)
    return [_soft_minimum(cost, h, epsilon) for cost, h in zip(costs, others, strict=True)]


def _pair_costs(x: Tensor, y: Tensor, p: int) -> Tensor:
    """Compute ``|x_i - y_j|^p`` for all pairs from differences, ``(N, P, Q)``; gradient 0 at 0."""
    if p == 1:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    columns = y.mT[:, :, None]
    squares = [(x[..., axis, None] - columns[:, axis]).square() for axis in range(x.shape[-1])]
    return torch.stack(squares).sum(dim=0)


def _soft_minimum(cost: Tensor, potential: Tensor, epsilon: float) -> Tensor:
    """Compute ``-eps log mean_j exp((h_j - C_ij) / eps)``, ``(N, P)``."""
    exponent = (potential[:, None] - cost) / epsilon
    return -epsilon * (exponent.logsumexp(dim=-1) - math.log(cost.shape[-1]))
