"""Waiting for what jobs of Slurm do."""

import time

from losslab.engines.slurm_queue import states


def wait_for(condition, jobs, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, states(jobs)
        time.sleep(0.1)
