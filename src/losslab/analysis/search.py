"""Read a tuning back from its folder: what was tried and what was best."""

import json
import math
import statistics as plain
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.analysis.load import Run, collect
from losslab.metrics.labels import Metric, metric_of
from losslab.runs.folder import PLAN_FILE

if TYPE_CHECKING:
    import pandas

SEARCH, FINAL = "search", "final"
"""Names in a tuning's folder: the plan, the search sweep and the final sweep."""

LEARNING_RATE = "optimizer.lr"
EDGE = 0.05
"""Share of a range, at either end, that counts as its edge."""


@dataclass(frozen=True)
class Range:
    """Search range of an option: numbers from low to high, or a list of choices."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    @classmethod
    def declared(cls, key: str, content: Any) -> "Range":
        """Create a range from its declaration in conf/.

        Raises:
            ValueError: if it is neither ``{low: 0, high: 5}`` nor a list.

        Example:
            >>> Range.declared("loss.gamma", {"low": 0, "high": 5}).value(0.5)
            2.5
            >>> Range.declared("optimizer.lr", {"low": 1e-4, "high": 1e-2, "log": True}).value(0.5)
            0.001
            >>> Range.declared("loss.p", [1, 2]).value(0.7)
            2
        """
        if isinstance(content, list) and content:
            return cls(choices=tuple(content))
        if not isinstance(content, Mapping) or not {"low", "high"} <= content.keys() <= {
            "low",
            "high",
            "log",
        }:
            raise ValueError(
                f"the range of {key} must be {{low: .., high: ..}} or a list, got {content!r}"
            )
        log = bool(content.get("log", False))
        if not (0 if log else -math.inf) < content["low"] < content["high"] < math.inf:
            raise ValueError(f"the range of {key} must have low < high, got {content!r}")
        return cls(float(content["low"]), float(content["high"]), log)

    def value(self, unit: float) -> Any:
        """Map a point of the unit interval to a value, rounded to three significant digits."""
        if self.choices:
            return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]
        if self.log:
            exact = self.low * (self.high / self.low) ** unit
        else:
            exact = self.low + (self.high - self.low) * unit
        return float(f"{exact:.3g}")

    def on_edge(self, value: Any) -> bool:
        """Return whether a value lies in the outer 5 % of the range; a list has no edge."""
        if self.choices:
            return False
        if self.log:
            unit = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            unit = (value - self.low) / (self.high - self.low)
        return not EDGE < unit < 1 - EDGE

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


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
        return [self._what(), *map(self._found, self.losses), *self.warnings()]

    def _what(self) -> str:
        varied = {
            "controlled": "the options of each loss, everything else is shared",
            "tuned": "the options of each loss and the learning rate",
        }[self.protocol]
        return (
            f"protocol {self.protocol}: tunes {varied}; up to {self.budget} points per loss "
            f"from the same Sobol sequence, {len(self.tuning_seeds)} tuning seeds per point "
            f"({', '.join(map(str, self.tuning_seeds))}), chosen by validation "
            f"{self.metric.label}; the test split was not read"
        )

    def _found(self, loss: str) -> str:
        best = self.best(loss)
        failed = sum(trial.failed for trial in self.trials[loss])
        runs = sum(len(trial.seeds) for trial in self.trials[loss])
        ended = f"; {failed} of {runs} runs failed" if failed else ""
        points = len(self.trials[loss])
        if best is None:
            return f"{loss}: no run finished{ended}"
        options = ", ".join(f"{key}={value}" for key, value in best.options.items())
        if not options:
            return f"{loss}: nothing to tune (one point){ended}"
        found = self.metric.text(best.mean)
        return f"{loss}: best of {points} points {options}: {found} on validation{ended}"

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

        Columns: ``loss``, ``point``, ``seed``, ``learning_rate`` (NaN if it was not tuned),
        ``value`` (the validation metric; NaN if the run failed), ``best`` (whether the point was
        chosen), and one column per tuned option.
        """
        import pandas as pd  # noqa: PLC0415 (a third of a second that a single run does not need)

        return pd.DataFrame(
            [
                {
                    "loss": loss,
                    "point": trial.point,
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


def read_tuning(folder: Path) -> Tuning:
    """Read the tuning in a folder, complete or not.

    Raises:
        FileNotFoundError: if the folder does not contain a tuning.
        ValueError: if no run of the search has begun.
    """
    plan = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    runs = collect([folder / SEARCH]).runs
    if not runs:
        raise ValueError(f"no runs below {folder / SEARCH}")
    ranges = {
        loss: {key: Range.declared(key, content) for key, content in declared.items()}
        for loss, declared in plan["ranges"].items()
    }
    metric = metric_of(runs[0].metric_names[0], runs[0].config["task"])
    seeds = tuple(plan["tuning_seeds"])
    trials = {
        loss: tuple(
            _trial(loss, number, options, metric, seeds, runs)
            for number, options in enumerate(points)
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
    )


def _trial(
    loss: str,
    point: int,
    options: Mapping[str, Any],
    metric: Metric,
    seeds: tuple[int, ...],
    runs: Sequence[Run],
) -> Trial:
    values = {
        run.seed: value
        for run in runs
        if run.outcome == "done"
        and run.loss == loss
        and all(run.settings.get(key) == wanted for key, wanted in options.items())
        and math.isfinite(value := run.metrics("val").get(metric.name, math.nan))
    }
    return Trial(loss, point, options, values, seeds)
