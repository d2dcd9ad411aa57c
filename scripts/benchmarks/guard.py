"""Guard of the losses' speed: ratios to the best peer, compared with those that are committed.

``make benchmark`` measures them and fails where one fell by more than its noise. A fall on a shared
machine is often chance, so it counts only if it is measured three times in a row. Another machine
has other ratios: there the comparison is printed, but nothing fails.
"""

import csv
import json
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.page import show
from benchmarks.ratios import measured

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "ratios.json"
VERSION = 1
TRIES = 3
"""How often a ratio must fall to count."""
LIBRARIES = ("torch", "torchvision", "monai", "segmentation-models-pytorch", "kornia")

Entry = Mapping[str, Any]
Measure = Callable[[Sequence[str] | None], Sequence[Entry]]


def guard(rounds: int, page: Path | None, *, update: bool) -> int:
    """Measure all ratios, and compare or replace the committed ones; return the exit status.

    Args:
        rounds: number of turns of each call.
        page: page to write the summary to.
        update: whether to replace the committed ones, after a change that is meant.
    """
    before = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else None
    machine = facts()
    found = list(measured(rounds))
    if update or before is None:
        write(found, machine)
    if page:
        show(page, "ratios", summary(found))
    if update or before is None:
        return 0
    same = is_same(before["machine"], machine)
    measure: Measure = lambda names: list(measured(rounds, names))  # noqa: E731
    fallen = confirmed(before["ratios"], found, measure if same else lambda names: found)
    for line in fallen:
        print(line)
    if fallen and not same:
        print(f"not the machine of {COMMITTED.name}: nothing fails")
    print(f"{len(found)} ratios to the best peer, {len(fallen)} fell")
    return int(bool(fallen) and same)


def facts() -> dict[str, Any]:
    """Return what the ratios depend on: processor, cores and versions."""
    found = re.search(r"model name\s*: (.*)", _cpu_info())
    installed = {
        each.metadata["Name"].lower().replace("_", "-"): each.version
        for each in metadata.distributions()
    }
    return {
        "processor": found[1] if found else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: installed[name] for name in LIBRARIES if name in installed},
    }


def is_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether ratios can be compared: a library that one of them lacks is not measured."""
    before, now = dict(before), dict(now)
    known, installed = before.pop("versions"), now.pop("versions")
    return before == now and all(known.get(name, at) == at for name, at in installed.items())


def _cpu_info() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def confirmed(before: Sequence[Entry], now: Sequence[Entry], measure: Measure) -> list[str]:
    """Return the falls that remain when their losses are measured again."""
    fallen = falls(before, now)
    for _ in range(TRIES - 1):
        if fallen:
            again = measure(sorted({loss for loss, *_ in fallen}))
            now_too = falls(before, again)
            fallen = {key: line for key, line in now_too.items() if key in fallen}
    return list(fallen.values())


def falls(before: Sequence[Entry], now: Sequence[Entry]) -> dict[tuple[str, ...], str]:
    """Return which ratios fell by more than their noise: whose quartiles lie below the others."""
    earlier = {_key(entry): entry for entry in before}
    found = {}
    for entry in now:
        old = earlier.get(_key(entry))
        if old is not None and entry["quartiles"][1] < old["quartiles"][0]:
            found[_key(entry)] = (
                f"{' '.join(_key(entry))}: {entry['ratio']:.2f}, before {old['ratio']:.2f}"
            )
    return found


def _key(entry: Entry) -> tuple[str, ...]:
    return (entry["loss"], str(entry["elements"]), entry["dtype"], entry["peer"])


def write(found: Sequence[Entry], machine: Mapping[str, Any]) -> None:
    """Write the ratios, and a table of them with the times of all peers."""
    COMMITTED.parent.mkdir(exist_ok=True)
    content = {"version": VERSION, "machine": machine, "ratios": found}
    COMMITTED.write_text(json.dumps(content, indent=1) + "\n")
    with COMMITTED.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["loss", "elements", "dtype", "library", "microseconds"])
        for entry in found:
            for library, time in entry["microseconds"].items():
                writer.writerow([entry["loss"], entry["elements"], entry["dtype"], library, time])


def summary(found: Iterable[Entry]) -> list[str]:
    """Return a table with a row per loss and dtype and a column per size, by colour."""
    rows: dict[tuple[str, str], dict[int, Entry]] = {}
    for entry in found:
        rows.setdefault((entry["loss"], entry["dtype"]), {})[entry["elements"]] = entry
    sizes = sorted({size for row in rows.values() for size in row})
    lines = [
        f"| loss | dtype | {' | '.join(f'{size:,}' for size in sizes)} |",
        f"|---|---|{'---|' * len(sizes)}",
    ]
    for (loss, dtype), row in rows.items():
        cells = [_cell(row[size]) if size in row else "" for size in sizes]
        lines.append(f"| {loss} | {dtype} | {' | '.join(cells)} |")
    return lines


def _cell(entry: Entry) -> str:
    low, high = entry["quartiles"]
    colour = "🟩" if low >= 1 else "🟥" if high < 1 else "🟨"
    return f"{colour} {entry['ratio']:.2f} {entry['peer']}"
