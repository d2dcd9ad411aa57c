"""Metrics that compare generated with real samples."""

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from torch import Tensor

ROUNDING = 1e-9
"""Relative difference within which two distances are equal."""


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    r"""Compute the Fréchet distance of the Gaussians fitted to two sets of features.

    .. math:: |\mu_r - \mu_f|^2 + \operatorname{tr}(S_r + S_f - 2 (S_r S_f)^{1/2})

    Args:
        real: features of real samples, (N, D), with N >= 2.
        fake: features of generated samples, (M, D), with M >= 2.

    Returns:
        The distance, at least 0.

    Raises:
        ValueError: if there are fewer than two samples, which have no covariance.

    Source:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017.

    Example:
        >>> points = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> round(frechet_distance(points, points + 2.0), 4)
        12.0
    """
    if min(len(real), len(fake)) < 2:
        raise ValueError(
            "the Fréchet distance needs at least two samples of each, got "
            f"{len(real)} real and {len(fake)} generated"
        )
    first, second = real.cpu().double().numpy(), fake.cpu().double().numpy()
    shift = first.mean(axis=0) - second.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(each, rowvar=False)) for each in (first, second)]
    # the trace of the root is the nuclear norm of the product of the roots, which is exact to
    # rounding for equal and for singular covariances too
    root = np.linalg.norm(_root(covariances[0]) @ _root(covariances[1]), ord="nuc")
    distance = shift @ shift + np.trace(covariances[0] + covariances[1]) - 2 * root
    return max(float(distance), 0.0)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Compute the symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: np.ndarray = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Compute precision and recall of generated samples.

    Precision is the share of generated samples inside the manifold of the real ones, recall the
    reverse. A point is inside if it is nearer to one of the others than that one's k-th neighbour.

    Args:
        real: features of real samples, (N, D).
        fake: features of generated samples, (M, D).
        neighbours: k.

    Raises:
        ValueError: if there are not more than k samples of each.

    Source:
        Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
        Models", 2019.

    Example:
        >>> points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        >>> precision_recall(points, points + 100.0)
        (0.0, 0.0)
    """
    return tuple(
        float(inside_manifold(points, others, neighbours).double().mean())
        for points, others in ((fake, real), (real, fake))
    )  # type: ignore[return-value]


def inside_manifold(points: Tensor, others: Tensor, neighbours: int = 3) -> Tensor:
    """Return which points are inside the manifold of the others, boolean (N,).

    Args:
        points: (N, D).
        others: (M, D), with M > k.
        neighbours: k, see :func:`precision_recall`.

    Raises:
        ValueError: if there are not more than k others.
    """
    if len(others) <= neighbours:
        raise ValueError(
            f"the manifold needs more than {neighbours} samples, whose k-th neighbours bound it, "
            f"got {len(others)}"
        )
    manifold = others.cpu().double().numpy()
    radii = cKDTree(manifold).query(manifold, k=neighbours + 1)[0][:, -1]
    # from differences, so that equal points have distance 0; ties may differ by rounding
    distances = cdist(points.cpu().double().numpy(), manifold)
    return torch.from_numpy((distances <= radii * (1 + ROUNDING)).any(axis=1))


def covered_modes(classes: Tensor, count: int, share: float = 0.1) -> int:
    """Count the modes that have at least ``share`` of an even share of the samples.

    Args:
        classes: mode of each sample, negative for none, (N,).
        count: number of modes.
        share: fraction of N / count samples that a covered mode has at least.

    Example:
        >>> covered_modes(torch.tensor([0, 0, 1, -1]), count=3)
        2
    """
    held = torch.bincount(classes[classes >= 0], minlength=count)
    return int((held >= max(1.0, share * len(classes) / count)).sum())


def sharpness(images: Tensor) -> Tensor:
    r"""Compute the mean absolute difference of neighbouring pixels, in both directions.

    .. math:: \operatorname{mean} |x_{i+1} - x_i|

    Args:
        images: (N, C, H, W).

    Example:
        >>> sharpness(torch.eye(2).view(1, 1, 2, 2)).item()
        1.0
    """
    across = images.diff(dim=3).abs().mean()
    down = images.diff(dim=2).abs().mean()
    return (across + down) / 2
