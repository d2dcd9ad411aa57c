"""Read finished, running and failed runs back from their folders."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from losslab.analysis.scope import Design, design_of
from losslab.config.schema import flat, meaning
from losslab.metrics.labels import metric_of
from losslab.runs.check import is_live, require_curves
from losslab.runs.config_file import read_config
from losslab.runs.curves import Curves, as_frame, no_curves, read_columns
from losslab.runs.figure_data import require_figure
from losslab.runs.files import FileError, require_zip
from losslab.runs.folder import SWEEP_FILE, RunFolder, find_runs
from losslab.runs.looks import read_looks
from losslab.runs.packs import exists
from losslab.runs.record import Record, read_record
from losslab.runs.saved_sweep import read_sweep
from losslab.runs.scores import Scores, read_scores

if TYPE_CHECKING:
    import pandas

Outcome = Literal["done", "diverged", "failed", "running", "missing"]
"""``diverged`` and ``failed`` count against the loss. A run that was interrupted, ran out of
memory or disk space, had a wrong config or lost its process is ``missing`` and does not count."""

NOT_THE_LOSS = ("memory", "space", "input")
"""Errors that do not count against the loss: the run is missing, not failed."""

Settings = Mapping[str, Any]
"""Flattened saved config: ``{"loss.gamma": 2.0, "optimizer.lr": 0.002, ...}``."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run as saved on disk."""

    folder: Path
    record: Record
    config: Mapping[str, Any]
    """Resolved config, with ``choices`` and ``overrides``."""

    @functools.cached_property
    def settings(self) -> Settings:
        """Flattened config without irrelevant keys and without what follows from the seed."""
        return _settings(self.config)

    @property
    def loss(self) -> str:
        """Name of the loss in conf/."""
        return self.record["loss"]

    @property
    def data(self) -> str:
        """Name of the data set in conf/."""
        return self.record["data"]

    @property
    def seed(self) -> int:
        """Seed, by which runs are paired."""
        return self.record["seed"]

    @functools.cached_property
    def design(self) -> Design:
        """How the seeds of a comparison with this run share samples."""
        return design_of(self.record, self.config)

    @property
    def overrides(self) -> list[str]:
        """Overrides of the run's command line."""
        return list(self.config["overrides"])

    @property
    def metric_names(self) -> list[str]:
        """Metrics of the run's task, the primary one first."""
        task = self.config["task"]
        if "metrics" in task:
            return list(task["metrics"])
        plain = [name for name in self.record["test"] if "/" not in name and name != "loss"]
        return list(dict.fromkeys([task["monitor"], *plain]))

    @property
    def test_read(self) -> bool:
        """Return whether the run was evaluated on the test split."""
        return bool(self.record["test"])

    @property
    def is_search(self) -> bool:
        """Return whether the run did not use the test split (``test=false``)."""
        return self.config.get("test") is False

    @functools.cached_property
    def outcome(self) -> Outcome:
        """Return how the run ended, see :data:`Outcome`."""
        record = self.record
        if record["status"] == "done":
            return "done"
        if record["status"] == "failed":
            kind = "exception" if record["error"] is None else record["error"]["kind"]
            if kind in NOT_THE_LOSS:
                return "missing"
            return "diverged" if kind == "diverged" else "failed"
        return "running" if is_live(self.folder, record) else "missing"

    @property
    def problem(self) -> str:
        """Return why the run is not done, in one line; empty if it is done."""
        record = self.record
        error = record["error"]
        if self.outcome == "done":
            return ""
        if error is None:
            stale = record["status"] == "running" and self.outcome == "missing"
            return "its process is gone" if stale else str(record["status"])
        message = " ".join(error["message"].split())
        step = "" if error["step"] is None else f" at step {error['step']}"
        return f"{error['kind']}{'' if step in message else step}: {message}"

    def metrics(self, split: str = "test") -> Mapping[str, float]:
        """Return the metrics of the chosen checkpoint on ``test`` or ``val``, without the split."""
        if split == "test":
            return self.record["test"]
        best = self.record["best"]
        return best["metrics"] if best else {}

    @functools.cached_property
    def scores(self) -> Scores | None:
        """Scores of the test samples; ``None`` if the run saved none."""
        return read_scores(self.folder)

    @property
    def curves(self) -> "pandas.DataFrame":
        """Curves, see :func:`losslab.runs.curves.read_curves`; empty if there are none."""
        return as_frame(self.read_columns())

    def read_columns(self) -> Curves:
        """Read the curves as columns, each time: those of all runs may not fit in memory."""
        try:
            return read_columns(self.folder)
        except FileNotFoundError:
            return no_curves()

    @functools.cached_property
    def monitored(self) -> np.ndarray:
        """Monitor's value per epoch, higher being better; empty if it was not measured."""
        return self.monitored_in(self.read_columns())

    def monitored_in(self, curves: Curves) -> np.ndarray:
        """Return :attr:`monitored` from the run's curves."""
        task = self.config["task"]
        values = curves.of(f"val/{task['monitor']}")
        sign = metric_of(task["monitor"], task).sign or (1 if task.get("mode") == "max" else -1)
        return np.asarray(sign * values[np.isfinite(values)])


