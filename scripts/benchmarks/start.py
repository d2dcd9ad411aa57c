"""CPU time of whole commands: where it goes, and compared with bare imports and training."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.page import ratio_table, show
from benchmarks.phases import IMPORTS, TRAINING
from benchmarks.timing import ROOT

UNENDED = f"import os; {IMPORTS}; os._exit(0)"
"""The imports without what Python does at the end: search all objects for garbage, which takes a
second and which commands do not do, and destroy them, which takes a quarter."""
RUN = ["loss=focal"]
SWEEP = ["-m", "loss=cross_entropy,focal", "seed=range(4)"]
OTHER_PROCESSES = "processes that train"
END = "end of the process"


def start(rounds: int, page: Path | None) -> None:
    """Measure CPU seconds of ``python train.py loss=focal`` and of the bare imports, in turn."""
    names = ["imports", "imports, unended", "training", "command"]
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        bare, unended = cpu_seconds(["-c", IMPORTS]), cpu_seconds(["-c", UNENDED])
        command = phases_of(RUN)
        values = (bare, unended, command[TRAINING], sum(command.values()))
        if turn:  # the first round reads the files from disk
            for name, seconds in zip(names, values, strict=True):
                times[name].append(seconds)
    bases = ["imports + training", "imports, unended, + training"]
    for base, imports in zip(bases, names, strict=False):
        pairs = zip(times[imports], times["training"], strict=True)
        times[base] = [sum(pair) for pair in pairs]
    ratios = [("command", base) for base in bases]
    show(page, "start", ratio_table(f"python train.py {RUN[0]}", "CPU s", times, ratios))


def cost(rounds: int, page: Path | None) -> None:
    """Measure where the CPU seconds of a run and of a sweep go."""
    for name, arguments in (("run", RUN), ("sweep", SWEEP)):
        measured = [phases_of(arguments) for _ in range(rounds + 1)][1:]
        lines = [f"| python train.py {' '.join(arguments)} | CPU s |", "|---|---|"]
        for phase in measured[0]:
            lines.append(f"| {phase} | {statistics.median(one[phase] for one in measured):.2f} |")
        total = statistics.median(sum(one.values()) for one in measured)
        show(page, f"cost of a {name}", [*lines, f"| in total | {total:.2f} |"])


def phases_of(arguments: list[str]) -> dict[str, float]:
    """Run a command, and return its CPU seconds by phase."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "phases.json")
        log_dir = f"paths.log_dir={folder}/logs"
        total = cpu_seconds(["-m", "benchmarks.phases", str(file), *arguments, log_dir])
        own, others = json.loads(file.read_text())
    known = sum(own.values()) + others
    return own | ({OTHER_PROCESSES: others} if others else {}) | {END: total - known}


def cpu_seconds(arguments: list[str]) -> float:
    """Measure the CPU seconds of this interpreter and its children for a command.

    Python may keep compiled modules, as it does for users; the first command compiles them.

    Raises:
        CalledProcessError: if it fails.
    """
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    before = os.times()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT / "scripts", env=kept)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])
