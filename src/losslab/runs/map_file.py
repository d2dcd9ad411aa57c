"""``map.json``: axes and losses of a map, in the folder of its sweep.

Holds ``{"version": 1, "x": {"key": "data.outliers", "values": [0, 0.1], "log": false}, "y": {...},
"losses": ["mse", "mae"], "seeds": [0, 1, ...], "typed": ["loss=mse,mae", "x=...", ...]}``.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from losslab.config.axes import Axis
from losslab.runs.files import read_json, require_types, require_version
from losslab.runs.folder import replace_file

MAP_FILE = "map.json"
VERSION = 1


@dataclass(frozen=True)
class SavedMap:
    """What a map compares.

    Attributes:
        x: horizontal axis.
        y: vertical axis.
        losses: the losses, as typed.
        seeds: seeds of each loss in each cell.
        typed: arguments of the map, without its seeds; secrets are masked.
    """

    x: Axis
    y: Axis
    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    typed: tuple[str, ...] = ()

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.x.values) * len(self.y.values)

    @property
    def comparisons(self) -> int:
        """Number of pairs of losses in all cells, which are corrected together."""
        count = len(self.losses)
        return self.cells * count * (count - 1) // 2

    @property
    def runs(self) -> int:
        """Number of runs."""
        return self.cells * len(self.losses) * len(self.seeds)

    @property
    def command(self) -> str:
        """Command that makes the same map."""
        first, last = self.seeds[0], self.seeds[-1]
        listed = ",".join(map(str, self.seeds))
        seeds = f"range({first},{last + 1})" if self.seeds == (*range(first, last + 1),) else listed
        return f"losslab map {shlex.join([*self.typed, f'seeds={seeds}'])}"

    def with_seeds(self, seeds: Sequence[int]) -> "SavedMap":
        """Return the same map with more seeds."""
        return replace(self, seeds=tuple(dict.fromkeys((*self.seeds, *seeds))))


class _SavedAxis(TypedDict):
    key: str
    values: list[float]
    log: bool


class _Saved(TypedDict):
    """Content of the file."""

    version: int
    x: _SavedAxis
    y: _SavedAxis
    losses: list[str]
    seeds: list[int]
    typed: list[str]


def write_map(folder: Path, saved: SavedMap) -> None:
    """Write the file of a map; its folder need not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"version": VERSION, **asdict(saved)})
    replace_file(folder / MAP_FILE, content.encode())


def read_map(folder: Path) -> SavedMap:
    """Read the file of a map.

    Raises:
        FileNotFoundError: if there is none.
        FileError: if it is damaged, or a later version of losslab wrote it.
    """
    path = folder / MAP_FILE
    content = read_json(path)
    require_version(content, "version", VERSION, path)
    require_types(content, _Saved, path)
    return SavedMap(
        x=_axis(content["x"]),
        y=_axis(content["y"]),
        losses=tuple(content["losses"]),
        seeds=tuple(content["seeds"]),
        typed=tuple(content["typed"]),
    )


def _axis(content: dict[str, Any]) -> Axis:
    return Axis(content["key"], tuple(content["values"]), content["log"])
