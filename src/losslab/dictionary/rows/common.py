"""What the rows of several libraries share."""

from collections.abc import Mapping
from typing import Any

from losslab.dictionary.row import Choices

Options = Mapping[str, Any]

VALUES, IMAGES = "values", "images"
CLASSES, SOFT, LABELS = "class indices", "class probabilities", "binary targets"
MASKS, CLASS_MASKS = "masks", "class masks"
EMBEDDINGS, SEQUENCES, BOXES = "embeddings", "sequences", "boxes"

REDUCTION: Choices = {"mean": {}, "sum": {"reduction": "sum"}, "none": {}}
MEAN_OR_NONE: Choices = {"mean": {}, "none": {}}
EITHER: Choices = {True: {}, False: {}}

UNEQUAL: Options = {"edge": "random numbers", "theirs_there": "another value"}
"""Where a loss that equals none of ours differs, and what it gives there."""
