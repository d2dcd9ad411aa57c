"""How the runs of a table were made: date, command, data, model, training and seeds."""

import functools
import itertools
import shlex
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from losslab import given
from losslab.analysis.answer import place
from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.load import Run
from losslab.analysis.search import SavedPlan, read_plan, typed
from losslab.analysis.words import joined, listed, numbers
from losslab.config.typed_jobs import command_lines
from losslab.metrics.labels import metric
from losslab.runs.files import FileError
from losslab.runs.folder import COMPARISON_FILE, PLAN_FILE, SWEEP_FILE
from losslab.runs.saved_sweep import read_sweep

MOST_COMMANDS, MOST_VALUES = 5, 4

SAMPLING = {
    "fresh": "each seed draws new samples",
    "redrawn": "each seed splits the same samples anew",
    "fixed_test": "all seeds share the test samples",
}


def title_of(comparison: Comparison) -> str:
    """Return the title of a report: its losses and its data."""
    data = joined(dict.fromkeys(map(place, comparison.tables)))
    losses = dict.fromkeys(row.loss for table in comparison.tables for row in table.rows)
    return f"{listed(list(losses))} on {data}"


def provenance(table: ComparisonTable) -> dict[str, str]:
    """Return what a reader needs to know to trust or repeat a table, by keyword."""
    runs = [run for row in table.rows for run in row.runs]
    found = {
        "Date": _dates(runs),
        "Command": "; ".join(_commands(runs)),
        "Data": ": ".join(filter(None, (place(table), _samples(runs)))),
        "Model": _distinct(runs, lambda run: _choice(run, "model")),
        "Training": _training(runs),
        "Seeds": _seeds(runs),
        "Pairing": _pairing(table),
        "Tags": ", ".join(dict.fromkeys(tag for run in runs for tag in run.record["tags"])),
    }
    return {keyword: text for keyword, text in found.items() if text}


def _dates(runs: Sequence[Run]) -> str:
    days = sorted(
        datetime.fromtimestamp(run.record["heartbeat"], tz=UTC).date().isoformat() for run in runs
    )
    return " to ".join(dict.fromkeys((days[0], days[-1])))


def _commands(runs: Sequence[Run]) -> list[str]:
    """Return the commands that made the runs: of their sweeps as typed, else of each run."""
    of_sweep = functools.cache(_typed)
    found = (of_sweep(_sweep_of(run)) or [run.record["command"]] for run in runs)
    commands = list(dict.fromkeys(filter(None, itertools.chain.from_iterable(found))))
    more = len(commands) - MOST_COMMANDS
    return commands[:MOST_COMMANDS] + ([f"{more} more"] if more > 0 else [])


def _sweep_of(run: Run) -> Path | None:
    return next((each for each in run.folder.parents if (each / SWEEP_FILE).is_file()), None)


def _typed(sweep: Path | None) -> list[str]:
    """Return the commands of a sweep or tuning as typed; none if its file is damaged."""
    if sweep is None:
        return []
    try:
        if (sweep.parent / PLAN_FILE).is_file():
            return [_tuned(read_plan(sweep.parent))]
        saved = read_sweep(sweep)
    except FileError:
        return []
    if (sweep / COMPARISON_FILE).is_file():
        return _compared(saved.get("jobs", []))
    commands = saved["commands"]
    return [f"losslab {shlex.join(each.get('typed') or each['arguments'])}" for each in commands]


def _compared(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return the commands that make the jobs of a comparison in Python, or the call that did."""
    objects = given.paths_in(option for job in jobs for option in job)
    return [_call("compare", objects)] if objects else command_lines(jobs)


def _tuned(plan: SavedPlan) -> str:
    """Return the command that makes a tuning, or the call that did."""
    losses = [("loss", label) for label in plan.get("chosen", {})]
    objects = [*given.paths_in(plan["overrides"]), *losses]
    more = ["ranges=..."] if plan.get("own_ranges") else []
    return _call("tune", objects, *more) if objects or more else typed(plan)


def _call(name: str, objects: Collection[tuple[str, str]], *more: str) -> str:
    """Return the call that was given objects in Python, by group and label, which have no name."""
    losses = [f'"{label}": ...' for group, label in objects if group == "loss"]
    arguments = [f"{group}=..." for group, _ in objects if group != "loss"]
    arguments += [f"losses={{{', '.join(losses)}}}"] if losses else []
    return f"losslab.{name}({', '.join([*arguments, *more])}, ...) in Python, as it was called"


def _samples(runs: Sequence[Run]) -> str:
    """Return the sizes of the splits and what the seeds share."""
    names = {"train": "training", "val": "validation", "test": "test"}

    def sizes(run: Run) -> str:
        listed = (f"{run.record['sizes'][split]:,} {names.get(split, split)}" for split in names)
        return f"{', '.join(listed)} samples" if set(names) <= set(run.record["sizes"]) else ""

    sharing = _distinct(runs, lambda run: SAMPLING.get(run.design.sampling, ""))
    return "; ".join(filter(None, (_distinct(runs, sizes), sharing)))


def _training(runs: Sequence[Run]) -> str:
    optimizer = _distinct(runs, lambda run: _target(run, "optimizer"))
    epochs = _distinct(runs, _setting("trainer", "max_epochs"))
    found = {
        f"{optimizer} with learning rate {{}}": _distinct(runs, _setting("optimizer", "lr")),
        "{} epoch" if epochs == "1" else "{} epochs": epochs,
        "batches of {}": _distinct(runs, _setting("data", "batch_size")),
        "tested checkpoint: {}": _distinct(runs, _checkpoint),
    }
    return "; ".join(words.format(value) for words, value in found.items() if value)


def _setting(group: str, key: str) -> Callable[[Run], Any]:
    return lambda run: run.config.get(group, {}).get(key)


def _target(run: Run, group: str) -> str:
    """Return the class of a config group, without its module."""
    return str(run.config.get(group, {}).get("_target_", "")).rpartition(".")[2]


def _checkpoint(run: Run) -> str:
    task = run.config["task"]
    if task.get("checkpoint", "best") == "last":
        return "the last"
    return f"the best by validation {metric(task['monitor']).label}"


def _seeds(runs: Sequence[Run]) -> str:
    seeds = {run.seed for run in runs}
    return f"{len(seeds)} ({numbers(seeds)})"


def _pairing(table: ComparisonTable) -> str:
    pairs = [pair for pair in table.pairs if pair.n]
    if not pairs or not all(pair.paired for pair in pairs):
        return ""
    if pairs[0].by_environment:
        return "at each seed, all losses had the same environments"
    return "at each seed, all losses had the same data, initial weights and batches"


def _choice(run: Run, group: str) -> str:
    target = _target(run, group)
    choice = str(run.config["choices"].get(group) or target)
    return f"{choice} ({target})" if target and target.lower() != choice.lower() else choice


def _distinct(runs: Sequence[Run], read: Callable[[Run], Any]) -> str:
    """Return the value that all runs share, or the few that they have."""
    values = [read(run) for run in runs]
    texts = dict.fromkeys(str(value) for value in values if value not in (None, ""))
    return " or ".join(texts) if len(texts) <= MOST_VALUES else f"{len(texts)} different values"
