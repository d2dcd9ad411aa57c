import math
from dataclasses import replace

import pytest

from load_script import load_script

pytest.importorskip("simpy", reason="simpy is not installed")
script = load_script("simulate_cluster")

TROUBLED = script.Cluster(10, 60, hours=0.2, slow=0, preempted_every=0.5, fails_every=1.0)
BUSY = replace(TROUBLED, workers=30, units=90, at_once=1, fails_every=math.inf, request=0.05)


def test_the_same_seed_gives_the_same_sweep():
    first, again, other = (script.Simulation(TROUBLED, seed).run() for seed in (1, 1, 2))
    assert first == again != other


def test_nothing_is_lost_where_nothing_goes_wrong():
    cluster = script.Cluster(4, 20, request=0.0, **script.QUIET)
    outcome = script.Simulation(cluster).run()
    assert outcome.hours == pytest.approx(20 / 4 * cluster.hours + cluster.start / 3600)
    assert outcome.ideal == pytest.approx(20 / 4 * cluster.hours)


def test_all_work_is_done_once_and_what_a_failure_loses_twice():
    simulation = script.Simulation(TROUBLED)
    work = sum(unit.left for unit in simulation.units)
    outcome = simulation.run()
    assert simulation.spent["training"] == pytest.approx(work)
    assert simulation.spent["repeated"] > 0
    assert outcome.stolen == 0
    seldom = script.Simulation(replace(TROUBLED, saved_every=600.0))
    seldom.run()
    assert seldom.spent["repeated"] > 2 * simulation.spent["repeated"]


def test_units_of_living_workers_are_taken_if_heartbeats_are_late():
    assert script.Simulation(BUSY).run().stolen == 0
    assert script.Simulation(replace(BUSY, per_heartbeat=400)).run().stolen > 0


def test_an_engine_that_starts_each_unit_pays_for_each():
    cluster = script.Cluster(2, 40, hours=0.05, **script.QUIET)
    spent = []
    for starts_each in (False, True):
        simulation = script.Simulation(replace(cluster, starts_each=starts_each))
        simulation.run()
        spent.append(simulation.spent["starting"])
    assert spent == [2 * cluster.start, 40 * cluster.start]
