"""The small detector: grids of points, valid boxes, rare classes at first, and its options."""

import pytest
import torch
from torch.testing import assert_close

from losslab.models import Detector
from losslab.models.freezing import head_of


def parts(prediction, classes):
    return prediction.split([classes, 4, 4, 2], dim=-1)


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 40, 64), (2, 17, 33)])
def test_images_of_any_size(shape):
    prediction = Detector(shape, 2)(torch.randn(3, *shape))
    height, width = shape[1:]
    count = sum((height // side) * (width // side) for side in (4, 8))
    assert prediction.shape == (3, count, 12)


def test_every_box_is_valid_and_around_its_point():
    torch.manual_seed(0)
    network = Detector((1, 32, 32), 2)
    _, boxes, places, _ = parts(network(5 * torch.randn(4, 1, 32, 32)), 2)
    centres = (places[..., :2] + places[..., 2:]) / 2
    assert (boxes[..., :2] < centres).all()
    assert (centres < boxes[..., 2:]).all()


def test_places_are_the_cells_of_the_grids():
    _, _, places, bounds = parts(Detector((1, 32, 16), 1)(torch.zeros(2, 1, 32, 16)), 1)
    assert_close(places[0, 5], torch.tensor([4.0, 4, 8, 8]))  # the second of four columns
    assert_close(places[1, 32], torch.tensor([0.0, 0, 8, 8]))  # of the second grid
    assert bounds[0, 0].tolist() == [0, 32]
    assert bounds[0, -1].tolist() == [32, 1e6]


def test_classes_are_rare_before_training():
    torch.manual_seed(0)
    logits, *_ = parts(Detector((1, 32, 32), 3)(torch.randn(8, 1, 32, 32)), 3)
    assert logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)


def test_pixels_are_in_full_precision_under_autocast():
    network = Detector((1, 512, 512), 1, levels=1, channels=[4, 4, 4])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = network(torch.zeros(1, 1, 512, 512))
    _, _, places, _ = parts(prediction, 1)
    assert prediction.dtype == torch.float32
    assert_close(places[0, -1], torch.tensor([504.0, 504, 512, 512]))


def test_every_weight_is_trained():
    network = Detector((1, 32, 32), 2)
    network(torch.randn(2, 1, 32, 32))[..., :6].square().sum().backward()
    assert all(value.grad.any() for value in network.parameters())


def test_the_head_is_what_is_trained_on_a_frozen_backbone():
    assert {name.partition(".")[0] for name in head_of(Detector((1, 32, 32), 2))} == {"head"}


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((64,), {}, "expects images"),
        ((1, 4, 40), {}, "halve images of shape"),
        ((1, 32, 32), {"levels": 4}, "levels must be from 1 to 3"),
    ],
)
def test_errors(shape, options, message):
    with pytest.raises(ValueError, match=message):
        Detector(shape, 2, **options)
