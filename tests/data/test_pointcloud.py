import math

import numpy as np
import pytest
import torch

from losslab.data.pointcloud import SOLIDS, PointCloud, rotations, sample_clouds
from losslab.rng import Purpose, generator


def ready(**options):
    data = PointCloud(**({"n": 100, "points": 64} | options))
    data.setup()
    return data


def surface(solid, n=40, m=4000):
    return SOLIDS[solid](n, m, generator(0, Purpose.SOLIDS)).double()


def test_shapes_kinds_and_split():
    data = ready()
    assert data.input_shape == (64, 3)
    assert data.class_names == ["sphere", "box", "torus", "cylinder", "cone"]
    assert [split.size for split in (data.train, data.val, data.test)] == [60, 20, 20]
    assert torch.bincount(data.test.targets).tolist() == [4] * 5


@pytest.mark.parametrize("solid", SOLIDS)
def test_solids_lie_in_the_unit_ball(solid):
    length = surface(solid).norm(dim=2)
    assert length.max() <= 1 + 1e-6
    assert length.max() > 0.9


# Each row: what is constant on the surface, and a share of area that geometry gives.


def test_spheres_are_round_and_even():
    points = surface("sphere")
    length = points.norm(dim=2)
    assert (length.std(dim=1) < 1e-6).all()
    # Archimedes: the height of an even point of a sphere is even
    height = (points[..., 2] / length).flatten().numpy()
    assert np.abs(np.quantile(height, [0.1, 0.5, 0.9]) - [-0.8, 0, 0.8]).max() < 0.02


def test_boxes_are_even_by_area():
    points = surface("box")
    half = points.abs().amax(dim=1, keepdim=True)
    on_face = (points.abs() > half - 1e-6).double()
    assert (on_face.sum(dim=2) >= 1).all()
    assert on_face.sum(dim=2).mean() < 1.0001  # hardly ever on an edge
    a, b, c = half[:, 0].unbind(1)
    areas = torch.stack([b * c, a * c, a * b], dim=1)
    expected = areas / areas.sum(dim=1, keepdim=True)
    assert (on_face.mean(dim=1) - expected).abs().max() < 0.04  # 5 standard errors of 4,000
    assert points.mean(dim=(0, 1)).abs().max() < 0.01


def test_tori_are_even_by_area():
    points = surface("torus")
    across = points[..., :2].norm(dim=2)
    tube = points[..., 2].abs().amax(dim=1, keepdim=True)
    ring = 1 - tube
    assert ((across - ring).square() + points[..., 2].square() - tube.square()).abs().max() < 1e-3
    # Pappus: the outer half has the area 2 pi^2 r (R + 2 r / pi), the whole 4 pi^2 r R
    outer = (across > ring).double().mean(dim=1, keepdim=True)
    assert (outer - (0.5 + tube / (math.pi * ring))).abs().max() < 0.04


def test_cylinders_are_even_by_area():
    points = surface("cylinder")
    across = points[..., :2].norm(dim=2)
    radius = across.amax(dim=1, keepdim=True)
    half = points[..., 2].abs().amax(dim=1, keepdim=True)
    on_cap = points[..., 2].abs() > half - 1e-6
    assert (on_cap | (across > radius - 1e-6)).all()
    share = (radius / (radius + 2 * half)).flatten()  # 2 pi r^2 of 2 pi r^2 + 4 pi r h
    assert (on_cap.double().mean(dim=1) - share).abs().max() < 0.04
    # half of a disc lies within 0.707 of its radius
    inner = ((across < radius / math.sqrt(2)) & on_cap).sum() / on_cap.sum()
    assert inner.item() == pytest.approx(0.5, abs=0.01)


def test_cones_are_even_by_area():
    points = surface("cone")
    across = points[..., :2].norm(dim=2)
    base = points[..., 2].amin(dim=1, keepdim=True)
    on_base = points[..., 2] < base + 1e-6
    radius = (across * on_base).amax(dim=1, keepdim=True)
    slant = (radius.square() + 4 * base.square()).sqrt()
    share = (radius / (radius + slant)).flatten()  # pi r^2 of pi r^2 + pi r s
    assert (on_base.double().mean(dim=1) - share).abs().max() < 0.04
    upper = ((points[..., 2] > 0) & ~on_base).sum() / (~on_base).sum()
    assert upper.item() == pytest.approx(0.25, abs=0.01)  # the upper half has a quarter of the side


@pytest.mark.parametrize("kind", ["none", "upright", "any"])
def test_rotations_are_rotations(kind):
    matrices = rotations(200, kind, generator(0, Purpose.SOLIDS))
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3).expand(200, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(200), atol=1e-5)
    assert bool((matrices[:, 2, 2] == 1).all()) is (kind != "any")
    assert bool((matrices[:, 0, 0] == 1).all()) is (kind == "none")


def test_an_even_rotation_has_no_preferred_direction():
    moved = rotations(20_000, "any", generator(0, Purpose.SOLIDS))[:, :, 0]
    assert moved.mean(dim=0).abs().max() < 0.03
    assert torch.allclose(moved.T @ moved / 20_000, torch.eye(3) / 3, atol=0.02)


def test_uneven_sampling_favours_one_side():
    spheres = surface("sphere", n=30, m=2000).float()
    options = {"points": 200, "noise": 0.0, "rotation": "none", "seed": 0}
    off = [
        sample_clouds(spheres, uneven=uneven, **options).mean(1).norm(dim=1)
        for uneven in (0.0, 2.0)
    ]
    assert off[0].max() < off[1].min()


def test_noise_has_its_deviation_and_moves_nothing_else():
    clean, noisy = ready(noise=0.0), ready(noise=0.1)
    difference = noisy.train.inputs - clean.train.inputs
    assert difference.std().item() == pytest.approx(0.1, rel=0.05)
    assert difference.mean().item() == pytest.approx(0, abs=0.005)


def test_the_seed_decides():
    assert ready(seed=3).fingerprint() == ready(seed=3).fingerprint() != ready().fingerprint()
    assert ready(seed=3, split_seed=0).fingerprint() == ready().fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 24}, "n must be a whole number >= 25, got 24"),
        ({"points": 0}, "points must be a whole number >= 1, got 0"),
        ({"noise": -0.1}, "noise must be a number and >= 0, got -0.1"),
        ({"rotation": "odd"}, "rotation must be one of 'none', 'upright', 'any', got 'odd'"),
        ({"uneven": -1.0}, "uneven must be a number and >= 0, got -1.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        PointCloud(**options)
