"""Tasks on a real Slurm: what they inherit, how they end, and when they are queued again."""

import subprocess
from pathlib import Path

import pytest

from losslab.engines import is_gone
from losslab.engines.options import SlurmOptions
from losslab.engines.slurm import submit
from losslab.engines.slurm_queue import states
from losslab.engines.slurm_task import Task
from wait_for_slurm import wait_for

pytestmark = pytest.mark.slow

COUNT = Path(__file__).with_name("count.py")


@pytest.fixture
def count(slurm, tmp_path, monkeypatch):
    """Submit a task that counts to a goal; return its job and its file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OF_THE_USER", "carried over")

    def start(goal, **flags):
        file = tmp_path / f"counted{len(list(tmp_path.glob('counted*')))}"
        task = Task(str(COUNT), file.name, str(goal))
        [job] = submit([task], tmp_path / "logs", SlurmOptions(), {"requeue": True, **flags})
        wait_for(file.exists, [job])
        return job, file

    return start


def wait_for_end(jobs):
    wait_for(lambda: all(each.has_ended for each in states(jobs).values()), jobs)
    return states(jobs)


def test_a_task_has_folder_environment_and_job(count, tmp_path):
    job, file = count(goal=1)
    assert wait_for_end([job])[job].name == "COMPLETED"
    own_job, _, folder, *variable = file.read_text().split()
    assert (own_job, folder, variable) == (
        f"slurm:{job}@losslab",
        str(tmp_path),
        ["carried", "over"],
    )


def test_tasks_that_are_preempted_or_at_their_time_limit_go_on(count):
    limited, *preempted = (count(goal=100, partition=name) for name in ("main", "main", "grace"))
    files = dict([limited, *preempted])
    subprocess.run(["scancel", "--signal=USR2", limited[0]], check=True)
    urgent = ["sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=true"], check=True)
    for job, state in wait_for_end(files).items():
        assert (state.name, state.restarts) == ("COMPLETED", 1)
        lines = files[job].read_text().splitlines()
        assert len(lines) == 100
        assert {line.split()[0] for line in lines} == {
            f"slurm:{job}@losslab",
            f"slurm:{job}+1@losslab",
        }


def test_a_cancelled_task_is_not_queued_again(count):
    job, _ = count(goal=10**6)
    subprocess.run(["scancel", job], check=True)
    assert wait_for_end([job])[job].name == "CANCELLED"


def test_a_process_is_gone_once_its_job_is_queued_again_or_forgotten(count):
    job, _ = count(goal=10**6)
    assert is_gone(f"slurm:{job}@losslab") is False
    subprocess.run(["scontrol", "requeue", job], check=True)
    wait_for(lambda: states([job])[job].name == "PENDING", [job])
    assert is_gone(f"slurm:{job}@losslab") is True
    subprocess.run(["scancel", job], check=True)
    assert is_gone("slurm:999999_7@losslab") is True
    assert is_gone("slurm:999999_7@elsewhere") is None
