"""What a loss estimates: its minimiser over free predictions if targets are random."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from losslab.losses.base import TargetFormat
from losslab.losses.links import ClippedLink, InverseLink, NamedLink
from losslab.passport.fitting import lowest, minimiser
from losslab.passport.links import MOST_CLASSES, NumericLink

TOLERANCE = 2e-3
"""Largest error of a probability that counts as recovered."""
BINARY_COUNTS = ((4, 16), (9, 11), (15, 5))
"""Numbers of positive and of negative targets."""
SPREADS = (0.4, 0.8)
"""Standard deviations of the logarithms of skewed values."""
VALUES = 201


@dataclass(frozen=True)
class Estimate:
    """What a loss estimates.

    Attributes:
        of: in words, such as ``class probabilities, by the softmax``.
        link: map from predictions to what is estimated; ``None`` if there is none.
        consistent: whether the most likely class has the largest logit, if there are classes.
    """

    of: str
    link: InverseLink | None
    consistent: bool | None = None


def estimate_classes(
    loss: nn.Module, target_format: TargetFormat, shape: Sequence[int]
) -> Estimate:
    """Find what a loss estimates from logits of several classes."""
    classes, *space = shape
    hot = target_format is TargetFormat.CLASS_PROBABILITIES
    counts = _class_counts(classes)
    minima = []
    for drawn in counts:
        labels = _over_pixels(torch.arange(classes).repeat_interleave(drawn), space)
        target = one_hot(labels, classes).movedim(-1, 1).double() if hot else labels
        minima.append(minimiser(_risk(loss, target, len(labels), space), classes))
    found = torch.stack(minima)
    true = torch.stack([drawn / drawn.sum() for drawn in counts]).double()
    numeric = NumericLink(loss, one_hot=hot) if classes <= MOST_CLASSES else None
    link = _link_of(found, true, ("softmax", "sigmoid"), numeric)
    consistent = all(_leads(row, int(p.argmax())) for row, p in zip(found, true, strict=True))
    return Estimate(_class_words(link, consistent, found[0], true[0]), link, consistent)


def estimate_binary(loss: nn.Module, shape: Sequence[int]) -> Estimate:
    """Find what a loss estimates from single logits with 0/1 targets."""
    minima = []
    for positive, negative in BINARY_COUNTS:
        truth = torch.tensor([1.0] * positive + [0.0] * negative, dtype=torch.float64)
        target = _over_pixels(truth, shape)
        minima.append(minimiser(_risk(loss, target, len(target), shape[1:], shape[0]), 1))
    found = torch.stack(minima)
    true = torch.tensor([[p / (p + n)] for p, n in BINARY_COUNTS], dtype=torch.float64)
    link = _link_of(found, true, ("sigmoid",), NumericLink(loss, binary=True))
    clear = bool((found.abs() > 1e-6).all())
    consistent = clear and bool(((found > 0) == (true > 0.5)).all())
    return Estimate(_class_words(link, consistent, found[0], true[0]), link, consistent)


def estimate_values(loss: nn.Module, shape: Sequence[int]) -> Estimate | None:
    """Find which location of skewed samples a loss estimates; ``None`` if it is outside them."""
    samples = [np.exp(spread * np.linspace(-2, 2, VALUES)) for spread in SPREADS]
    found = []
    for sample in samples:
        target = _over_pixels(torch.from_numpy(sample), shape)
        found.append(lowest(_constant_risk(loss, target), -2.0, float(sample.max())))
    return _location(np.array(found), samples)


def _over_pixels(values: Tensor, space: Sequence[int]) -> Tensor:
    """Fill one image with each value."""
    return values.reshape(-1, *[1] * len(space)).expand(-1, *space).contiguous()


def _risk(
    loss: nn.Module, target: Tensor, samples: int, space: Sequence[int], copies: int = 1
) -> Callable[[Tensor], Tensor]:
    """Return the loss as a function of the logits that all samples and pixels share."""

    def risk(logits: Tensor) -> Tensor:
        shared = logits.repeat(copies).reshape(1, -1, *[1] * len(space))
        value: Tensor = loss(shared.expand(samples, -1, *space), target).mean()
        return value

    return risk


def _constant_risk(loss: nn.Module, target: Tensor) -> Callable[[float], float]:
    def risk(value: float) -> float:
        with torch.no_grad():
            return float(loss(torch.full_like(target, value), target).mean())

    return risk


def _location(found: np.ndarray[Any, Any], samples: Sequence[Any]) -> Estimate | None:
    """Name the location of the samples that was found; ``None`` if it is outside them."""
    means = np.array([sample.mean() for sample in samples])
    if np.allclose(np.exp(found), means, rtol=1e-3):
        return Estimate("the logarithm of the mean", "exp")
    if not all(s.min() <= z <= s.max() for s, z in zip(samples, found, strict=True)):
        return None
    return Estimate(_location_words(found, means, samples), "identity")


def _location_words(
    found: np.ndarray[Any, Any], means: np.ndarray[Any, Any], samples: Sequence[Any]
) -> str:
    if np.allclose(found, means, rtol=1e-3):
        return "the mean"
    if np.allclose(found, [np.expm1(np.log1p(s).mean()) for s in samples], rtol=1e-3):
        return "a mean of logarithms"
    # a quantile is one of the values, with the same share below it in each sample
    below = [
        float(((s < z - 1e-6).sum() + 0.5) / len(s)) for s, z in zip(samples, found, strict=True)
    ]
    if max(below) - min(below) < 0.01 and all(
        np.abs(s - z).min() < 1e-4 for s, z in zip(samples, found, strict=True)
    ):
        return "the median" if abs(below[0] - 0.5) < 0.01 else f"the {below[0]:.2f} quantile"
    medians = np.array([np.median(s) for s in samples])
    if ((medians <= found) & (found <= means)).all():
        return "a location between median and mean"
    return "a location of another kind"


def _class_counts(classes: int) -> list[Tensor]:
    """Return counts of labels whose shares differ between the draws, none of which is 0.

    Some shares are large however many classes there are, since small ones tell links apart badly.
    More than :data:`MOST_CLASSES` have fewer draws and labels, which would take long.
    """
    usual, most, draws = (3, 8, 3) if classes <= MOST_CLASSES else (1, 2, 1)
    large = max(1, classes // 10)
    first = torch.tensor([12 * large, 6 * large, 2 * large, *[usual] * (classes - 3)][:classes])
    generator = torch.Generator().manual_seed(1)
    others = torch.randint(1, most + 1, (draws, classes), generator=generator)
    # one most likely class in each
    others[torch.arange(draws), torch.arange(draws) % classes] = 11 * large
    return [first, *others]


def _leads(logits: Tensor, label: int) -> bool:
    """Return whether a logit is the largest, not by rounding alone."""
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return bool(logits[label] > others.max() + 1e-5 * (1 + logits.abs().max()))


def _link_of(
    found: Tensor, true: Tensor, names: Sequence[NamedLink], numeric: NumericLink | None
) -> InverseLink | None:
    """Return the map from the minimisers to the probabilities that they are minimisers for."""

    def recovers(values: Tensor) -> bool:
        return torch.allclose(values, true, rtol=0, atol=TOLERANCE)

    maps = {"softmax": found.softmax(dim=1), "sigmoid": found.sigmoid()}
    for name in names:
        if recovers(maps[name]):
            return name
    if recovers(found):
        return ClippedLink()
    return numeric if numeric is not None and _follows(numeric, found, true) else None


def _follows(numeric: NumericLink, found: Tensor, true: Tensor) -> bool:
    """Return whether a numeric link is right at the minimisers, and moves with the logits.

    Probabilities that do not move are those of a whole region of logits, as for the hinge loss.
    """
    step = 0.05 * torch.linspace(-1, 1, found.shape[1] + 1, dtype=found.dtype)[1:]
    try:
        recovered, moved = (numeric.probability(logits) for logits in (found, found + step))
    except Exception:  # a loss of another library may refuse a batch of another shape
        return False
    steps = (recovered - moved).abs().amax(dim=1)
    right = torch.allclose(recovered, true, rtol=0, atol=5 * TOLERANCE)
    return right and bool(((steps > 1e-4) & (steps < 0.5)).all())


def _class_words(link: InverseLink | None, consistent: bool, found: Tensor, true: Tensor) -> str:
    if link is None:
        return "the most likely class" if consistent else "no class probabilities"
    if isinstance(link, ClippedLink):
        return "class probabilities, which the scores are themselves"
    if isinstance(link, str):
        return f"class probabilities, by the {link}"
    several = len(found) > 1
    read = found.softmax(dim=0) if several else found.sigmoid()
    shown, wanted = (", ".join(f"{p:.3g}" for p in values[:3].tolist()) for values in (read, true))
    standard = "softmax" if several else "sigmoid"
    return f"class probabilities, by a map of its own ({standard} {shown} for {wanted})"
