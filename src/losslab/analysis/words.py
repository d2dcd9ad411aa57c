"""Phrases that several sentences of a report share."""

from collections.abc import Collection, Iterable, Sequence

from losslab.analysis.pairs import Pair
from losslab.metrics.labels import Metric, some

MOST_NAMES = 6
"""Number of names above which a list is shortened."""

MOST_LISTED = 12
"""Number of rows up to which each is named where what is said of it matters by itself."""

ROUNDING = 1e-6
"""Share of the spread below which a mean difference is due to rounding."""


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


def in_short(names: Sequence[str]) -> str:
    """Join names with commas; of more than twelve, name the first six and count the rest."""
    if len(names) <= MOST_LISTED:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more"


def first_lines(lines: Iterable[str]) -> list[str]:
    """Return notes that say the same of different rows; of more than twelve, the first six."""
    found = list(lines)
    if len(found) <= MOST_LISTED:
        return found
    return [*found[:MOST_NAMES], f"{len(found) - MOST_NAMES} more notes of this kind"]


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


def numbers(seeds: Iterable[int]) -> str:
    """List seeds in order, consecutive ones by their ends.

    Example:
        >>> numbers([2, 0, 1]), numbers([0, 2])
        ('0 to 2', '0, 2')
    """
    found = sorted(set(seeds))
    if found == list(range(found[0], found[-1] + 1)) and len(found) > 2:
        return f"{found[0]} to {found[-1]}"
    return ", ".join(map(str, found))


def counted_seeds(seeds: Collection[int]) -> str:
    """Return how many seeds there are, and which: ``8 seeds (0 to 7)``."""
    return f"{some(len(seeds), 'seeds')} ({numbers(seeds)})"


def beside(pair: Pair) -> tuple[str, str]:
    """Return how the first row of a pair stands beside the second, and by how much."""
    if pair.equivalent:
        return "equally good", f" within {about(pair.metric, pair.within or 0.0)}"
    if pair.preferred is None:
        return "undecided", ""
    kind = "better" if pair.preferred == pair.a else "worse"
    return (
        kind,
        f" by about {about(pair.metric, abs(pair.mean))}" if pair.better else " in failures",
    )


def why_undecided(pairs: Sequence[Pair]) -> str:
    """Say why it is undecided which rows of these pairs are to be preferred."""
    for pair in (each for each in pairs if each.contradictory):
        size = about(pair.metric, abs(pair.mean))
        return f"{pair.better} is better by about {size} where both finish, but fails more often"
    pairs = [pair for pair in pairs if pair.n]
    if not pairs:
        return "at no seed did both finish"
    largest = max(pairs, key=lambda pair: abs(pair.mean))
    size = about(largest.metric, abs(largest.mean))
    if abs(largest.mean) <= ROUNDING * largest.deviation:
        return f"their {largest.metric.label} is equal on average"
    if all(pair.underpowered for pair in pairs):
        return "too few seeds for any difference to be significant"
    the = "the difference of" if len(pairs) == 1 else "differences of up to"
    if all(abs(pair.mean) < pair.smallest_ever for pair in pairs):
        return f"no number of seeds can show {the} {size} on {samples(largest)}"
    are = "is" if len(pairs) == 1 else "are"
    return f"{the} {size} in {largest.metric.label} {are} not significant"


def samples(pair: Pair, which: str = "") -> str:
    """Return the number of samples in words, if it is known."""
    return f"{which}{pair.design.total:,} samples" if pair.design.total else "these samples"
