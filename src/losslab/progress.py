"""Lines on stderr that tell how far a sweep is; results are printed to stdout."""

import functools
import json
import math
import os
import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from losslab.config import secrets
from losslab.metrics.labels import first_few, number, some
from losslab.report.run_table import duration
from losslab.runs.check import is_live
from losslab.runs.folder import job_name, short_names
from losslab.runs.record import Record, read_record

BAR_EVERY, LINE_EVERY = 1.0, 60.0
"""Seconds between two drawings of the bar, or between two lines."""
BAR_LENGTH = 20
CLEAR = "\r\033[K"
"""Characters that clear a terminal's line."""

_SHOWING = threading.Lock()
if hasattr(os, "register_at_fork"):
    # a process that is forked while a thread prints would wait forever for that thread's locks
    os.register_at_fork(
        before=_SHOWING.acquire, after_in_parent=_SHOWING.release, after_in_child=_SHOWING.release
    )


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
    show(f"job {place} of {len(names)}: {name}/{folder.name}: {outcome}")


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


def show_stack(losses: Sequence[str], statuses: Sequence[str], seconds: float) -> None:
    """Print that a lockstep stack has ended.

    Args:
        losses: loss of each run.
        statuses: status of each run.
        seconds: time that the stack took.
    """
    names = first_few(list(dict.fromkeys(losses)))
    done = statuses.count("done")
    failed = f", {len(statuses) - done} failed" if done < len(statuses) else ""
    stack = f"{some(len(losses), 'jobs')} in lockstep ({names})"
    show(f"{stack}: {done} done{failed}, {duration(seconds)}")


class SweepProgress:
    """Progress of a sweep and the time left: a bar, or a line per minute if there is no terminal.

    A thread reads the records of the runs, so that one bar covers all launchers and processes.

    Args:
        epochs: maximum number of epochs by run folder.
        clock: function that returns the time since 1970, as in records.

    Example:
        >>> with SweepProgress({Path("sweep/mse/seed0"): 20}) as progress:
        ...     progress.text()
        '0 of 1 job done, 0 %, 0.0 s'
    """

    def __init__(self, epochs: Mapping[Path, int], clock: Callable[[], float] = time.time) -> None:
        self._epochs = epochs
        self._clock = clock
        self._began = clock()
        self._shares = dict.fromkeys(epochs, 0.0)
        self._failed: set[Path] = set()
        self._hosts: Counter[str] = Counter()
        self._read()
        self._before = sum(self._shares.values())
        self._is_bar = sys.stderr.isatty()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._is_bar:
            print(CLEAR, end="", file=sys.stderr, flush=True)

    def text(self) -> str:
        """Return how many jobs are done, run and failed, the share of all epochs, and the time."""
        self._read()
        total, ended = len(self._shares), list(self._shares.values()).count(1)
        share, spent = sum(self._shares.values()) / total, self._clock() - self._began
        texts = [f"{ended - len(self._failed)} of {some(total, 'jobs')} done"]
        if self._hosts:
            texts.append(f"{self._hosts.total()} running{self._where()}")
        if self._failed:
            texts.append(f"{len(self._failed)} failed")
        texts += [f"{100 * share:.0f} %", duration(spent)]
        new = sum(self._shares.values()) - self._before
        if new > 0 and share < 1:
            texts.append(f"about {duration(spent * (1 - share) * total / new)} left")
        return ", ".join(texts)

    def _where(self) -> str:
        """Return on which hosts jobs run, unless all run here."""
        if not set(self._hosts) - {platform.node()}:
            return ""
        hosts = [f"{host} ({count})" for host, count in self._hosts.most_common()]
        return f" on {first_few(hosts, 'hosts')}"

    def _read(self) -> None:
        """Read the records of the runs that had not ended."""
        self._hosts.clear()
        for folder, share in self._shares.items():
            if share < 1:
                self._shares[folder] = self._share(folder)

    def _share(self, folder: Path) -> float:
        """Return the share of a run's epochs that have ended, 1 for a run that has ended."""
        try:
            record = read_record(folder)
        except (OSError, ValueError):
            return 0.0
        if record["status"] == "done":
            return 1.0
        if record["status"] == "failed":
            if record["heartbeat"] < self._began:  # of an earlier try: it begins again
                return 0.0
            self._failed.add(folder)
            return 1.0
        if is_live(folder, record):
            self._hosts[record["host"]] += 1
        return min(record["epochs"] / (self._epochs[folder] or math.inf), 0.99)

    def _show(self) -> None:
        pause = BAR_EVERY if self._is_bar else LINE_EVERY
        while not self._ended.wait(pause):
            with _SHOWING:
                began = time.monotonic()
                text = self.text()
                if self._is_bar:
                    share = sum(self._shares.values()) / len(self._shares)
                    print(f"{CLEAR}{_bar(share)} {text}", end="", file=sys.stderr, flush=True)
                else:
                    show(f"sweep: {text}")
                # reading a thousand records takes a while: at most a twentieth of the time
                pause = max(pause, 20 * (time.monotonic() - began))


def _bar(share: float) -> str:
    filled = round(BAR_LENGTH * share)
    return "█" * filled + "░" * (BAR_LENGTH - filled)


def show(line: str) -> None:
    """Print a line, in place of a bar that may be drawn by this process or its parent."""
    # in one piece, since print writes the end of a line apart if Python does not buffer its output,
    # and the lines of several processes would mix
    sys.stderr.write(f"{CLEAR if sys.stderr.isatty() else ''}{line}\n")
    sys.stderr.flush()
