"""Finished, running and failed runs of any folders, read back for a comparison."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from losslab.config.past import translated
from losslab.config.schema import flat, meaning
from losslab.runs.curves import read_curves
from losslab.runs.folder import RunFolder, find_runs
from losslab.runs.record import Record, is_live, read_record

if TYPE_CHECKING:
    import pandas

Outcome = Literal["done", "diverged", "failed", "running", "missing"]
"""``diverged`` and ``failed`` are the loss's own failures; an interruption, a lack of memory, a
wrong config or a process that is gone are ``missing`` and say nothing of the loss."""

NOT_THE_LOSS = ("memory", "input")
"""Errors that say nothing of the loss: such a run is missing, it has not failed."""

Settings = Mapping[str, Any]
"""A saved config, flat: ``{"loss.gamma": 2.0, "optimizer.lr": 0.002, ...}``."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run, as it lies on disk."""

    folder: Path
    record: Record
    config: Mapping[str, Any]
    """Its resolved config, with ``choices`` and ``overrides``."""

    @functools.cached_property
    def settings(self) -> Settings:
        """The config, flat, without what does not decide the result or follows from the seed."""
        return _settings(self.config)

    @property
    def loss(self) -> str:
        """The loss by its name in conf/."""
        return self.record["loss"]

    @property
    def data(self) -> str:
        """The data set by its name in conf/."""
        return self.record["data"]

    @property
    def seed(self) -> int:
        """The seed; what runs are paired by."""
        return self.record["seed"]

    @property
    def overrides(self) -> list[str]:
        """What its command line asked for."""
        return list(self.config["overrides"])

    @property
    def judges(self) -> list[str]:
        """The metrics that judge its task, the first above all."""
        task = self.config["task"]
        if "metrics" in task:
            return list(task["metrics"])
        plain = [name for name in self.record["test"] if "/" not in name and name != "loss"]
        return list(dict.fromkeys([task["monitor"], *plain]))

    @property
    def test_read(self) -> bool:
        """Whether the run has been judged on the test split."""
        return bool(self.record["test"])

    @property
    def is_search(self) -> bool:
        """Whether it was to leave the test split unread (``test=false``)."""
        return self.config.get("test") is False

    @functools.cached_property
    def outcome(self) -> Outcome:
        """What became of it."""
        record = self.record
        if record["status"] == "done":
            return "done"
        if record["status"] == "failed":
            kind = "exception" if record["error"] is None else record["error"]["kind"]
            if kind in NOT_THE_LOSS:
                return "missing"
            return "diverged" if kind == "diverged" else "failed"
        return "running" if is_live(record) else "missing"

    @property
    def problem(self) -> str:
        """Why it is not done, in one line; empty where it is."""
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
        """The metrics of the chosen checkpoint on ``test`` or ``val``, without the split."""
        if split == "test":
            return self.record["test"]
        best = self.record["best"]
        return best["metrics"] if best else {}

    @functools.cached_property
    def curves(self) -> "pandas.DataFrame":
        """Its curves, see :func:`losslab.runs.curves.read_curves`; empty where it left none."""
        try:
            return read_curves(self.folder)
        except FileNotFoundError:
            import pandas as pd  # noqa: PLC0415 (as read_curves does)

            return pd.DataFrame(columns=["epoch", "step", "seconds", "name", "value"])


@dataclass(frozen=True)
class Unreadable:
    """A folder whose record or config cannot be read."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Collection:
    """What lies below some folders."""

    runs: tuple[Run, ...]
    unreadable: tuple[Unreadable, ...] = ()
    repeated: tuple[Run, ...] = ()
    """Runs that another run with the same settings and seed stands for."""


def collect(folders: Iterable[Path]) -> Collection:
    """Read every run in and below the folders; a run that is found twice is read once."""
    runs, unreadable = [], []
    places = dict.fromkeys(run.resolve() for folder in folders for run in find_runs(folder))
    for place in places:
        try:
            runs.append(read_run(place))
        except (ValueError, OSError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split()).removeprefix(f"{place}/")
            unreadable.append(Unreadable(place, reason))
    kept = _latest(runs)
    places_kept = {run.folder for run in kept}
    repeated = tuple(run for run in runs if run.folder not in places_kept)
    return Collection(tuple(kept), tuple(unreadable), repeated)


def read_run(folder: Path) -> Run:
    """One run.

    Raises:
        FileNotFoundError: if it has no record or no config.
        ValueError: if one of them is broken.
    """
    record, config = read_record(folder), read_config(folder)
    missing = [key for key in ("seed", "task", "choices", "overrides") if key not in config]
    if missing:
        raise ValueError(f"{RunFolder(folder).config} lacks {', '.join(missing)}")
    return Run(folder, record, config)


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved config that a run saved.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no mapping.
    """
    text = RunFolder(folder).config.read_text(encoding="utf-8")
    content = yaml.load(text, Loader=_Loader)
    if not isinstance(content, dict):
        raise ValueError(f"{RunFolder(folder).config} must hold a mapping")
    current: dict[str, Any] = translated(content)
    return current


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as OmegaConf reads it: 1e-05 is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)

# --- what decides a result ----------------------------------------------------------------------


def _settings(config: Mapping[str, Any]) -> Settings:
    given = {str(override).partition("=")[0].lstrip("+") for override in config["overrides"]}
    seed = config["seed"]
    return {
        key: value
        for key, value in flat(config)
        if meaning(key).affects_results
        and not (key.endswith(".seed") and value == seed and key not in given)
    }


# --- one run a setting and seed -------------------------------------------------------------------


def group(runs: Iterable[Run], key: Callable[[Run], Any]) -> list[list[Run]]:
    """The runs with equal keys together, in the order in which they first stand."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def settings_key(run: Run) -> tuple[tuple[str, Any], ...]:
    """What is equal for runs that differ in nothing but the seed."""
    return tuple(sorted(run.settings.items()))


def _latest(runs: Sequence[Run]) -> list[Run]:
    """One run a setting and seed: one that is done, then one that was tested, then the last."""

    def rank(run: Run) -> tuple[bool, bool, float]:
        return run.outcome == "done", run.test_read, run.record["heartbeat"]

    return [max(same, key=rank) for same in group(runs, lambda run: (settings_key(run), run.seed))]
