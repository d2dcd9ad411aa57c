"""Write the index of the gallery, with one line per claim."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losslab.metrics.labels import number
from losslab.report.frames import markdown_table
from losslab.runs.folder import replace_file

FILE = "README.md"


@dataclass(frozen=True)
class IndexEntry:
    """Line of the index."""

    name: str
    """Name of the claim, and of its page if it has one."""
    says: str
    conclusion: str = ""
    """Empty if the claim has not been run."""
    runs: int = 0
    seconds: float = 0.0


_LINE = re.compile(
    r"\| \[(?P<says>.+)\]\((?P<name>\w+)\.md\) \| \*\*(?P<conclusion>.+)\*\* "
    r"\| (?P<runs>\d+) \| (?P<seconds>[\d.]+) \|"
)


def read_index(folder: Path) -> dict[str, IndexEntry]:
    """Read the claims with a page from the index, by name; empty if there is no index."""
    path = folder / FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [found.groupdict() for found in map(_LINE.fullmatch, text.splitlines()) if found]
    return {
        line["name"]: IndexEntry(
            line["name"],
            line["says"],
            line["conclusion"],
            int(line["runs"]),
            float(line["seconds"]),
        )
        for line in lines
    }


def write_index(
    entries: Sequence[IndexEntry], folder: Path, maps: Sequence[IndexEntry] = ()
) -> Path:
    """Write the index of the gallery, with the claims and the maps."""
    lines = [
        "# Gallery",
        "",
        "Common claims about losses, tested. Each page has the claim, the runs that test it, a "
        "figure and the statistics of the preregistered comparisons, from which the conclusion is "
        "computed. `make gallery` rebuilds all pages, `make gallery CLAIM=name` one of them.",
        "",
    ]
    lines += markdown_table([["claim", "conclusion", "runs", "seconds"], *map(_line, entries)])
    if maps:
        lines += [
            "",
            "## Maps",
            "",
            "Which loss is best where ([how to read them](../map.md)).",
            "",
        ]
        lines += markdown_table([["map", "answer", "runs", "seconds"], *map(_line, maps)])
    known = [entry for entry in (*entries, *maps) if entry.conclusion]
    total = sum(entry.seconds for entry in known)
    lines += [
        "",
        f"In total {sum(entry.runs for entry in known)} runs and {total / 60:.0f} minutes. "
        "These results hold for the small data sets used here only.",
    ]
    path = folder / FILE
    replace_file(path, ("\n".join(lines) + "\n").encode())
    return path


def _line(entry: IndexEntry) -> list[str]:
    if not entry.conclusion:
        return [entry.says, "not run yet", "", ""]
    link = f"[{entry.says}]({entry.name}.md)"
    return [link, f"**{entry.conclusion}**", f"{entry.runs}", number(entry.seconds, digits=3)]
