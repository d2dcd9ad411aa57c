"""True boxes are assigned to places as torchvision's FCOS and RetinaNet do, and under vmap."""

import pytest
import torch
from torch.func import vmap
from torch.testing import assert_close
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.fcos import FCOS
from torchvision.ops import box_iou

from losslab.losses.detection import BACKGROUND, UNDECIDED
from losslab.models.detector import size_bounds, squares
from losslab.tasks.assignment import to_anchors, to_points

SIDES = (4, 8, 16)
SIZE = 64
GRIDS = [squares(SIZE // side, SIZE // side, side, torch.zeros(1)) for side in SIDES]
POINTS = torch.cat(GRIDS)
BOUNDS = torch.cat(
    [
        torch.tensor(own).expand(len(grid), 2)
        for own, grid in zip(size_bounds(SIDES), GRIDS, strict=True)
    ]
)


def targets(images=6, most=7, seed=0):
    """Boxes of many sizes, some images with fewer than others, and one without."""
    rng = torch.Generator().manual_seed(seed)
    low, high = (SIZE * torch.rand(2, images, most, 2, generator=rng)).sort(dim=0).values
    rows = torch.cat([torch.randint(3, (images, most, 1), generator=rng), low, high + 1], dim=2)
    missing = torch.arange(most) >= torch.arange(images).unsqueeze(1) + 1
    rows[missing] = torch.tensor([-1.0, 0, 0, 0, 0])
    rows[-1, :, 0] = -1
    return rows


def indices(found):
    """The index of each place's box, else the kind of the place."""
    return found.box.where(found.kind == 0, found.kind)


class Recorded:
    """Head that keeps the assignment of torchvision's FCOS."""

    def compute_loss(self, targets, head_outputs, anchors, matched_idxs):
        return matched_idxs


def test_points_as_in_fcos():
    rows = targets()
    network = FCOS.__new__(FCOS)
    torch.nn.Module.__init__(network)
    vars(network).update(center_sampling_radius=1.5, head=Recorded())
    # in float64, since torchvision takes areas from 1e8
    true = [{"boxes": image[image[:, 0] >= 0][:, 1:].double()} for image in rows]
    counts = [len(grid) for grid in GRIDS]
    expected = torch.stack(network.compute_loss(true, {}, [POINTS] * len(rows), counts))
    found = indices(to_points(POINTS.expand(len(rows), -1, 4), BOUNDS.expand(6, -1, 2), rows))
    # padding is behind all boxes, so that indices are the same
    assert torch.equal(found, expected)
    assert set(found.unique().tolist()) >= {BACKGROUND, 0, 1, 2, 3}
    assert (found[-1] == BACKGROUND).all()


def anchors():
    """Anchors of three shapes, moved a little: equal overlaps would differ by rounding."""
    centres = (POINTS[:, :2] + POINTS[:, 2:]) / 2
    half = 2 * (POINTS[:, 2:] - POINTS[:, :2])
    shapes = [half * torch.tensor([wide, 1 / wide]) for wide in (0.7, 1.0, 1.4)]
    every = torch.cat([torch.cat([centres - each, centres + each], dim=1) for each in shapes])
    return every + 0.1 * torch.rand(every.shape, generator=torch.Generator().manual_seed(2))


def test_anchors_as_in_retinanet():
    rows, places = targets(), anchors()
    found = indices(to_anchors(places.expand(len(rows), -1, 4), rows))
    matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
    for image, own in zip(rows, found, strict=True):
        true = image[image[:, 0] >= 0][:, 1:]
        if not len(true):
            assert (own == BACKGROUND).all()
            continue
        assert torch.equal(own, matcher(box_iou(true, places)))
    assert set(found.unique().tolist()) >= {UNDECIDED, BACKGROUND, 0, 1, 2}


def test_a_box_that_no_anchor_overlaps_much_gets_the_best_ones():
    places = torch.tensor([[[0.0, 0, 4, 4], [2, 0, 6, 4], [20, 0, 24, 4]]])
    assert to_anchors(places, torch.tensor([[[2.0, 0, 0, 30, 1]]])).kind.tolist() == [[0, 0, 0]]
    apart = torch.tensor([[[2.0, 50, 50, 60, 60]]])
    assert to_anchors(places, apart).kind.tolist() == [[BACKGROUND] * 3]


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_of_several_boxes_wins(seed):
    box = torch.tensor([0.0, 10, 10, 26, 26])
    inner = torch.tensor([1.0, 14, 14, 22, 22])
    rows = torch.stack([box, inner])[
        torch.randperm(2, generator=torch.Generator().manual_seed(seed))
    ]
    found = to_points(POINTS[None], BOUNDS[None], rows[None])
    label = rows[found.box[0], 0].where(found.kind[0] == 0, -1)
    centre = ((POINTS[:, :2] + POINTS[:, 2:]) / 2 - 18).abs().amax(dim=1)
    assert (label[(centre < 4) & (label >= 0)] == 1).all()
    assert (label == 1).any()


def test_several_runs_at_once():
    rows = torch.stack([targets(seed=0), targets(seed=1)])
    for assign, given in (
        (to_points, (POINTS.expand(6, -1, 4), BOUNDS.expand(6, -1, 2))),
        (to_anchors, (anchors().expand(6, -1, 4),)),
    ):
        mapped = vmap(lambda one, assign=assign, given=given: tuple(assign(*given, one)))(rows)
        for found, single in zip(
            mapped, zip(*(assign(*given, one) for one in rows), strict=True), strict=True
        ):
            assert_close(found, torch.stack(single))
