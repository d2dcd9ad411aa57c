"""Write measured tables to a page with markers around each table."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path


def ratio_table(
    name: str, unit: str, times: Mapping[str, Sequence[float]], ratios: Sequence[tuple[str, str]]
) -> list[str]:
    """Format a table: median and extremes of each way, then ratios of pairs of ways.

    Args:
        name: name of the measurement.
        unit: unit of the times.
        times: times by way, one per round.
        ratios: pairs of ways, of which the first is divided by the second in each round.
    """
    lines = [f"| {name} | {unit}, median (min to max) |", "|---|---|"]
    lines += [f"| {way} | {spread(values, 3)} |" for way, values in times.items()]
    for above, below in ratios:
        values = [a / b for a, b in zip(times[above], times[below], strict=True)]
        lines.append(f"| {above} / {below} | {spread(values, 2)} times |")
    return lines


def spread(values: Sequence[float], digits: int) -> str:
    """Format median, minimum and maximum."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def show(page: Path | None, name: str, lines: list[str]) -> None:
    """Print a table, and write it to the page if there is one."""
    print(*lines, sep="\n", flush=True)
    if page:
        put(page, name, lines)


def put(page: Path, name: str, lines: list[str]) -> None:
    """Replace the text between ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises:
        ValueError: if the page lacks the markers.
    """
    text = page.read_text()
    first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    if first not in text or last not in text:
        raise ValueError(f"{page} must hold the lines {first.strip()} and {last.strip()}")
    before, rest = text.split(first, 1)
    after = rest.split(last, 1)[1]
    page.write_text(before + first + "\n".join(lines) + "\n" + last + after)
