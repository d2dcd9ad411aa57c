"""Nearest neighbours between point clouds, and their distances."""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from losslab.losses.base import full_precision

# elements per chunk of the distance matrix: the CPU's cache, or a part of a GPU's memory
CPU_CHUNK = 2**18
DEVICE_CHUNK = 2**24
# number of pairs up to which the whole matrix is faster than building a tree
SMALL = 2**18
# fraction of the points visited by a tree query from which on the matrix is faster: a visit takes
# about 10 ns in a tree and 2 ns in the matrix
CROWDED = 0.15


def nearest_squared_distance(points: Tensor, reference: Tensor) -> Tensor:
    """Compute the squared distance of each point to the nearest of ``reference``, ``(N, P)``.

    The distances are computed from the gathered nearest pairs, so they are accurate for clouds far
    from the origin, and the gradient flows through both points of a pair.
    """
    return _to_nearest(points, reference).square().sum(dim=-1)


def nearest_distance(points: Tensor, reference: Tensor) -> Tensor:
    """Compute the distance of each point to the nearest of ``reference``, ``(N, P)``.

    The gradient is 0 at distance 0.
    """
    return euclidean_norm(_to_nearest(points, reference))


def euclidean_norm(difference: Tensor) -> Tensor:
    """Compute the norm along the last dimension, accurate from 1e-37 to 1e37, gradient 0 at 0."""
    # relative to the largest component: squares neither underflow nor overflow
    largest = difference.detach().abs().amax(dim=-1, keepdim=True)
    unit = torch.where(largest > 0, largest, 1)
    length: Tensor = torch.linalg.vector_norm(difference / unit, dim=-1)
    return length * unit.squeeze(-1)


def _to_nearest(points: Tensor, reference: Tensor) -> Tensor:
    """Compute each point minus its nearest in ``reference``, ``(N, P, D)``, float32 at least."""
    (points,) = full_precision(points)
    reference = reference.to(points.dtype)
    index = nearest(points.detach(), reference.detach())
    return points - gather_points(reference, index)


def gather_points(points: Tensor, index: Tensor) -> Tensor:
    """Gather ``points[n, index[n, k]]``: ``(N, P, D)`` and ``(N, K)`` give ``(N, K, D)``."""
    return points.gather(1, index[..., None].expand(-1, -1, points.shape[-1]))


# A custom operator, since torch.compile and vmap cannot trace a k-d tree.
@torch.library.custom_op("losslab::nearest", mutates_args=())
def nearest(points: Tensor, reference: Tensor) -> Tensor:
    """Find the index of the nearest of ``reference`` for each point, in linear memory.

    On the CPU this uses a k-d tree, or the distance matrix in chunks if a tree query would visit a
    large part of the cloud: for few points, or for a cloud that is nearly collapsed to one point
    inside the other. On a device it uses the distance matrix in chunks.

    Args:
        points: ``(N, P, D)``, float32 or float64.
        reference: ``(N, Q, D)``.

    Returns:
        int64 ``(N, P)``.

    Raises:
        ValueError: on the CPU, if a coordinate is NaN or infinite. On a device such a point gets
            an arbitrary index, and its distance is NaN.
    """
    if points.device.type != "cpu":
        return _nearest_by_matrix(points, reference, DEVICE_CHUNK)
    require_finite("prediction and target", points, reference)
    if points.shape[1] * reference.shape[1] <= SMALL:
        return _nearest_by_matrix(points, reference, CPU_CHUNK)
    index = torch.empty(points.shape[:2], dtype=torch.int64)
    for item, (cloud, other) in enumerate(zip(points, reference, strict=True)):
        tree = cKDTree(other.numpy(), balanced_tree=False)
        if _is_crowded(tree, cloud.numpy()):
            index[item] = _nearest_by_matrix(cloud[None], other[None], CPU_CHUNK)[0]
        else:
            found = tree.query(cloud.numpy(), workers=torch.get_num_threads())[1]
            index[item] = torch.from_numpy(found)
    return index


@nearest.register_fake
def _(points: Tensor, reference: Tensor) -> Tensor:
    return points.new_empty(points.shape[:2], dtype=torch.int64)


@nearest.register_vmap
def _(
    info: object, in_dims: tuple[int | None, ...], points: Tensor, reference: Tensor
) -> tuple[Tensor, int]:
    clouds = fold_vmap(info.batch_size, in_dims, points, reference)  # type: ignore[attr-defined]
    return nearest(*clouds).unflatten(0, (info.batch_size, -1)), 0  # type: ignore[attr-defined]


def fold_vmap(size: int, in_dims: tuple[int | None, ...], *clouds: Tensor) -> list[Tensor]:
    """Fold the dimension that vmap added into the batch of clouds."""
    return [
        (cloud.expand(size, *cloud.shape) if dim is None else cloud.movedim(dim, 0)).flatten(0, 1)
        for cloud, dim in zip(clouds, in_dims, strict=False)
    ]


def require_finite(name: str, *tensors: Tensor) -> None:
    """Raise ``ValueError`` for NaN and infinite values, which neither tree nor matching handles."""
    for tensor in tensors:
        wrong = int(tensor.numel() - tensor.isfinite().sum())
        if wrong:
            raise ValueError(
                f"{name} must be finite, got {wrong} NaN or infinite values of {tensor.numel()}"
            )


def _nearest_by_matrix(points: Tensor, reference: Tensor, chunk: int) -> Tensor:
    """Find the index of the nearest by comparing with every point, ``chunk`` distances at a time.

    Differences are squared directly: ``|x|^2 - 2xy + |y|^2`` cancels far from the origin.
    """
    if not len(points):
        return torch.empty(points.shape[:2], dtype=torch.int64, device=points.device)
    # relative to a power of two near the largest coordinate: squares neither underflow nor overflow
    unit = power_of_two(torch.cat([points, reference], dim=1).abs().amax(dim=(1, 2), keepdim=True))
    points, reference = points / unit, reference / unit
    coordinates = reference.mT.contiguous()[:, :, None]  # (N, D, 1, Q)
    rows = max(1, chunk // max(1, len(points) * reference.shape[1]))
    found = []
    for part in torch.split(points, rows, dim=1):
        squares = (part[:, :, :1] - coordinates[:, 0]).square_()
        for axis in range(1, part.shape[-1]):
            difference = part[:, :, axis : axis + 1] - coordinates[:, axis]
            squares.addcmul_(difference, difference)
        found.append(squares.argmin(dim=-1))
    return torch.cat(found, dim=1)


def power_of_two(size: Tensor) -> Tensor:
    """Return a power of two near ``size``, by which division is exact; 1 for 0.

    It is within ``2**+-120``, so that float32 represents it and its inverse.
    """
    exponent = torch.frexp(size.detach()).exponent.clamp(-120, 120)
    return torch.ldexp(torch.ones_like(size), exponent)


def _is_crowded(tree: cKDTree, points: np.ndarray) -> bool:
    """Return whether a tree query would visit a large part of the cloud for the average point.

    A query visits the leaves that intersect the ball around the point up to its nearest neighbour:
    about the points in that ball enlarged by the size of a leaf. Their number is estimated for a
    few points, on a part of the cloud.
    """
    few = points[:: -(-len(points) // 32)]
    cloud = tree.data[:: -(-tree.n // 2048)]
    leaf = tree.query(cloud[:: -(-len(cloud) // 32)], k=[min(tree.leafsize, tree.n)])[0].mean()
    radius = tree.query(few)[0] + leaf
    away = np.linalg.norm(few[:, None] - cloud, axis=-1)
    return bool((away <= radius[:, None]).mean() > CROWDED)
