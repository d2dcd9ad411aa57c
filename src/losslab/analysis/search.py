"""Read a tuning back from its folder: what was tried and what was best."""

import math
import shlex
import statistics as plain
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast

from losslab.analysis.load import Run, collect
from losslab.analysis.ranges import Range, settings
from losslab.analysis.scope import design_of
from losslab.metrics.labels import Metric, metric_of, some
from losslab.runs.files import FileError, read_json, require_types
from losslab.runs.folder import PLAN_FILE, label_of

if TYPE_CHECKING:
    import pandas

SEARCH, FINAL = "search", "final"
"""Names in a tuning's folder: the plan, the search sweep and the final sweep."""

LEARNING_RATE = "optimizer.lr"

STARTUP = 10
"""Points before the first that depends on results: the default setting, then a Sobol sequence."""


@dataclass(frozen=True)
class Trial:
    """Point that was tried, on all tuning seeds."""

    loss: str
    point: int
    options: Mapping[str, Any]
    """Tuned options: ``{"loss.gamma": 1.3, "optimizer.lr": 0.004}``."""
    values: Mapping[int, float]
    """Validation metric by tuning seed, of the runs that finished."""
    seeds: tuple[int, ...]
    default: bool = False
    """Whether it is the default setting."""
    pending: bool = False
    """Whether runs of it have yet to end."""

    @property
    def mean(self) -> float:
        """Mean over the seeds that finished; NaN if none did."""
        return plain.fmean(self.values.values()) if self.values else math.nan

    @property
    def failed(self) -> int:
        """Number of seeds without a finished run."""
        return len(self.seeds) - len(self.values)


