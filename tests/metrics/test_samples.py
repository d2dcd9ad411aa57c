"""Distances between sets of samples, also where covariances are singular."""

import pytest
import torch

from losslab.metrics.samples import frechet_distance, inside_manifold, precision_recall


def features(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "d"), [(20, 64), (200, 3), (2, 1)], ids=["singular", "full", "few"])
def test_the_distance_of_equal_sets_is_zero_and_of_shifted_ones_the_shift(n, d):
    points = features(n, d)
    assert 0 <= frechet_distance(points, points) < 1e-9
    assert frechet_distance(points, points + 2.0) == pytest.approx(4 * d, rel=1e-5)


def test_the_distance_of_samples_that_collapsed_is_finite():
    points = features(20, 64)
    expected = float((points.mean(0) - points[0]).square().sum() + points.var(0).sum())
    collapsed = points[:1].expand(20, -1)
    assert frechet_distance(points, collapsed) == pytest.approx(expected, rel=1e-4)


def test_one_sample_has_no_covariance():
    with pytest.raises(ValueError, match="at least two samples of each, got 20 real and 1"):
        frechet_distance(features(20, 4), features(1, 4))


def test_copies_are_inside_the_manifold():
    """Of points that occur several times, whose neighbours are at distance 0."""
    points = 100 + features(10, 3).repeat(5, 1)
    assert precision_recall(points, points.flip(0)) == (1.0, 1.0)


def test_too_few_samples_have_no_manifold():
    with pytest.raises(ValueError, match=r"needs more than 3 samples.* got 3"):
        inside_manifold(features(20, 4), features(3, 4))
