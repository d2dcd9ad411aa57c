"""Mean average precision: the levels of recall and the thresholds are COCO's, to the last bit."""

import numpy as np
import pytest
import torch

from losslab.metrics.detection import Detections, mean_average_precision

PLACES = 20.0 * torch.arange(10)
BOXES = torch.stack([PLACES, 0 * PLACES, PLACES + 10, 0 * PLACES + 10], dim=1)
TARGET = torch.cat([torch.zeros(10, 1), BOXES], dim=1).unsqueeze(0)


def found(boxes):
    return [Detections(boxes, torch.linspace(1, 0.5, len(boxes)), torch.zeros(len(boxes)).long())]


@pytest.mark.parametrize("count", range(11))
def test_precision_is_averaged_over_101_levels_of_recall(count):
    """Those up to the recall count; they are spaced as pycocotools spaces them."""
    levels = np.linspace(0.0, 1.00, int(np.round((1.00 - 0.0) / 0.01)) + 1)
    expected = (levels <= count / 10).mean() if count else 0
    values = mean_average_precision(found(BOXES[:count]), TARGET)
    assert {name: value.item() for name, value in values.items()} == {
        name: pytest.approx(expected, abs=1e-6) for name in ("map", "map_50", "map_75")
    }


@pytest.mark.parametrize(("width", "thresholds"), [(9.9, 10), (8.2, 7), (6.3, 3), (5.1, 1), (4, 0)])
def test_a_box_counts_at_the_thresholds_that_its_iou_reaches(width, thresholds):
    narrow = BOXES.clone()
    narrow[:, 2] = narrow[:, 0] + width
    values = mean_average_precision(found(narrow), TARGET)
    assert values["map"].item() == pytest.approx(thresholds / 10, abs=1e-6)
