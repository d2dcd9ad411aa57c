"""FCOS and RetinaNet of torchvision: their logits and boxes, at their points and anchors."""

import pytest
import torch
from torch.testing import assert_close
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

from losslab.models import torchvision_detector

CLASSES = 3
IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=["fcos_resnet50_fpn", "retinanet_resnet50_fpn"])
def pair(request, tmp_path_factory):
    """A network of torchvision with its outputs and anchors, and the prediction of ours."""
    torch.manual_seed(0)
    network = detection.__dict__[request.param](
        weights=None, weights_backbone=None, num_classes=CLASSES
    ).eval()
    file = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.save(network.state_dict(), file)
    ours = torchvision_detector((3, 64, 96), CLASSES, request.param, weights=file).eval()
    with torch.no_grad():
        grids = list(network.backbone(IMAGES).values())
        anchors = network.anchor_generator(ImageList(IMAGES, [(64, 96)] * 2), grids)[0]
        return network, network.head(grids), anchors, ours(IMAGES)


def test_logits_and_boxes_are_those_of_torchvision(pair):
    network, outputs, anchors, found = pair
    logits, boxes, places = found[..., : CLASSES + 8].split([CLASSES, 4, 4], dim=-1)
    assert_close(logits, outputs["cls_logits"])
    assert_close(places[1], anchors)
    decode = getattr(network.box_coder, "decode_single", network.box_coder.decode)
    assert_close(boxes[1], decode(outputs["bbox_regression"][1], anchors))


def test_points_have_bounds_and_anchors_have_none(pair):
    network, _, anchors, found = pair
    if isinstance(network, detection.RetinaNet):
        assert found.shape[-1] == CLASSES + 8
        return
    bounds, sides = found[0, :, -2:], anchors[:, 2] - anchors[:, 0]
    assert_close(bounds[:96], torch.tensor([0.0, 64]).expand(96, 2))  # of the first grid
    assert_close(bounds[96:, 0], 4 * sides[96:])


def test_anchors_of_small_images_are_finer():
    """The four grids after the first are of 8 x 8 to 1 x 1 cells, each with nine anchors."""
    network = torchvision_detector((1, 32, 32), 1, "retinanet_resnet50_fpn_v2").eval()
    with torch.no_grad():
        prediction = network(torch.zeros(1, 1, 32, 32))
    assert prediction.shape == (1, 9 * (16**2 + 8**2 + 4**2 + 2**2 + 1), 1 + 8)
    sizes = (prediction[0, :9, 7:9] - prediction[0, :9, 5:7]).prod(dim=1).sqrt()
    assert sizes.min() == pytest.approx(8, rel=0.05)  # a quarter of 32


def test_other_networks_are_refused():
    with pytest.raises(
        ValueError, match=r"must be one of fcos_.*, got fcos_resnet50: did you mean"
    ):
        torchvision_detector((3, 64, 64), 1, "fcos_resnet50")
