"""Tasks on a real Ray of two nodes: what they inherit, and what follows if something dies."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from losslab.engines.options import RayOptions
from losslab.engines.ray import connect, follow, start

pytestmark = pytest.mark.slow
COUNT = Path(__file__).with_name("count.py")


@pytest.fixture
def count(ray_cluster, tmp_path, monkeypatch):
    """Start a task that counts to a goal; return the task and its file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OF_THE_USER", "carried over")
    options = RayOptions(address=ray_cluster.address)
    connect(options)

    def begin(goal):
        file = tmp_path / f"counted{len(list(tmp_path.glob('*.log')))}"
        line = [sys.executable, str(COUNT), file.name, str(goal)]
        task = start(line, file.with_suffix(".log"), options)
        wait_for(lambda: file.exists() and lines(file), tmp_path)
        return task, file

    yield begin
    import ray

    ray.shutdown()


def wait_for(condition, folder, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, [path.read_text() for path in folder.glob("*.log")]
        time.sleep(0.1)


def lines(file):
    return [line.split() for line in file.read_text().splitlines()]


def test_tasks_have_folder_environment_and_job_and_go_on_if_workers_and_a_node_die(
    count, tmp_path, ray_cluster
):
    tasks = dict(count(goal=100) for _ in range(2))  # one per node, at the same time
    pids = [int(lines(file)[-1][1]) for file in tasks.values()]
    for pid in pids:
        psutil.Process(pid).parent().kill()
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), tmp_path)  # they end with the workers
    ray_cluster.remove_node(ray_cluster.worker_nodes.copy().pop(), allow_graceful=False)
    follow(dict.fromkeys(tasks, 1))
    for file in tasks.values():
        assert len(lines(file)) == 100
        assert len({pid for _, pid, *_ in lines(file)}) >= 2
        [[job, *folder_and_variable]] = {(job, *others) for job, _, *others in lines(file)}
        assert job.startswith("ray:")
        assert folder_and_variable == [str(tmp_path), "carried", "over"]


def test_an_interruption_ends_the_commands_of_tasks(count, tmp_path):
    task, file = count(goal=10**6)
    pid = int(lines(file)[-1][1])
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        follow({task: 1})
    assert not psutil.pid_exists(pid)
