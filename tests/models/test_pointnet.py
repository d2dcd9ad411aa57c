import pytest
import torch

from losslab.models import PointAutoencoder


@pytest.fixture
def network():
    torch.manual_seed(0)
    return PointAutoencoder((32, 3), points=20, code=8)


def test_shapes(network):
    clouds = torch.randn(5, 32, 3)
    assert network(clouds).shape == (5, 20, 3)
    assert network.encode(clouds).shape == (5, 8)
    assert network(torch.randn(5, 50, 3)).shape == (5, 20, 3)  # any number of points goes in
    assert PointAutoencoder((32, 2))(torch.randn(1, 32, 2)).shape == (1, 32, 2)


def test_the_order_of_the_points_does_not_matter(network):
    clouds = torch.randn(5, 32, 3)
    assert torch.equal(network(clouds), network(clouds[:, torch.randperm(32)]))


def test_images_are_refused():
    with pytest.raises(ValueError, match=r"expects clouds .* got samples of shape \(1, 8, 8\)"):
        PointAutoencoder((1, 8, 8))
