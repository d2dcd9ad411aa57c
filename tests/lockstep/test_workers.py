"""Worker processes: one that is killed ends its own stack only, and none outlives the command."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from omegaconf import OmegaConf

from losslab.lockstep import workers
from losslab.lockstep.grouping import Job
from losslab.lockstep.workers import train_in_workers
from losslab.runs.record import new_record, read_record, write_record


def jobs_in(folder: Path, *names: str) -> list[Job]:
    return [Job(OmegaConf.create({"loss": {}}), folder / "mse" / name) for name in names]


def record(job: Job, status: str) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    write_record(job.folder, new_record() | {"status": status})


def statuses(*parts: list[Job]) -> list[str]:
    return [read_record(job.folder)["status"] for part in parts for job in part]


def train_or_die(jobs, deaths=1):
    """Train the jobs; the process whose first job is "a" is killed so many times."""
    for job in jobs:
        record(job, "running")
    died = [jobs[0].folder / f"died{number}" for number in range(deaths)]
    left = [path for path in died if not path.exists()]
    if left and jobs[0].folder.name == "a":
        left[0].touch()
        os.kill(os.getpid(), signal.SIGKILL)
    for job in jobs:
        record(job, "done")
    return [(jobs[0], "left")]


def test_others_finish_and_a_killed_process_starts_again_once(tmp_path, capfd):
    parts = [jobs_in(tmp_path, "a", "b"), jobs_in(tmp_path, "c"), jobs_in(tmp_path, "d")]
    left = list(train_in_workers(parts, 2, train_or_die))
    assert statuses(*parts) == ["done"] * 4
    assert sorted(job.folder.name for ((job, _),) in left) == ["a", "c", "d"]
    told = capfd.readouterr().err
    assert told == "the process of mse/a, mse/b ended by SIGKILL: they start again\n"


def train_or_die_twice(jobs):
    return train_or_die(jobs, deaths=2)


def test_a_process_that_is_killed_again_is_left_interrupted(tmp_path, capfd):
    parts = [jobs_in(tmp_path, "a", "b"), jobs_in(tmp_path, "c")]
    list(train_in_workers(parts, 2, train_or_die_twice))
    assert statuses(*parts) == ["interrupted", "interrupted", "done"]
    assert capfd.readouterr().err.splitlines()[1:] == [
        "the process of mse/a, mse/b ended by SIGKILL"
    ]


def test_a_process_without_memory_starts_again_in_smaller_stacks(tmp_path, monkeypatch, capfd):
    counts = iter(range(100))
    monkeypatch.setattr(workers, "oom_kills", lambda: next(counts))
    part = jobs_in(tmp_path, "a", "b", "c", "d")
    left = list(train_in_workers([part], 2, train_or_die))
    assert statuses(part) == ["done"] * 4
    assert len(left) == 2
    assert capfd.readouterr().err.endswith(
        "by SIGKILL, for lack of memory: they start again, in 2 stacks\n"
    )


SLEEPING = """
import sys, time
from pathlib import Path
from losslab.config.errors import cli_errors
from losslab.lockstep.workers import train_in_workers

def train(folders):
    folders[0].joinpath("begun").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        folders[0].joinpath("interrupted").touch()
        raise

folders = [[Path(name)] for name in sys.argv[1:]]
with cli_errors():
    list(train_in_workers(folders, 2, train))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)],
    ids=["SIGKILL", "SIGTERM", "SIGINT"],
)
def test_no_process_outlives_the_main_one(warm, tmp_path, number, code):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    script, errors = tmp_path / "sleeping.py", tmp_path / "errors.txt"
    script.write_text(SLEEPING)
    main = warm.start([script, *folders], tmp_path, err=errors)
    wait_for(lambda: all((folder / "begun").exists() for folder in folders), 60)
    children = psutil.Process(main.pid).children()
    assert len(children) == 2
    main.send_signal(number)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert all((folder / "interrupted").exists() for folder in folders)
    assert main.wait(60) == code
    assert errors.read_text() == ("" if number == signal.SIGKILL else "interrupted\n")


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
