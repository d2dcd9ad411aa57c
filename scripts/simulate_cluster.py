"""Simulate workers that share the units of a sweep: python scripts/simulate_cluster.py.

Prints how much longer a sweep takes than its machines would need if they were never idle, and what
the rest of their time goes to, for 1 to 1,000 workers. Docs: the tables of docs/scale.md.

The simulation knows time and files alone: a worker starts, looks for a unit that nobody holds,
claims it, touches its claim every 10 s, trains, and looks for the next. Machines are preempted
(they save and release their unit), fail (the unit is free again once its claim is stale, and goes
on from what was saved last) and differ in speed. One file server answers all of them, a few
requests at a time: it is what workers have in common, and where large numbers of them break.
"""

import argparse
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import simpy

from losslab.runs.claims import BEAT_EVERY, STALE_AFTER

HOUR, FOREVER = 3600.0, 1e12
PREEMPTED, FAILED = "preempted", "failed"
KINDS = ("training", "repeated", "starting", "files", "away")
READ_TOGETHER = 20
"""Claims that a worker reads before it looks at them, which keeps the simulation fast."""

LOOKS_AGAIN = 60.0
"""Seconds until a worker that found nothing to do looks again, while others hold units."""

Events = Generator[Any, Any, Any]


@dataclass(frozen=True)
class Cluster:
    """Sweep, the machines that train it, and their file server.

    Attributes:
        workers: number of workers, one per machine.
        units: number of units of the sweep.
        hours: mean time of a unit on a machine of usual speed.
        spread: standard deviation of the logarithm of that time.
        slow: share of the machines that need ``slowness`` times as long.
        slowness: see ``slow``.
        preempted_every: mean hours from the start of a worker to its preemption.
        preempted_for: hours until it runs again.
        fails_every: mean hours from the start of a worker to the failure of its machine.
        fails_for: hours until it runs again.
        start: seconds from the start of a worker to its first look for a unit.
        starts_each: whether an engine starts a worker for each unit, as array jobs do.
        saved_every: seconds between two saves of a unit.
        request: seconds that the file server needs for a request.
        at_once: requests that it serves at a time.
        per_heartbeat: files that a heartbeat touches: the claim of a unit, and those of its runs if
            it is not packed.
        per_look: files that a look at a unit reads: its pack and its claim, or the records of
            its runs if it is not packed; 0 if an engine says which unit is next.
    """

    workers: int
    units: int
    hours: float = 0.5
    spread: float = 0.3
    slow: float = 0.05
    slowness: float = 3.0
    preempted_every: float = 4.0
    preempted_for: float = 0.2
    fails_every: float = 24 * 7.0
    fails_for: float = 2.0
    start: float = 20.0
    starts_each: bool = False
    saved_every: float = 60.0
    request: float = 0.002
    at_once: int = 8
    per_heartbeat: int = 1
    per_look: int = 1


QUIET: dict[str, Any] = {
    "spread": 0.0,
    "slow": 0.0,
    "preempted_every": math.inf,
    "fails_every": math.inf,
}
"""Cluster on which nothing goes wrong."""


@dataclass(eq=False)
class Unit:
    """Unit of a sweep.

    Attributes:
        left: seconds of training that it lacks on a machine of usual speed, as saved when its last
            holder released it.
        holder: the worker that holds it, if one does.
        touched: when its claim was touched last.
        began: when its holder began to train it.
        stopped: when its holder's machine failed; infinity while it lives.
    """

    left: float
    holder: Any = None
    touched: float = 0.0
    began: float = 0.0
    stopped: float = math.inf


@dataclass(eq=False)
class Worker:
    """Worker on one machine.

    Attributes:
        slowness: how many times as long as on a usual machine its training takes.
        waiting: the units that it has not seen done, in the order in which it looks at them.
    """

    slowness: float
    waiting: list[Unit]


@dataclass(frozen=True)
class Outcome:
    """What a simulated sweep took.

    Attributes:
        hours: time until the last unit was done.
        ideal: time in which the same machines would do the same work without a pause.
        shares: what the machines did with their time: ``training``, ``repeated`` (training that was
            lost), ``starting``, ``files`` (waiting for the file server), ``away``, ``idle``.
        stolen: how often a unit was taken from a worker that lived, but whose heartbeat was late.
    """

    hours: float
    ideal: float
    shares: dict[str, float]
    stolen: int

    @property
    def overhead(self) -> float:
        """Time beyond the ideal, as a share of it."""
        return self.hours / self.ideal - 1


