"""What a map says, in sentences: where each loss is the best, and where nothing is established."""

from collections.abc import Iterator, Sequence

from losslab.analysis.loss_map import Cell, LossMap
from losslab.analysis.power import needed_seeds
from losslab.analysis.statistics import LEVEL
from losslab.analysis.words import about, joined, seeds
from losslab.config.axes import Axis
from losslab.metrics.labels import first_few, some


def answer(found: LossMap) -> str:
    """Return where each loss is established as the best, and in how many cells none is."""
    parts = [part for loss in found.losses for part in _region(found, loss)]
    if equal := found.of("equal"):
        margin = about(found.metric, equal[0].pairs[0].within or 0.0)
        parts.append(f"the best are equally good within {margin} in {_share(equal, found)}")
    for outcome in ("undecided", "missing"):
        if cells := found.of(outcome):
            word = "undecided" if outcome == "undecided" else "without all results"
            parts.append(f"{word}: {_share(cells, found)}")
    return f"On {found.data}, by {found.metric.label}: {'; '.join(parts)}."


def how_sure(found: LossMap) -> str:
    """Return how the cells were compared: number of seeds, tests, and what was corrected for."""
    pairs = [pair for pair in found.pairs if pair.seeds]
    if not pairs:
        return "no losses have a finished seed in common"
    methods = joined(dict.fromkeys(pair.test.method for pair in pairs))
    pair = pairs[0]
    over = f"{pair.correction.method} over {some(pair.comparisons, 'comparisons')}"
    looks = max(len(each.looks) for each in pairs)
    over += f", {looks} looks" if looks > 1 else ""
    return f"{seeds(pairs)}; {methods}, {over}; holds for {pair.test.holds_for}"


def caveats(found: LossMap) -> Iterator[str]:
    """Yield what limits the answer: too few seeds, and runs that failed."""
    pairs = [pair for pair in found.pairs if pair.n]  # of others, the failures can be compared
    if pairs and all(pair.underpowered for pair in pairs):
        needed = needed_seeds(pairs[0].comparisons)
        yield (
            f"With {seeds(pairs)} no difference of any size can reach "
            f"p < {LEVEL} over {some(pairs[0].comparisons, 'comparisons')}: at least {needed} are "
            "needed."
        )
    failed: dict[str, int] = {}
    for table in found.comparison.tables:
        for row in table.rows:
            failed[row.label] = failed.get(row.label, 0) + len(row.failed)
    texts = [f"{count} of {loss}" for loss, count in sorted(failed.items()) if count]
    if texts:
        yield f"Runs that diverged or failed, which count against a loss: {joined(texts)}."


def _region(found: LossMap, loss: str) -> Iterator[str]:
    """Describe the cells in which a loss is the best; exactly, if they are a rectangle."""
    cells = [cell for cell in found.of("best") if cell.best == loss]
    if not cells:
        return
    if len(cells) == len(found.cells):
        yield f"{loss} is the best in every cell"
        return
    x, y = found.saved.x, found.saved.y
    columns, rows = _places([c.x for c in cells], x), _places([c.y for c in cells], y)
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    if len(cells) == height * width:
        yield f"{loss} is the best {_where(columns, x)} {_where(rows, y)}"
        return
    bounds = [
        _where(places, axis)
        for places, axis in ((columns, x), (rows, y))
        if len({places[0], places[-1]} & {0, len(axis.values) - 1}) < 2
    ]
    where = f", all of them {' '.join(bounds)}" if bounds else ""
    yield f"{loss} is the best in {_share(cells, found)}{where}"


def _places(values: Sequence[float], axis: Axis) -> list[int]:
    return sorted({axis.values.index(value) for value in values})


def _where(places: Sequence[int], axis: Axis) -> str:
    """Return a range of an axis in words: ``from outliers=0.05``, ``at every n``."""
    first, last = (f"{axis.label}={axis.values[places[end]]:g}" for end in (0, -1))
    from_start, to_end = places[0] == 0, places[-1] == len(axis.values) - 1
    if from_start and to_end:
        return f"at every {axis.label}"
    if places[0] == places[-1]:
        return f"at {first}"
    if from_start:
        return f"up to {last}"
    return f"from {first}" if to_end else f"from {first} to {last.partition('=')[2]}"


def _share(cells: Sequence[Cell], found: LossMap) -> str:
    return f"{len(cells)} of {len(found.cells)} cells"


def alternative_text(found: LossMap) -> str:
    """Describe the figure for those who cannot see it."""
    x, y = found.saved.x, found.saved.y
    ends = [f"{axis.label} from {axis.values[0]:g} to {axis.values[-1]:g}" for axis in (x, y)]
    return (
        f"Map of the best of {first_few(found.losses, most=6)} over {joined(ends)}. {answer(found)}"
    )
