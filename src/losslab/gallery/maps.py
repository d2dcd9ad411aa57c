"""Maps of the gallery: which loss is best where, planned in conf/experiment/maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from losslab.analysis.loss_map import LossMap, loss_map
from losslab.analysis.map_answer import answer
from losslab.config import groups
from losslab.gallery.index import IndexEntry
from losslab.gallery.page import save_png, seconds
from losslab.mapping import run_map
from losslab.report.figures.loss_map import draw_loss_map
from losslab.report.loss_map import map_page
from losslab.runs.folder import replace_file
from losslab.runs.map_file import MAP_FILE, read_map
from losslab.sweep_output import compared

FOLDER = groups.CONF / "experiment" / "maps"
MAPS = ("outliers_samples", "imbalance_samples", "foreground_contrast")
"""Order of the maps in the index."""


@dataclass(frozen=True)
class PlannedMap:
    """Map of the gallery, as its file plans it.

    Attributes:
        name: name of the file and of the page.
        says: what it asks, the title of the page.
        why: how it is made, what is expected, and its caveats; written before the runs.
        settings: settings of the experiment with losses, axes and seeds.
    """

    name: str
    says: str
    why: str
    settings: Mapping[str, Any]


def read_planned_map(name: str) -> PlannedMap:
    """Read the plan of a map."""
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    says, why = (" ".join(content["map"].pop(key).split()) for key in ("says", "why"))
    return PlannedMap(name, says, why, content)


def make_map(planned: PlannedMap, folder: Path, jobs: int) -> int:
    """Make the missing runs of a map in its folder; return the exit code.

    Args:
        planned: the map.
        folder: folder of its sweep; an existing one is resumed.
        jobs: number of processes.
    """
    if (folder / MAP_FILE).is_file():
        return run_map([f"resume={folder}"])
    launcher = f"hydra.launcher.workers={jobs}"
    return run_map([f"experiment=maps/{planned.name}", f"hydra.sweep.dir={folder}", launcher])


def write_map_page(planned: PlannedMap, folder: Path, docs: Path) -> tuple[Path, str]:
    """Write the page of a map and its figure; return its path and its answer.

    Raises:
        ValueError: if the map has no runs.
    """
    found = _found(folder)
    (docs / "images").mkdir(parents=True, exist_ok=True)
    save_png(draw_loss_map(found), docs / "images" / f"{planned.name}.png")
    text = map_page(found, f"images/{planned.name}.png", planned.says, planned.why)
    path = docs / f"{planned.name}.md"
    replace_file(path, text.encode())
    return path, answer(found)


def map_entry(planned: PlannedMap, folder: Path) -> IndexEntry:
    """Return the line of a map in the index.

    Raises:
        ValueError: if the map has no runs.
    """
    found = _found(folder)
    rows = [row for table in found.comparison.tables for row in table.rows]
    runs = sum(len(row.runs) for row in rows)
    said = answer(found).removesuffix(".")
    return IndexEntry(planned.name, planned.says, said, runs, seconds(rows))


def _found(folder: Path) -> LossMap:
    comparison = compared(folder) if (folder / MAP_FILE).is_file() else None
    if comparison is None:
        raise ValueError(f"no runs of a map below {folder}")
    return loss_map(comparison, read_map(folder))