class Simulation:
    """Simulate a sweep on a cluster; the same seed gives the same one.

    Args:
        cluster: the sweep and its machines.
        seed: seed of all draws.
    """

    def __init__(self, cluster: Cluster, seed: int = 1) -> None:
        self.cluster = cluster
        self.env = simpy.Environment()
        self.server = simpy.Resource(self.env, cluster.at_once)
        self.rng = np.random.default_rng(seed)
        self.spent = dict.fromkeys(KINDS, 0.0)
        self.stolen = 0
        times = self.rng.lognormal(-(cluster.spread**2) / 2, cluster.spread, cluster.units)
        self.units = [Unit(seconds) for seconds in times * cluster.hours * HOUR]
        self.open = cluster.units
        self.workers = [self._made() for _ in range(cluster.workers)]

    def _made(self) -> Worker:
        c = self.cluster
        is_slow = self.rng.random() < c.slow
        return Worker(c.slowness if is_slow else 1.0, self.units.copy())

    def run(self) -> Outcome:
        """Simulate until all units are done."""
        work = sum(unit.left for unit in self.units)
        speed = sum(1 / worker.slowness for worker in self.workers)
        self.finished = self.env.event()
        for worker in self.workers:
            self.env.process(self._machine(worker))
        self.env.run(self.finished)
        time = len(self.workers) * self.env.now
        shares = {name: self.spent[name] / time for name in KINDS}
        shares["idle"] = 1 - sum(shares.values())
        ideal = work / speed / (1 - shares["away"])
        return Outcome(self.env.now / HOUR, ideal / HOUR, shares, self.stolen)

    # --- machines ---------------------------------------------------------------------------

    def _machine(self, worker: Worker) -> Events:
        """Run a worker again after each preemption and each failure of its machine."""
        c = self.cluster
        while self.open:
            preempted, failed = map(self._until, (c.preempted_every, c.fails_every))
            session = self.env.process(self._session(worker))
            yield session | self.env.timeout(min(preempted, failed))
            if not session.is_alive:
                return
            session.interrupt(PREEMPTED if preempted < failed else FAILED)
            yield session
            hours = c.preempted_for if preempted < failed else c.fails_for
            yield from self._spend("away", self.env.timeout(hours * HOUR))

    def _until(self, hours: float) -> float:
        return (
            min(float(self.rng.exponential(hours * HOUR)), FOREVER) if hours < math.inf else FOREVER
        )

    def _session(self, worker: Worker) -> Events:
        """Start, and train one unit after the other, until there are none or the machine stops."""
        try:
            starts = True
            while self.open:
                if starts:
                    yield from self._spend("starting", self.env.timeout(self.cluster.start))
                starts = self.cluster.starts_each
                unit = yield from self._claimed(worker)
                if unit is None:
                    yield self.env.timeout(LOOKS_AGAIN)
                else:
                    yield from self._train(worker, unit)
        except simpy.Interrupt:
            pass

    def _spend(self, kind: str, event: Any) -> Events:
        """Wait for an event, and count the time."""
        began = self.env.now
        try:
            yield event
        finally:
            self.spent[kind] += self.env.now - began

    def _files(self, count: int) -> Events:
        """Wait for requests to the file server."""
        with self.server.request() as turn:
            yield from self._spend("files", turn)
            yield from self._spend("files", self.env.timeout(count * self.cluster.request))

    # --- units ------------------------------------------------------------------------------

    def _claimed(self, worker: Worker) -> Events:
        """Look at the claims of the units, some at a time, and take the first that is free."""
        place, waiting = 0, worker.waiting
        while some := waiting[place : place + READ_TOGETHER]:
            yield from self._files(len(some) * self.cluster.per_look)
            for unit in some:
                if unit.left > 0 and self._is_free(unit):
                    yield from self._files(1)
                    if unit.left > 0 and self._is_free(unit):  # nobody was faster
                        self._take(worker, unit)
                        return unit
            left = [unit for unit in some if unit.left > 0]
            waiting[place : place + len(some)] = left
            place += len(left)
        return None

    def _is_free(self, unit: Unit) -> bool:
        return unit.holder is None or self.env.now - unit.touched > STALE_AFTER

    def _take(self, worker: Worker, unit: Unit) -> None:
        """Claim a unit; one that was not released goes on from what was saved of it."""
        if unit.holder is not None:
            self.stolen += unit.stopped == math.inf
            self._keep(unit, min(unit.stopped, self.env.now), self.cluster.saved_every)
        unit.holder, unit.touched, unit.stopped = worker, self.env.now, math.inf
        unit.began = self.env.now

    def _keep(self, unit: Unit, until: float, saved_every: float | None = None) -> None:
        """Count what was trained of a unit, of which the part since the last save may be lost."""
        assert unit.holder is not None
        trained = until - unit.began
        lost = trained % saved_every if saved_every else 0.0
        self.spent["training"] += trained - lost
        self.spent["repeated"] += lost
        unit.left -= (trained - lost) / unit.holder.slowness

    def _train(self, worker: Worker, unit: Unit) -> Events:
        """Train a unit until it is done, the machine stops or another worker has taken the unit."""
        heart = self.env.process(self._beat(worker, unit))
        try:
            yield heart | self.env.timeout(unit.left * worker.slowness)
            if unit.holder is worker:
                self._keep(unit, self.env.now)
                self._finish(unit)
        except simpy.Interrupt as stop:
            if unit.holder is worker and stop.cause == PREEMPTED:
                self._keep(unit, self.env.now)
                unit.holder = None
            elif unit.holder is worker:
                unit.stopped = self.env.now
            raise
        finally:
            if heart.is_alive:
                heart.interrupt()

    def _finish(self, unit: Unit) -> None:
        unit.left, unit.holder = 0.0, None
        self.open -= 1
        if not self.open:
            self.finished.succeed()

    def _beat(self, worker: Worker, unit: Unit) -> Events:
        """Touch a claim from time to time, until it is another worker's."""
        try:
            while True:
                yield self.env.timeout(BEAT_EVERY)
                with self.server.request() as turn:
                    yield turn
                    yield self.env.timeout(self.cluster.per_heartbeat * self.cluster.request)
                if unit.holder is not worker:
                    return
                unit.touched = self.env.now
        except simpy.Interrupt:
            pass