@dataclass(frozen=True)
class Unreadable:
    """Folder with a file that cannot be read."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Collection:
    """Runs found below one or more folders."""

    runs: tuple[Run, ...]
    unreadable: tuple[Unreadable, ...] = ()
    repeated: tuple[Run, ...] = ()
    """Runs that are superseded by another run with the same settings and seed."""


def collect(folders: Iterable[Path], tags: Sequence[str] = ()) -> Collection:
    """Read all runs in and below the folders, each run once.

    A damaged run is left out; damaged figures, and files of a damaged sweep, are only named.

    Args:
        folders: folders of runs and sweeps.
        tags: tags that a run must have, all of them.

    Raises:
        ValueError: if there are runs, but none with these tags.
    """
    runs: list[Run] = []
    unreadable: list[Unreadable] = []
    places = dict.fromkeys(run.resolve() for folder in folders for run in find_runs(folder))
    for place in places:
        try:
            runs.append(read_run(place))
        except (ValueError, OSError) as error:
            unreadable.append(_unreadable(place, error, f"left out: {_again(place)}"))
        else:
            unreadable += _damaged_figures(place)
    for sweep in dict.fromkeys(place.parent.parent for place in places):
        unreadable += _damaged_sweep(sweep)
    if tags:
        runs = _tagged(runs, tags)
    _share_settings(runs)
    kept = _latest(runs)
    places_kept = {run.folder for run in kept}
    repeated = tuple(run for run in runs if run.folder not in places_kept)
    return Collection(tuple(kept), tuple(unreadable), repeated)


def _tagged(runs: Sequence[Run], tags: Sequence[str]) -> list[Run]:
    found = [run for run in runs if set(tags) <= set(run.record["tags"])]
    if runs and not found:
        known = ", ".join(dict.fromkeys(tag for run in runs for tag in run.record["tags"]))
        raise ValueError(f"no run has the tags {', '.join(tags)}; tags of runs: {known or 'none'}")
    return found


def _unreadable(folder: Path, error: Exception, consequence: str) -> Unreadable:
    reason = " ".join(str(error).split()).removeprefix(f"{folder}/")
    return Unreadable(folder, f"{reason}; {consequence}")


def _again(place: Path) -> str:
    """Say how a run that was left out is made again."""
    sweep = place.parent.parent
    return f"resume={sweep} makes it again" if (sweep / SWEEP_FILE).is_file() else "train it again"


def _damaged_figures(place: Path) -> Iterator[Unreadable]:
    for path in sorted(RunFolder(place).figures.glob("*.*")):
        try:
            require_figure(path)
        except FileError as error:
            yield _unreadable(place, error, "left out of figures")


def _damaged_sweep(sweep: Path) -> Iterator[Unreadable]:
    try:
        read_looks(sweep)
    except FileError as error:
        yield _unreadable(sweep, error, "its looks are not counted: p-values may be too small")
    try:
        read_sweep(sweep)
    except FileNotFoundError:
        return
    except FileError as error:
        yield _unreadable(sweep, error, "the sweep's command is left out")


def read_run(folder: Path) -> Run:
    """Read a run; what comparisons read of its other files must be whole, too.

    Raises:
        FileNotFoundError: if the folder has no record or no config.
        ValueError: if a file is damaged.
    """
    run = Run(folder, read_record(folder), read_config(folder))
    if exists(RunFolder(folder).metrics):
        curves = read_columns(folder)
        require_curves(folder, run.record, curves)
        run.__dict__["monitored"] = run.monitored_in(curves)  # which every report needs
    if run.design.sampling == "fixed_test":
        _ = run.scores
    else:
        require_zip(RunFolder(folder).scores)
    return run


# --- settings that affect results ---------------------------------------------------------------


def _settings(config: Mapping[str, Any]) -> Settings:
    given = {str(override).partition("=")[0].lstrip("+") for override in config["overrides"]}
    seed = config["seed"]
    return {
        key: _batches(value) if meaning(key).counts_batches else value
        for key, value in flat(config)
        if meaning(key).affects_results
        and not (key.endswith(".seed") and value == seed and key not in given)
    }


def _share_settings(runs: Iterable[Run]) -> None:
    """Let the runs of a row have one and the same settings, of which each has a hundred."""
    shared: dict[Any, Settings] = {}
    for run in runs:
        run.__dict__["settings"] = shared.setdefault(settings_key(run), run.settings)


def _batches(value: Any) -> Any:
    """Tell one batch, 1, from all of them, 1.0."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value} batches" if is_count and value else value


# --- one run per settings and seed ----------------------------------------------------------------


def group_by(runs: Iterable[Run], key: Callable[[Run], Any]) -> list[list[Run]]:
    """Group runs by a key, in order of first appearance."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def settings_key(run: Run) -> tuple[tuple[str, Any], ...]:
    """Return a key that is equal for runs that differ only in the seed."""
    return tuple(sorted(run.settings.items()))


def _latest(runs: Sequence[Run]) -> list[Run]:
    """Choose one run per settings and seed: done before not done, then tested, then latest."""

    def rank(run: Run) -> tuple[bool, bool, float]:
        return run.outcome == "done", run.test_read, run.record["heartbeat"]

    return [
        max(same, key=rank) for same in group_by(runs, lambda run: (settings_key(run), run.seed))
    ]
