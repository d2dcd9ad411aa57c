"""How well two point clouds cover each other."""

import torch
from torch import Tensor

from losslab.losses.functional.points import nearest, nearest_distance


def f_score(prediction: Tensor, target: Tensor, threshold: float) -> Tensor:
    r"""The mean F-score of clouds: :math:`2PR / (P + R)`.

    P is the share of predicted points that lie within the threshold of a target point, R the share
    of target points within it of a predicted point; where both are 0, so is the score.

    Args:
        prediction: (N, P, D).
        target: (N, Q, D).
        threshold: a distance, in the unit of the points.

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
    """The mean share of target points that are the nearest one of some predicted point.

    A prediction that crowds in a few places covers little, however near its points are; a
    permutation of the target covers all.

    Args:
        prediction: (N, P, D).
        target: (N, Q, D).

    Source:
        Achlioptas et al., "Learning Representations and Generative Models for 3D Point Clouds",
        2018, who define it for sets of clouds; here it is of the points of one cloud.

    Example:
        >>> target = torch.tensor([[[0.0], [1.0], [2.0], [3.0]]])
        >>> coverage(torch.tensor([[[0.1], [0.2], [2.9]]]), target).item()
        0.5
    """
    index = nearest(prediction, target)
    covered = torch.zeros(target.shape[:2], dtype=torch.float64, device=target.device)
    return covered.scatter(1, index, 1.0).mean()
