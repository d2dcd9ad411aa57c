"""Small problems with known answers, on which a loss is tried in each target format."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from losslab.losses.base import TargetFormat
from losslab.losses.functional import box_iou

SAMPLES = 12
SIDE = 16
"""Pixels per side of images; windowed losses need more than a few."""
CLASSES = 3

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """A batch whose right answers are known.

    Attributes:
        start: predictions near 0 (boxes: near one box), from which the loss is minimised.
        target: the answers in the target format.
        agreement: how far predictions agree with the answers; 1 if they do.
        answers: the predictions that express the answers at a confidence of 1, if there are such.
    """

    start: Tensor
    target: Any
    agreement: Callable[[Tensor], float]
    answers: Tensor | None = None

    @property
    def pair(self) -> tuple[Tensor, Any]:
        """Predictions and targets, as a loss is called."""
        return self.start, self.target

    def float(self) -> "Problem":
        """Return the problem in float32."""
        target = self.target.float() if self.target.is_floating_point() else self.target
        answers = None if self.answers is None else self.answers.float()
        return replace(self, start=self.start.float(), target=target, answers=answers)


def example(target_format: TargetFormat, shape: Shape | None = None) -> Problem:
    """Make a problem in a target format.

    Args:
        target_format: format of the target.
        shape: shape of one sample's prediction, such as (C,) or (1, H, W). Default: a small one.

    Raises:
        KeyError: if the format is not among :data:`PROBED`.
    """
    generator = torch.Generator().manual_seed(0)
    return _MAKERS[target_format](shape or SHAPES[target_format], generator)


def of_two_classes(shape: Shape) -> Problem:
    """Make a problem of embeddings for losses that know no third class."""
    return _embeddings(shape, torch.Generator().manual_seed(0), classes=2)


SHAPES: dict[TargetFormat, Shape] = {
    TargetFormat.CLASS_INDICES: (CLASSES,),
    TargetFormat.CLASS_PROBABILITIES: (CLASSES,),
    TargetFormat.CLASS_MASKS: (CLASSES, SIDE, SIDE),
    TargetFormat.BINARY_TARGETS: (1, SIDE, SIDE),
    TargetFormat.VALUES: (1,),
    TargetFormat.LABELLED_EMBEDDINGS: (8,),
    TargetFormat.BOXES: (4,),
    TargetFormat.POINT_SETS: (5, 3),
    TargetFormat.RELEVANCE: (6,),
}
"""Shape of one sample's prediction, if none is given."""
PROBED = tuple(SHAPES)
"""Target formats in which a loss can be tried.

Those of reinforcement learning, of generation and of sequences have no targets of their own.
"""


def small_shape(target_format: TargetFormat, shape: Shape) -> Shape:
    """Cut the pixels of images, and the number of points, to what a problem needs.

    Example:
        >>> small_shape(TargetFormat.CLASS_MASKS, (4, 256, 256))
        (4, 16, 16)
    """
    if target_format is TargetFormat.POINT_SETS:
        return min(shape[0], 8), *shape[1:]
    return shape[0], *(min(size, SIDE) for size in shape[1:])


def _start(shape: Shape, generator: torch.Generator, samples: int = SAMPLES) -> Tensor:
    return 0.1 * torch.randn(samples, *shape, generator=generator, dtype=torch.float64)


def labels_of(shape: Shape, samples: int) -> Tensor:
    """Return labels (samples, *) that take every class in turn; images have a block per class."""
    classes, *space = shape
    if not space:
        return torch.arange(samples) % classes
    rows = torch.arange(space[0]) * classes // space[0]
    labels = (rows + torch.arange(samples)[:, None]) % classes
    return labels.reshape(samples, -1, *[1] * (len(space) - 1)).expand(samples, *space).contiguous()


def _classes(shape: Shape, generator: torch.Generator) -> Problem:
    labels = labels_of(shape, max(SAMPLES, shape[0]) if len(shape) == 1 else 2)
    hot = one_hot(labels, shape[0]).movedim(-1, 1).double()

    def agreement(prediction: Tensor) -> float:
        return (prediction.argmax(dim=1) == labels).double().mean().item()

    return Problem(_start(shape, generator, len(labels)), labels, agreement, 2 * hot - 1)


