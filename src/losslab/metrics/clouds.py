"""Metrics of reconstructed point clouds."""

import torch
from torch import Tensor

from losslab.losses.functional.points import nearest, nearest_distance


def f_score(prediction: Tensor, target: Tensor, threshold: float) -> Tensor:
    r"""Compute the mean F-score of clouds, :math:`2PR / (P + R)`.

    P is the share of predicted points within the threshold of a target point, R the share of
    target points within the threshold of a predicted point; if both are 0, so is the score.

    Args:
        prediction: (N, P, D).
        target: (N, Q, D).
        threshold: distance, in the unit of the points.

    Source:
        Knapitsch et al., "Tanks and Temples: Benchmarking Large-Scale Scene Reconstruction", 2017.

    Example:
        >>> cloud = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]])
        >>> round(f_score(cloud[:, :1], cloud, threshold=0.1).item(), 4)  # P = 1, R = 1/2
        0.6667
    """
    precision = (nearest_distance(prediction, target) <= threshold).double().mean(dim=1)
    recall = (nearest_distance(target, prediction) <= threshold).double().mean(dim=1)
    total = precision + recall
    return (2 * precision * recall / torch.where(total > 0, total, 1)).mean()


def coverage(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean share of target points that are the nearest one to a predicted point.

    Predicted points that crowd in a few places cover little, however accurate they are; a
    permutation of the target covers all.

    Args:
        prediction: (N, P, D).
        target: (N, Q, D).

    Source:
        Achlioptas et al., "Learning Representations and Generative Models for 3D Point Clouds",
        2018, who define it for sets of clouds; here it is for the points of each cloud.

    Example:
        >>> target = torch.tensor([[[0.0], [1.0], [2.0], [3.0]]])
        >>> coverage(torch.tensor([[[0.1], [0.2], [2.9]]]), target).item()
        0.5
    """
    index = nearest(prediction, target)
    covered = torch.zeros(target.shape[:2], dtype=torch.float64, device=target.device)
    return covered.scatter(1, index, 1.0).mean()
