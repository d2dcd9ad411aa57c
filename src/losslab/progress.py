"""Lines on stderr that tell how far a sweep is; results are printed to stdout."""

import functools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from losslab.config import secrets
from losslab.metrics.labels import number
from losslab.report.run_table import duration
from losslab.runs.folder import job_name, short_names
from losslab.runs.record import Record, read_record

AT_LEAST_SECONDS = 10.0
"""Time between two lines about the same stack."""
AT_LEAST_SHARE = 0.05
"""Share of the epochs between two lines about the same stack."""


def show_job(folder: Path, metrics: Sequence[str], hydra_node: Any) -> None:
    """Print that a job of a sweep has ended, and its first metric.

    Args:
        folder: the run's folder.
        metrics: metrics of the task, the primary one first.
        hydra_node: Hydra's node of the job's config.
    """
    names = _names(Path(hydra_node.sweeper.file).read_text())
    typed = secrets.resolved(hydra_node.overrides.task)
    place, name = names[tuple(map(secrets.masked_override, typed))]
    outcome = _outcome(read_record(folder), metrics)
    _print(f"job {place} of {len(names)}: {name}/{folder.name}: {outcome}")


@functools.lru_cache(maxsize=1)
def _names(sweep: str) -> dict[tuple[str, ...], tuple[int, str]]:
    """Return number and short name of each job, by its overrides, from the text of a sweep file."""
    jobs = [tuple(job) for job in json.loads(sweep)["jobs"]]
    of_jobs = [job_name(job) for job in jobs]
    distinct = list(dict.fromkeys(of_jobs))
    short = dict(zip(distinct, short_names(distinct), strict=True))
    return {job: (index + 1, short[of_jobs[index]]) for index, job in enumerate(jobs)}


def _outcome(record: Record, metrics: Sequence[str]) -> str:
    time_taken = duration(record["seconds"])
    if record["status"] != "done":
        kind = f" ({record['error']['kind']})" if record["error"] else ""
        return f"{record['status']}{kind} after {time_taken}"
    best = record["best"]
    split, values = "test", record["test"]
    if not values and best is not None:
        split, values = "validation", best["metrics"]
    shown = [f"{split} {name} {number(values[name])}, " for name in metrics if name in values]
    return f"{''.join(shown[:1])}{time_taken}"


class StackProgress:
    """Progress of a lockstep stack: a line now and then, and one at its end.

    Args:
        losses: loss of each run.
        epochs: maximum number of epochs.
        clock: function that returns the time in seconds.

    Example:
        >>> import itertools
        >>> progress = StackProgress(["mse", "mae"], 4, itertools.count(0, 8).__next__)
        >>> progress.lines(1), progress.lines(2)
        ([], ['2 jobs in lockstep (mse, mae): epoch 2 of 4, 50 %, 16.0 s'])
    """

    def __init__(
        self, losses: Sequence[str], epochs: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        distinct = list(dict.fromkeys(losses))
        more = f" and {len(distinct) - 3} more" if len(distinct) > 3 else ""
        jobs = "1 job" if len(losses) == 1 else f"{len(losses)} jobs"
        self._name = f"{jobs} in lockstep ({', '.join(distinct[:3])}{more})"
        self._epochs = epochs
        self._clock = clock
        self._start = self._at = clock()
        self._shown = 0

    def lines(self, epoch: int) -> list[str]:
        """Return the line to print when so many epochs have ended, if one is due."""
        now = self._clock()
        enough = epoch - self._shown >= AT_LEAST_SHARE * self._epochs
        if not enough or now - self._at < AT_LEAST_SECONDS:
            return []
        self._at, self._shown = now, epoch
        share = f"{epoch / self._epochs:.0%}".replace("%", " %")
        spent = duration(now - self._start)
        return [f"{self._name}: epoch {epoch} of {self._epochs}, {share}, {spent}"]

    def show_epoch(self, epoch: int) -> None:
        """Print a line if one is due, when so many epochs have ended."""
        for line in self.lines(epoch):
            _print(line)

    def show_end(self, statuses: Sequence[str]) -> None:
        """Print how many of the runs are done, and the time."""
        done = statuses.count("done")
        failed = f", {len(statuses) - done} failed" if done < len(statuses) else ""
        _print(f"{self._name}: {done} done{failed}, {duration(self._clock() - self._start)}")


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
