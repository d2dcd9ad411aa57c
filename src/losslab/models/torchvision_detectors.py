"""Detectors of torchvision, whose losses and assignment are those of losslab."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection, get_model, list_models
from torchvision.models.detection.anchor_utils import AnchorGenerator

from losslab.config.specs import require_samples
from losslab.models.adapters import HUB, torchvision_weights, unknown_name
from losslab.models.detector import at_points, in_full_precision, size_bounds
from losslab.models.fitting import Stem, fit_channels, is_small, shrink_stem
from losslab.models.weights import load_file, load_weights

OF_POINTS, OF_ANCHORS = "fcos_", "retinanet_"
"""Begin of the names of networks that predict at points, and at anchors."""
REDUCTION = 4
"""What a small stem leaves out of the reduction of an image."""


def torchvision_detector(
    input_shape: Sequence[int],
    outputs: int,
    name: str = "fcos_resnet50_fpn",
    stem: Stem = "auto",
    weights: str | None = None,
    **options: Any,
) -> nn.Module:
    """Make FCOS or RetinaNet of torchvision.

    Args:
        input_shape: (channels, height, width) of an image.
        outputs: number of classes.
        name: ``"fcos_resnet50_fpn"``, ``"retinanet_resnet50_fpn"`` or
            ``"retinanet_resnet50_fpn_v2"``.
        stem: as for :func:`~losslab.models.torchvision_model`; grids and anchors are four times
            finer with a small one.
        weights: file with a ``state_dict``, ``"hub"`` for torchvision's own, of COCO, ``None`` for
            fresh ones.
        options: further options of torchvision's function.

    Returns:
        A network whose outputs are those of :mod:`losslab.models.detector`. Images are not resized
        or standardized, and FCOS has no centreness.

    Raises:
        ValueError: if the images or the weights do not fit.
    """
    require_samples("torchvision_detector", input_shape, name=name)
    known = [
        each for each in list_models(module=detection) if each.startswith((OF_POINTS, OF_ANCHORS))
    ]
    if name not in known:
        raise unknown_name(name, ", ".join(known), known)
    small = is_small(stem, input_shape, weights)
    network = get_model(name, num_classes=outputs, weights=None, weights_backbone=None, **options)
    if small:
        shrink_stem(network)
        network.anchor_generator = _finer(network.anchor_generator)
    fit_channels(network, input_shape[0])
    if name.startswith(OF_POINTS):
        del network.head.regression_head.bbox_ctrness
    if weights == HUB:
        load_weights(network, *torchvision_weights(name))
    elif weights is not None:
        load_file(network, weights)
    return PointDetector(network) if name.startswith(OF_POINTS) else AnchorDetector(network)


def _finer(anchors: AnchorGenerator) -> AnchorGenerator:
    """Return anchors, or squares around points, for grids whose cells are that much smaller."""
    sizes = tuple(tuple(size / REDUCTION for size in sizes) for sizes in anchors.sizes)
    return AnchorGenerator(sizes, anchors.aspect_ratios)


class _Wrapper(nn.Module):
    """Network of torchvision without its transforms, losses and suppression.

    Args:
        network: the network.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone, self.head = network.backbone, network.head
        self.anchors, self.coder = network.anchor_generator, network.box_coder

    def _places(self, images: Tensor, grids: list[Tensor]) -> list[Tensor]:
        """Return the anchors of each grid, (P, 4)."""
        sizes = [list(grid.shape[-2:]) for grid in grids]
        pixels = images.shape[-2:]
        sides = [
            [most // count for most, count in zip(pixels, each, strict=True)] for each in sizes
        ]
        self.anchors.set_cell_anchors(in_full_precision(grids[0][:0]).dtype, images.device)
        found: list[Tensor] = self.anchors.grid_anchors(sizes, sides)
        return found


class PointDetector(_Wrapper):
    """FCOS, without its centreness."""

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits and boxes, beside the points of the grids."""
        grids = list(self.backbone(images).values())
        regression = self.head.regression_head
        sides = [float(side) for (side,) in self.anchors.sizes]
        places = zip(grids, self._places(images, grids), sides, size_bounds(sides), strict=True)
        every = []
        for grid, points, side, bounds in places:
            logits = self.head.classification_head([grid])
            outputs = regression.bbox_reg(regression.conv(grid)).relu().flatten(2).mT
            distances = side * in_full_precision(outputs)
            every.append(at_points(in_full_precision(logits), distances, points, bounds))
        return torch.cat(every, dim=1)


class AnchorDetector(_Wrapper):
    """RetinaNet."""

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits and boxes, beside the anchors."""
        grids = list(self.backbone(images).values())
        found = self.head(grids)
        logits, codes = map(in_full_precision, (found["cls_logits"], found["bbox_regression"]))
        anchors = torch.cat(self._places(images, grids)).expand(len(codes), -1, -1)
        boxes = self.coder.decode_single(codes.flatten(0, 1), anchors.flatten(0, 1))
        return torch.cat([logits, boxes.view_as(codes), anchors], dim=-1)
