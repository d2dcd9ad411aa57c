"""Collapsed runs: runs that finished, but far below what the loss reaches at other seeds."""

import math
from collections.abc import Mapping

from losslab.analysis.statistics import require_known
from losslab.metrics.labels import Metric

LEAST_SEEDS = 4
"""Number of seeds below which no run is called collapsed."""

SPREADS = 5.0
"""Distance to the better seeds, in ranges of those, from which a run is far from them."""

SHARE_LOST, SHARE_ADDED = 0.1, 0.5
"""Least share of what the better seeds reach that a collapsed run loses, or adds to an error."""


def collapsed(values: Mapping[int, float], metric: Metric) -> tuple[int, ...]:
    """Return the seeds whose run collapsed.

    A run collapsed if it is worse than the worst of the better two thirds of the seeds by more than
    five times the range of those, and by more than a tenth of what they reach above chance (0, or
    0.5 for AUROC), or half of their error if lower values are better. Up to a third of the runs may
    collapse. Of ordinary runs, at most 1.5 % of the rows contain one that is called collapsed, even
    with heavy tails (simulated).

    Args:
        values: value of the metric per seed.
        metric: label of the metric, with its better direction.

    Example:
        >>> from losslab.metrics.labels import metric
        >>> collapsed({0: 0.98, 1: 0.97, 2: 0.10, 3: 0.98, 4: 0.97, 5: 0.98}, metric("accuracy"))
        (2,)
    """
    require_known("values", list(values.values()))
    if len(values) < LEAST_SEEDS or not metric.sign:
        return ()
    ordered = sorted(values.values(), key=lambda value: -metric.sign * value)
    better = ordered[: math.ceil(2 * len(ordered) / 3)]
    least, spread = better[-1], abs(better[0] - better[-1])
    share = SHARE_LOST if metric.sign > 0 else SHARE_ADDED
    far = max(SPREADS * spread, share * abs(least - metric.chance))
    return tuple(seed for seed, value in values.items() if metric.sign * (least - value) > far)
