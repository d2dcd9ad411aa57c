"""Phrases that several sentences of a report share."""

from collections.abc import Iterable, Sequence

from losslab.analysis.pairs import Pair
from losslab.metrics.labels import Metric

MOST_NAMES = 6
"""Number of names above which a list is shortened."""


def joined(texts: Iterable[str]) -> str:
    """Join texts with commas and a final ``and``.

    Example:
        >>> joined(["mse", "mae", "huber"])
        'mse, mae and huber'
    """
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def listed(names: Sequence[str]) -> str:
    """Join names; of many, name the first ones and count the rest."""
    if len(names) <= MOST_NAMES:
        return joined(names)
    return joined([*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} others"])


def about(metric: Metric, size: float, *, unit: bool = True) -> str:
    """Format the size of a difference with two digits and its unit.

    Example:
        >>> from losslab.metrics.labels import metric
        >>> about(metric("accuracy"), 0.1134), about(metric("mae"), 1.8512)
        ('11 points', '1.9')
    """
    number = f"{float(f'{metric.scale * size:.2g}'):g}"
    if not unit:
        return number
    if metric.percent:
        return f"{number} point{'' if number == '1' else 's'}"
    return f"{number} {metric.unit}".rstrip()


def rounded(count: float) -> str:
    """Format an estimated count with two digits: ``8,500``."""
    return f"{int(float(f'{count:.1e}')):,}"


def span(counts: Iterable[int]) -> str:
    """Return the range of counts: ``8``, ``6 to 8``."""
    found = list(counts)
    least, most = min(found), max(found)
    return f"{least}" if least == most else f"{least} to {most}"


def seeds(pairs: Iterable[Pair]) -> str:
    """Return the number of seeds of pairs: ``8 seeds``, ``6 to 8 seeds``."""
    shown = span(len(pair.seeds) for pair in pairs)
    return f"{shown} seed{'' if shown == '1' else 's'}"