def _class_probabilities(shape: Shape, generator: torch.Generator) -> Problem:
    problem = _classes(shape, generator)
    hot = one_hot(problem.target, shape[0]).movedim(-1, 1).double()
    return replace(problem, target=hot)


def _binary(shape: Shape, generator: torch.Generator) -> Problem:
    if len(shape) == 1:
        samples = SAMPLES
        truth = (torch.arange(samples)[:, None] + torch.arange(shape[0])) % 3 == 0
    else:
        samples = 2
        first = labels_of((3, *shape[1:]), samples) == 0
        truth = first[:, None].expand(samples, *shape)
    target = truth.double()

    def agreement(prediction: Tensor) -> float:
        # of each class by itself: most elements are negative
        right = (prediction > 0) == truth
        return min(right[truth].double().mean().item(), right[~truth].double().mean().item())

    return Problem(_start(shape, generator, samples), target, agreement, 2 * target - 1)


def _values(shape: Shape, generator: torch.Generator) -> Problem:
    target = torch.rand(SAMPLES, *shape, generator=generator, dtype=torch.float64) * 3 + 0.2

    def agreement(prediction: Tensor) -> float:
        pair = torch.stack([prediction.flatten(), target.flatten()])
        return torch.corrcoef(pair)[0, 1].nan_to_num().item()

    return Problem(_start(shape, generator), target, agreement, target)


def _embeddings(shape: Shape, generator: torch.Generator, classes: int = CLASSES) -> Problem:
    labels = torch.arange(SAMPLES) % classes
    start = torch.randn(SAMPLES, *shape, generator=generator, dtype=torch.float64)

    def agreement(prediction: Tensor) -> float:
        return max(_neighbours(prediction, labels), _neighbours(normalize(prediction), labels))

    return Problem(start, labels, agreement)


def _neighbours(vectors: Tensor, labels: Tensor) -> float:
    """Return the share of vectors whose nearest other vector has their label."""
    distances = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf)
    return float((labels[distances.argmin(dim=1)] == labels).double().mean())


def _boxes(shape: Shape, generator: torch.Generator) -> Problem:
    """Make boxes of sides from 4 to 8, all of which overlap the one to start from."""
    centre, size = torch.rand(2, SAMPLES, 2, generator=generator, dtype=torch.float64)
    half = 2 + 2 * size
    target = torch.cat([4 + 2 * centre - half, 4 + 2 * centre + half], dim=1)
    start = _start(shape, generator) + torch.tensor([2, 2, 8, 8])

    def agreement(prediction: Tensor) -> float:
        return box_iou(prediction, target).mean().item()

    return Problem(start, target, agreement, target)


def _points(shape: Shape, generator: torch.Generator) -> Problem:
    target = torch.randn(4, *shape, generator=generator, dtype=torch.float64)

    def agreement(prediction: Tensor) -> float:
        nearest = torch.cdist(target, prediction).amin(dim=2).mean()
        return 1 - float(nearest / target.norm(dim=2).mean())

    return Problem(_start(shape, generator, 4), target, agreement, target)


def _relevance(shape: Shape, generator: torch.Generator) -> Problem:
    grades = torch.stack([torch.arange(shape[0]).roll(k) % 4 for k in range(4)])
    higher = grades.unsqueeze(2) > grades.unsqueeze(1)

    def agreement(prediction: Tensor) -> float:
        right = prediction.unsqueeze(2) > prediction.unsqueeze(1)
        return right[higher].double().mean().item()

    return Problem(_start(shape, generator, 4), grades, agreement)


_MAKERS: dict[TargetFormat, Callable[[Shape, torch.Generator], Problem]] = {
    TargetFormat.CLASS_INDICES: _classes,
    TargetFormat.CLASS_PROBABILITIES: _class_probabilities,
    TargetFormat.CLASS_MASKS: _classes,
    TargetFormat.BINARY_TARGETS: _binary,
    TargetFormat.VALUES: _values,
    TargetFormat.LABELLED_EMBEDDINGS: _embeddings,
    TargetFormat.BOXES: _boxes,
    TargetFormat.POINT_SETS: _points,
    TargetFormat.RELEVANCE: _relevance,
}
