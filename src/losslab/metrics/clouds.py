"""Metrics of reconstructed point clouds, one value per cloud."""

import torch
from torch import Tensor

from losslab.losses.functional.points import nearest, nearest_distance


def f_score(prediction: Tensor, target: Tensor, threshold: float) -> Tensor:
    r"""Compute the F-score of each cloud, :math:`2PR / (P + R)`.

    P is the share of predicted points within the threshold of a target point, R the share of
    target points within the threshold of a predicted point; if both are 0, so is the score.

    Args:
        prediction: (N, P, D).
        target: (N, Q, D).
        threshold: distance, in the unit of the points.

    Returns:
        One score per cloud, (N,).

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
    return 2 * precision * recall / torch.where(total > 0, total, 1)


def covered_points(prediction: Tensor, target: Tensor) -> Tensor:
    """Return which target points are the nearest one to a predicted point.

    Their share is the coverage. Predicted points that crowd in a few places cover little, however
    accurate they are; a permutation of the target covers all.

    Args:
        prediction: (N, P, D).
        target: (N, Q, D).

    Returns:
        1 for a covered point and 0 for others, float64 (N, Q).

    Source:
        Achlioptas et al., "Learning Representations and Generative Models for 3D Point Clouds",
        2018, who define it for sets of clouds; here it is for the points of each cloud.

    Example:
        >>> target = torch.tensor([[[0.0], [1.0], [2.0], [3.0]]])
        >>> covered_points(torch.tensor([[[0.1], [0.2], [2.9]]]), target).tolist()
        [[1.0, 0.0, 0.0, 1.0]]
    """
    index = nearest(prediction, target)
    covered = torch.zeros(target.shape[:2], dtype=torch.float64, device=target.device)
    return covered.scatter(1, index, 1.0)