@dataclass(frozen=True)
class Tuning:
    """Search for the best settings of each loss."""

    folder: Path
    protocol: str
    """``controlled`` tunes the options of the loss, ``tuned`` also the learning rate."""
    budget: int
    metric: Metric
    """Validation metric by which points are chosen."""
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    ranges: Mapping[str, Mapping[str, Range]]
    """Ranges by loss and option."""
    trials: Mapping[str, tuple[Trial, ...]]
    """Trials by loss, in the order of the points."""
    sampling: str = "fresh"
    """What differs between seeds, see ``losslab.data.raw.Sampling``."""
    test_split_seed: int | None = None
    """Seed of the test split, if the tuning set it."""
    test_samples: int | None = None
    """Number of samples that the final runs are tested on; ``None`` if it was not determined."""
    overlap: int | None = None
    """How many of these were in training or validation splits of the search."""
    sampler: str = "sobol"
    """What chose the points: a Sobol sequence, and with ``optuna`` then TPE."""

    @property
    def losses(self) -> list[str]:
        """Names of the tuned losses."""
        return list(self.trials)

    def best(self, loss: str) -> Trial | None:
        """Return the best point by the mean over tuning seeds; ``None`` if no run finished.

        Points with fewer failed seeds come first.
        """
        finished = [trial for trial in self.trials[loss] if trial.values]
        return min(
            finished,
            key=lambda trial: (trial.failed, -self.metric.sign * trial.mean),
            default=None,
        )

    def lines(self) -> list[str]:
        """Describe the tuning for a report: protocol, budget, best settings, warnings."""
        return [
            self._what(),
            self._unseen(),
            *map(self._found, self.losses),
            *self._tries(),
            *self.warnings(),
        ]

    def tries(self, loss: str) -> int:
        """Return the number of settings that were tried for a loss."""
        return len(self.trials[loss])

    def _what(self) -> str:
        varied = {
            "controlled": "the options of each loss, everything else is shared",
            "tuned": "the options of each loss and the learning rate",
        }[self.protocol]
        return (
            f"protocol {self.protocol}: tunes {varied}; up to "
            f"{some(self.budget, 'points')} per loss, "
            f"{'the default setting and then ' if self._has_defaults else ''}"
            f"points of the same Sobol sequence{self.chosen_by}, "
            f"{some(len(self.tuning_seeds), 'tuning seeds')} per point "
            f"({', '.join(map(str, self.tuning_seeds))}), chosen by validation "
            f"{self.metric.label}; the test split was not read"
        )

    @property
    def chosen_by(self) -> str:
        """What chose the points after those of the Sobol sequence, to go on after its name."""
        if self.sampler == "sobol":
            return ""
        return f", and from the {STARTUP + 1}th on points of optuna's TPE"

    @property
    def _has_defaults(self) -> bool:
        return any(trial.default for trials in self.trials.values() for trial in trials)

    def _unseen(self) -> str:
        """Say whether the search saw samples that the final runs are tested on."""
        if self.overlap is not None:
            carved = self.test_split_seed is not None
            seed = f" (data.test_split_seed={self.test_split_seed})" if carved else ""
            if self.overlap == 0:
                return (
                    f"none of the {self.test_samples} samples that the final runs are tested on "
                    f"was in a training or validation split of the search{seed}"
                )
            return (
                f"warning: {self.overlap} of the {self.test_samples} samples that the final runs "
                f"are tested on were in training or validation splits of the search{seed}, so the "
                "test metrics are optimistic"
            )
        if self.sampling == "redrawn":
            return (
                "warning: this tuning was planned without data.test_split_seed: samples that the "
                "final runs are tested on may have been in training or validation splits of the "
                "search, so the test metrics are optimistic"
            )
        if self.sampling == "fresh":
            return "each seed draws new samples: the search saw none of the final test samples"
        return "the test split is the same for all seeds, and the search did not read it"

    def _tries(self) -> list[str]:
        """Say how many settings were tried for each loss, if that differs."""
        if len(set(map(self.tries, self.losses))) == 1:
            return []
        tries = ", ".join(f"{loss} {self.tries(loss)}" for loss in self.losses)
        advice = (
            "; protocol=tuned also tries learning rates, equally many for every loss"
            if self.protocol == "controlled"
            else ""
        )
        return [
            f"tries: {tries}. A loss with more tries is more likely to have found a good setting; "
            f"the tests, on other seeds, compare the settings found{advice}"
        ]

    def _found(self, loss: str) -> str:
        best = self.best(loss)
        failed = sum(trial.failed for trial in self.trials[loss])
        runs = sum(len(trial.seeds) for trial in self.trials[loss])
        ended = f"; {failed} of {some(runs, 'runs')} failed" if failed else ""
        points = self.tries(loss)
        if best is None:
            return f"{loss}: no run finished{ended}"
        options = ", ".join(settings(best.options))
        if not options:
            return f"{loss}: nothing to tune (one point){ended}"
        found = f"{self.metric.text(best.mean)} on validation{self._default(loss, best)}"
        return f"{loss}: best of {some(points, 'points')} {options}: {found}{ended}"

    def _default(self, loss: str, best: Trial) -> str:
        """Return how good the default setting was, in parentheses."""
        default = next((trial for trial in self.trials[loss] if trial.default), None)
        if default is None:
            return ""
        if default is best:
            return " (the default setting)"
        options = ", ".join(settings(default.options))
        found = self.metric.text(default.mean) if default.values else "no run finished"
        return f" (default setting, {options}: {found})"

    def warnings(self) -> list[str]:
        """Return a line for each best setting that lies on the edge of its range."""
        lines = []
        for loss in self.losses:
            best = self.best(loss)
            for key, value in (best.options if best else {}).items():
                if self.ranges[loss][key].on_edge(value):
                    lines.append(
                        f"warning: the best {key}={value} of {loss} lies on the edge of its range "
                        f"({self.ranges[loss][key]}); a wider range may give better results"
                    )
        return lines

    def frame(self) -> "pandas.DataFrame":
        """Return a data frame with one row per run of the search.

        Columns: ``loss``, ``tries`` (number of points of the loss), ``point``, ``default`` (whether
        it is the default setting), ``seed``, ``learning_rate`` (NaN if it was not tuned), ``value``
        (the validation metric; NaN if the run failed), ``best`` (whether the point was chosen), and
        one column per tuned option.
        """
        import pandas as pd  # noqa: PLC0415 (a third of a second that a single run does not need)

        return pd.DataFrame(
            [
                {
                    "loss": loss,
                    "tries": self.tries(loss),
                    "point": trial.point,
                    "default": trial.default,
                    "seed": seed,
                    "learning_rate": trial.options.get(LEARNING_RATE, math.nan),
                    "value": trial.values.get(seed, math.nan),
                    "best": trial is best,
                }
                | dict(trial.options)
                for loss, trials in self.trials.items()
                for best in [self.best(loss)]
                for trial in trials
                for seed in trial.seeds
            ]
        )


class SavedPlan(TypedDict):
    """Plan of a tuning, as its file holds it; see :class:`losslab.tuning_plan.Plan`."""

    protocol: Literal["controlled", "tuned"]
    budget: int
    losses: list[str]
    tuning_seeds: list[int]
    seeds: list[int]
    overrides: list[str]
    ranges: dict[str, dict[str, Any]]
    points: dict[str, list[dict[str, Any]]]
    defaults: NotRequired[dict[str, dict[str, Any]]]
    test_split_seed: NotRequired[int | None]
    test_samples: NotRequired[int | None]
    sampler: NotRequired[Literal["sobol", "optuna"]]
    overlap: NotRequired[int | None]
    chosen: NotRequired[dict[str, list[str]]]
    own_ranges: NotRequired[list[str]]


def plan_of(run: Run) -> SavedPlan | None:
    """Return the plan of the tuning that a run belongs to, if there is one that can be read."""
    sweep = run.folder.parent.parent
    try:
        return read_plan(sweep.parent)
    except (FileNotFoundError, FileError):
        return None