def table(clusters: Iterable[Cluster], seeds: int) -> Iterator[str]:
    """Simulate clusters, and yield the rows of a Markdown table: means over seeds."""
    yield f"| workers | units | hours | ideal | overhead | {' | '.join(KINDS)} | idle | stolen |"
    yield "|--:" * (7 + len(KINDS)) + "|"
    for cluster in clusters:
        outcomes = [Simulation(cluster, seed).run() for seed in range(seeds)]
        hours, ideal, overhead, stolen = np.mean(
            [[each.hours, each.ideal, each.overhead, each.stolen] for each in outcomes], axis=0
        )
        shares = np.mean([list(each.shares.values()) for each in outcomes], axis=0)
        cells = [
            *(f"{cluster.workers:,}", f"{cluster.units:,}", f"{hours:.1f}", f"{ideal:.1f}"),
            *(f"{100 * share:.1f} %" for share in (overhead, *shares)),
            f"{stolen:,.0f}",
        ]
        yield f"| {' | '.join(cells)} |"


def cases(usual: Sequence[Cluster], runs: int) -> dict[str, list[Cluster]]:
    """Return what is compared: the usual clusters, and how they would be otherwise.

    Args:
        usual: the usual clusters.
        runs: runs per unit.
    """
    as_it_is = [replace(each, per_look=2) for each in usual]
    engine = [replace(each, per_look=0, starts_each=True) for each in as_it_is]
    return {
        "Workers that look for their units": as_it_is,
        "Units that are not packed": [
            replace(each, per_heartbeat=runs + 1, per_look=runs) for each in as_it_is
        ],
        "Nothing goes wrong": [replace(each, **QUIET) for each in as_it_is],
        "An engine that starts a worker for each unit": engine,
        "The same with units of a tenth of the size": [
            replace(each, units=each.units * 10, hours=each.hours / 10) for each in engine
        ],
        "The same with units of ten times the size": [
            replace(each, units=each.units // 10, hours=each.hours * 10) for each in engine
        ],
        "A file server that needs 20 ms": [replace(each, request=0.02) for each in engine],
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=50, help="runs per unit; default: %(default)s")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 10, 100, 300, 1000])
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    given = parser.parse_args()
    usual = [Cluster(workers, given.units) for workers in given.workers]
    for title, clusters in cases(usual, given.runs).items():
        print(f"\n{title}\n", *table(clusters, given.seeds), sep="\n", flush=True)


if __name__ == "__main__":
    main()
