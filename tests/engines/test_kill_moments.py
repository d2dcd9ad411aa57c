"""Jobs of a real Slurm that end at random moments, and go on to the same results to the bit.

``pytest tests/engines/test_kill_moments.py --moments 12 -s`` tries more of them and shows each.
"""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from load_script import load_script
from losslab import cli
from losslab.engines.launched import read_launched
from losslab.engines.slurm import wait
from losslab.runs.folder import find_runs
from losslab.runs.record import read_record

pytestmark = pytest.mark.slow

STACK = [
    *("-m", "loss=mse,mae,huber", "data=regression", "seed=range(3)", "trainer.max_epochs=400"),
    *("callbacks=quiet", "trainer=cpu"),
    *("hydra/launcher=slurm", "hydra.launcher.max_jobs=9", "hydra.launcher.report=false"),
]
kill_runs = load_script("kill_runs")


def pytest_generate_tests(metafunc):
    if "moment" in metafunc.fixturenames:
        metafunc.parametrize("moment", range(metafunc.config.getoption("--moments")))


@pytest.fixture(scope="module")
def whole(slurm, tmp_path_factory):
    """Train the sweep in one go; return its seconds of training and its results."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    begun = begin(folder)
    wait(jobs(folder))
    seconds = max(read_record(run)["heartbeat"] for run in find_runs(folder)) - begun
    return seconds, kill_runs.results(folder)


def begin(folder):
    """Submit the sweep; return the time at which it has a run."""
    assert cli.run([*STACK, f"hydra.sweep.dir={folder}"]) == 0
    while not find_runs(folder):
        time.sleep(0.02)
    return time.time()


def jobs(folder):
    return read_launched(folder).jobs


def requeue(folder):
    subprocess.run(["scontrol", "requeue", *jobs(folder)], check=False, capture_output=True)


def terminate(folder):
    subprocess.run(["scancel", "--signal=TERM", *jobs(folder)], check=False)


def kill(folder):
    with suppress(ProcessLookupError):
        os.kill(read_record(find_runs(folder)[0])["pid"], signal.SIGKILL)


def test_a_job_that_ends_at_any_moment_goes_on_to_the_same_bits(whole, tmp_path, moment):
    seconds, expected = whole
    folder = tmp_path / "sweep"
    delay = random.Random(f"slurm {moment}").uniform(0, seconds)
    end = (requeue, kill, terminate)[moment % 3]
    begin(folder)
    time.sleep(delay)
    stood = dict(kill_runs.statuses(folder))
    end(folder)
    wait(jobs(folder))
    left = dict(kill_runs.statuses(folder))
    assert end is kill or "running" not in left
    if set(left) != {"done"}:
        cli.run([f"resume={folder}"])
        wait(jobs(folder))
    print(f"\n{moment}: {end.__name__} after {delay:.1f} of {seconds:.1f} s: {stood}, then {left}")
    assert kill_runs.results(folder) == expected