def tuned_keys(run: Run) -> set[str]:
    """Return the options that a tuning chose for a run: ``loss.gamma``, ``optimizer.lr``."""
    plan = plan_of(run)
    return set(plan["ranges"].get(chosen_loss(run), {})) if plan else set()


def tries(run: Run) -> int:
    """Return the number of settings from which that of a run was chosen; 1 without a tuning."""
    plan = plan_of(run)
    return len(plan["points"].get(chosen_loss(run), [{}])) if plan else 1


def chosen_loss(run: Run) -> str:
    """Return the label, or what was chosen by ``loss=``: a sum is called after its components."""
    if label := label_of(run.overrides):
        return label
    chosen = [each for each in run.overrides if each.startswith("loss=")]
    return chosen[-1].removeprefix("loss=") if chosen else run.loss


def read_plan(folder: Path) -> SavedPlan:
    """Read the plan of a tuning.

    Raises:
        FileNotFoundError: if the folder does not contain a tuning.
        FileError: if the plan is damaged.
    """
    path = folder / PLAN_FILE
    plan = read_json(path)
    unknown = sorted(plan.keys() - SavedPlan.__annotations__.keys())
    if unknown:
        raise FileError(path, f"has unknown fields: {', '.join(unknown)}: update losslab")
    require_types(plan, SavedPlan, path)
    if not set(plan["losses"]) == plan["points"].keys() == plan["ranges"].keys():
        raise FileError(path, "does not have ranges and points of each of its losses")
    return cast(SavedPlan, plan)


def typed(plan: Mapping[str, Any], *seeds: str) -> str:
    """Return the command of a plan.

    Args:
        plan: the plan, as its file holds it.
        seeds: arguments of its seeds, if they are shown.
    """
    sampler = plan.get("sampler", "sobol")
    own = [
        f"loss={','.join(plan['losses'])}",
        f"protocol={plan['protocol']}",
        f"budget={plan['budget']}",
        *([] if sampler == "sobol" else [f"sampler={sampler}"]),
    ]
    return f"losslab tune {shlex.join([*own, *seeds, *plan['overrides']])}"


def read_tuning(folder: Path) -> Tuning:
    """Read the tuning in a folder, complete or not.

    Raises:
        FileNotFoundError: if the folder does not contain a tuning.
        FileError: if its plan is damaged.
        ValueError: if no run of the search has begun.
    """
    plan = read_plan(folder)
    runs = collect([folder / SEARCH]).runs
    if not runs:
        raise ValueError(f"no runs below {folder / SEARCH}")
    ranges = {
        loss: {key: Range.declared(key, content) for key, content in declared.items()}
        for loss, declared in plan["ranges"].items()
    }
    metric = metric_of(runs[0].metric_names[0], runs[0].config["task"])
    seeds = tuple(plan["tuning_seeds"])
    defaults = plan.get("defaults", {})  # version 0.1 did not try them
    trials = {
        loss: tuple(
            Trial(
                loss,
                number,
                options,
                _values(found, metric),
                seeds,
                default=options == defaults.get(loss),
                pending=_is_pending(found, seeds),
            )
            for number, options in enumerate(points)
            for found in [_runs_of(loss, options, runs)]
        )
        for loss, points in plan["points"].items()
    }
    return Tuning(
        folder=folder,
        protocol=plan["protocol"],
        budget=plan["budget"],
        metric=metric,
        tuning_seeds=seeds,
        seeds=tuple(plan["seeds"]),
        ranges=ranges,
        trials=trials,
        sampling=design_of(runs[0].record, runs[0].config).sampling,
        test_split_seed=plan.get("test_split_seed"),
        test_samples=plan.get("test_samples"),
        overlap=plan.get("overlap"),
        sampler=plan.get("sampler", "sobol"),
    )


def _values(runs: Sequence[Run], metric: Metric) -> dict[int, float]:
    """Return the validation metric by seed, of the finished runs of a point."""
    return {
        run.seed: value
        for run in runs
        if run.outcome == "done"
        and math.isfinite(value := run.metrics("val").get(metric.name, math.nan))
    }


def _is_pending(runs: Sequence[Run], seeds: Sequence[int]) -> bool:
    """Return whether a point lacks a run of a seed that is done or has failed."""
    ended = {run.seed for run in runs if run.record["status"] in ("done", "failed")}
    return not ended.issuperset(seeds)


def _runs_of(loss: str, options: Mapping[str, Any], runs: Sequence[Run]) -> list[Run]:
    """Return the runs of a point."""
    return [
        run
        for run in runs
        if chosen_loss(run) == loss
        and all(run.settings.get(key) == wanted for key, wanted in options.items())
    ]
