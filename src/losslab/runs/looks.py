"""``looks.json``: at which seeds the runs of a sweep were compared, so that later looks pay for it.

Holds ``{"version": 1, "planned": [8, 12, 16], "looks": [[0, 1, ...], ...]}``: the numbers of seeds
at which a sweep with ``seeds=auto`` looks (empty for others), and the seeds that had finished at
each comparison that was shown.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from losslab.runs.files import FileError, read_json, require_types, require_version
from losslab.runs.folder import replace_file

LOOKS_FILE = "looks.json"
VERSION = 1


@dataclass(frozen=True)
class Looks:
    """Comparisons of a sweep that were shown.

    Attributes:
        seeds: seeds at each look.
        planned: numbers of seeds at which the sweep was to be compared; empty if the looks were not
            planned.
    """

    seeds: tuple[frozenset[int], ...] = ()
    planned: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.seeds or self.planned)

    def before(self, seeds: Collection[int]) -> list[frozenset[int]]:
        """Return the looks at a part of these seeds: those seen by then, look by look.

        Example:
            >>> looks = Looks((frozenset({0, 1}), frozenset({0, 1, 2})))
            >>> looks.before({0, 1, 2}), looks.before({0, 1})
            ([frozenset({0, 1})], [])
        """
        parts: list[frozenset[int]] = []
        for look in self.seeds:
            part = (look & frozenset(seeds)).union(*parts)
            if 0 < len(part) < len(seeds) and part not in parts:
                parts.append(part)
        return parts

    def with_look(self, seeds: Iterable[int]) -> "Looks":
        """Return the looks with one more, unless it shows no seed that no earlier one has."""
        look = frozenset(seeds)
        new = look.difference(*self.seeds)
        return replace(self, seeds=(*self.seeds, look)) if new else self


NO_LOOKS = Looks()


def read_looks(folder: Path) -> Looks | None:
    """Return the looks at a sweep; ``None`` if it keeps none, as in version 0.1.

    Raises:
        FileError: if the file is damaged, or a later version of losslab wrote it.
    """
    path = folder / LOOKS_FILE
    if not path.exists():
        return None
    content = read_json(path)
    require_version(content, "version", VERSION, path)
    require_types(content, _Saved, path)
    return Looks(tuple(map(frozenset, content["looks"])), tuple(content["planned"]))


class _Saved(TypedDict):
    """Content of the file."""

    version: int
    planned: list[int]
    looks: list[list[int]]


def write_looks(folder: Path, looks: Looks) -> None:
    """Write the looks at a sweep."""
    content = {
        "version": VERSION,
        "planned": list(looks.planned),
        "looks": [sorted(look) for look in looks.seeds],
    }
    replace_file(folder / LOOKS_FILE, json.dumps(content).encode())


def look_at(folder: Path, seeds: Iterable[int]) -> Looks:
    """Note that a sweep is compared at these seeds; return its looks.

    A folder that cannot be written, such as an archived one, keeps the looks that it has, and a
    damaged file is kept as it is.
    """
    try:
        before = read_looks(folder) or NO_LOOKS
    except FileError:
        return NO_LOOKS.with_look(seeds)
    looks = before.with_look(seeds)
    if looks != before:
        try:
            write_looks(folder, looks)
        except OSError:
            return looks
    return looks


def merged(looks: Sequence[Looks]) -> Looks:
    """Return the looks at several sweeps that are compared together.

    The looks of one sweep stay as planned; those of several were not planned together.
    """
    if len(looks) == 1:
        return looks[0]
    return Looks(tuple(dict.fromkeys(look for each in looks for look in each.seeds)))
