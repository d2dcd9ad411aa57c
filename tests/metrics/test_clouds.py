import pytest
import torch
from scipy.spatial.distance import cdist

from losslab.metrics.clouds import covered_points, f_score


@pytest.fixture
def pair():
    rng = torch.Generator().manual_seed(0)
    return torch.rand(4, 30, 3, generator=rng), torch.rand(4, 50, 3, generator=rng)


@pytest.mark.parametrize("threshold", [0.05, 0.2, 1.0])
def test_f_score(pair, threshold):
    expected = []
    for x, y in zip(*(cloud.numpy() for cloud in pair), strict=True):
        distance = cdist(x, y)
        p, r = (distance.min(1) <= threshold).mean(), (distance.min(0) <= threshold).mean()
        expected.append(2 * p * r / (p + r) if p + r else 0.0)
    assert f_score(*pair, threshold).tolist() == pytest.approx(expected, abs=1e-9)


def test_f_score_of_clouds_far_apart_is_0(pair):
    assert not f_score(pair[0] + 100, pair[1], 0.1).any()


def test_covered_points(pair):
    expected = [
        len(set(cdist(x, y).argmin(1))) / len(y)
        for x, y in zip(*(cloud.numpy() for cloud in pair), strict=True)
    ]
    assert covered_points(*pair).mean(dim=1).tolist() == pytest.approx(expected, abs=1e-9)


def test_limits_of_coverage(pair):
    cloud = pair[1]
    shuffled = cloud[:, torch.randperm(50, generator=torch.Generator().manual_seed(1))]
    assert covered_points(shuffled, cloud).all()
    assert (covered_points(cloud[:, :1].expand(-1, 50, -1), cloud).sum(dim=1) == 1).all()
    assert (f_score(shuffled, cloud, 1e-6) == 1).all()
