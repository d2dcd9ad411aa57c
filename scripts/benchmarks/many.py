"""Planning a sweep of ten thousand runs, and the report of as many, in processes of their own.

The runs of the report are made up: each has the files of one that was trained, with other values.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.page import show
from losslab.commands.compare import main as compare
from losslab.config.command import parse
from losslab.runs.folder import RunFolder, find_runs
from losslab.runs.packing import write_pack
from losslab.runs.packs import UNITS

SHAPES = ((20, 500), (500, 20))
"""Numbers of rows and seeds."""

OWN = ("record.json", "config.yaml", "metrics.csv")
"""Files of a run that are its own; the others are linked."""


def many(page: Path | None) -> None:
    """Measure CPU time and peak memory of planning and of reports."""
    lines = ["| 10,000 runs | CPU s | peak MB |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        base = _trained(Path(folder) / "base")
        for rows, seeds in SHAPES:
            shape = f"{rows} losses x {seeds} seeds"
            lines.append(f"| plan {shape} | {_measured('plan', str(rows), str(seeds))} |")
            runs = Path(folder) / f"{rows}"
            make_up(base, runs, rows, seeds)
            lines.append(f"| report of {shape} | {_measured('report', str(runs))} |")
            pack(runs)
            lines.append(f"| the same, packed | {_measured('report', str(runs))} |")
    show(page, "many", lines)


def _trained(folder: Path) -> Path:
    given = ["data=digits", "loss=focal", "trainer.max_epochs=8", "trainer=cpu", "-m"]
    command = [sys.executable, "-m", "losslab", *given, f"hydra.sweep.dir={folder}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return find_runs(folder)[0]


def _measured(*arguments: str) -> str:
    """Run a part of this file as a process; return its CPU time and its peak memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.many", *arguments],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{seconds:.0f} | {found.stdout.splitlines()[-1].decode()}"


def plan(rows: int, seeds: int) -> None:
    """Compose and check the jobs of a sweep."""
    from losslab.job_checks import checked_jobs  # noqa: PLC0415 (torch, only where it is needed)

    if rows > 100:
        values = ",".join(str(place / 100) for place in range(rows))
        losses = ["loss=focal", f"loss.gamma={values}"]
    else:
        rates = ",".join(str(place / 1000) for place in range(1, rows // 5 + 1))
        names = "bce,categorical_cross_entropy,cross_entropy,focal,hinge"
        losses = [f"loss={names}", f"optimizer.lr={rates}"]
    jobs = checked_jobs(parse(["-m", "data=digits", *losses, f"seed=range({seeds})"]))
    assert len(jobs) == rows * seeds


def make_up(base: Path, folder: Path, rows: int, seeds: int) -> None:
    """Write runs of a loss with other values of an option, at each seed."""
    record = json.loads(RunFolder(base).record.read_text())
    config = RunFolder(base).config.read_text()
    head, *curves = RunFolder(base).metrics.read_text().splitlines()
    before, after = config.rsplit("  gamma: 2.0\n", 1)
    links = [path for path in base.rglob("*") if path.is_file() and path.name not in OWN]
    for row in range(rows):
        gamma = (row + 1) / 100
        of_row = f"{before}  gamma: {gamma}\n{after}- loss.gamma={gamma}\n"
        for seed in range(seeds):
            stream = random.Random(f"{row}/{seed}")
            better = random.Random(row).gauss(0, 0.01) + random.Random(seed).gauss(0, 0.004)
            own = folder / f"focal,gamma={gamma}" / f"seed{seed}"
            for path in links:
                (own / path.relative_to(base)).parent.mkdir(parents=True, exist_ok=True)
                os.link(path, own / path.relative_to(base))
            RunFolder(own).config.write_text(
                of_row.replace("seed: 0\n", f"seed: {seed}\n").replace("seed=0\n", f"seed={seed}\n")
            )
            content = _with_values(record, seed, better, stream)
            RunFolder(own).record.write_text(json.dumps(content))
            points = [head]
            for line in curves:
                *at, value = line.split(",")
                points.append(",".join([*at, str(float(value) * stream.uniform(0.99, 1.01))]))
            RunFolder(own).metrics.write_text("\n".join(points) + "\n")


def pack(folder: Path) -> None:
    """Pack the runs of a sweep in units of a hundred."""
    runs = find_runs(folder)
    (folder / UNITS).mkdir()
    for number, start in enumerate(range(0, len(runs), 100), 1):
        write_pack(folder, number, runs[start : start + 100])


def _with_values(record: Any, seed: int, better: float, stream: random.Random) -> Any:
    """Return a record with other metrics; the runs of a seed have the same data and weights."""
    new = json.loads(json.dumps(record))
    new["seed"] = seed
    new["hashes"] = {name: f"{name}{seed}" for name in record["hashes"]}
    for metrics in (new["test"], new["best"]["metrics"], new["final"]["metrics"]):
        change = better + stream.gauss(0, 0.004)
        for name, value in metrics.items():
            metrics[name] = value * (0.95 + change)
    return new


def main() -> int:
    """Do one part, and print the peak memory of this process in MB."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["plan", "report"])
    parser.add_argument("given", nargs="+")
    arguments = parser.parse_args()
    if arguments.part == "plan":
        plan(*map(int, arguments.given))
    else:
        compare(arguments.given)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
