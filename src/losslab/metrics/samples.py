"""How generated samples compare with real ones, in a space of features."""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    r"""Frechet distance of two Gaussians with the features' means and covariances.

    .. math:: |\mu_r - \mu_f|^2 + \operatorname{tr}(S_r + S_f - 2 (S_r S_f)^{1/2})

    Args:
        real: (N, D).
        fake: (M, D).

    Source:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017.

    Example:
        >>> points = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> round(frechet_distance(points, points + 2.0), 4)
        12.0
    """
    first, second = real.cpu().double().numpy(), fake.cpu().double().numpy()
    shift = first.mean(axis=0) - second.mean(axis=0)
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # the root's trace from a symmetric product: it has no trouble with singular covariances
    half = _root(covariances[0])
    root = np.sqrt(np.linalg.eigvalsh(half @ covariances[1] @ half).clip(min=0)).sum()
    return float(shift @ shift + np.trace(covariances[0] + covariances[1]) - 2 * root)


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: np.ndarray = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Precision: the share of samples that lie among the real ones; recall: the reverse.

    A point lies among others if it is within the distance of one of them to its k-th nearest.

    Args:
        real: (N, D).
        fake: (M, D).
        neighbours: k.

    Source:
        Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
        Models", 2019.

    Example:
        >>> points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        >>> precision_recall(points, points + 100.0)
        (0.0, 0.0)
    """
    return _share_inside(fake, real, neighbours), _share_inside(real, fake, neighbours)


def _share_inside(points: Tensor, others: Tensor, neighbours: int) -> float:
    manifold = others.cpu().double().numpy()
    radii = cKDTree(manifold).query(manifold, k=neighbours + 1)[0][:, -1]
    distances = torch.cdist(points.cpu().double(), torch.from_numpy(manifold)).numpy()
    return float((distances <= radii).any(axis=1).mean())


def covered_modes(classes: Tensor, count: int, share: float = 0.1) -> int:
    """The number of modes that get at least a tenth of an even share of the samples.

    Args:
        classes: the mode of each sample, negative for none, (N,).
        count: the number of modes.
        share: of an even share.

    Example:
        >>> covered_modes(torch.tensor([0, 0, 1, -1]), count=3)
        2
    """
    held = torch.bincount(classes[classes >= 0], minlength=count)
    return int((held >= max(1.0, share * len(classes) / count)).sum())


def sharpness(images: Tensor) -> Tensor:
    r"""How much neighbouring pixels differ, :math:`\operatorname{mean} |x_{i+1} - x_i|` both ways.

    Args:
        images: (N, C, H, W).

    Example:
        >>> sharpness(torch.eye(2).view(1, 1, 2, 2)).item()
        1.0
    """
    across = images.diff(dim=3).abs().mean()
    down = images.diff(dim=2).abs().mean()
    return (across + down) / 2
