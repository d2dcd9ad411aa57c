"""Processes of joblib: none outlives the main one, not even one that has no job."""

import signal
import time
from types import SimpleNamespace

import psutil
import pytest

from hydra_plugins.job_sweeper import JobSweeper
from losslab.runs.folder import find_runs
from losslab.runs.record import read_record

LONG = ["-m", "loss=mse", "seed=0,1", "callbacks=quiet", "trainer=cpu", "trainer.max_epochs=9999"]


@pytest.mark.parametrize(("given", "jobs", "expected"), [(10, 3, 3), (2, 3, 2), (10, 0, 1)])
def test_joblib_starts_no_process_without_a_job(given, jobs, expected):
    sweeper = JobSweeper("jobs.json")
    sweeper.launcher = SimpleNamespace(joblib={"n_jobs": given})
    sweeper._limit_processes(jobs)
    assert sweeper.launcher.joblib == {"n_jobs": expected}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_no_process_of_joblib_outlives_the_main_one(warm, tmp_path, number, code):
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=4", f"paths.log_dir={tmp_path}"]
    main = warm.start(["-m", "losslab", *LONG, *joblib], tmp_path)
    while len(find_runs(tmp_path)) < 2:
        assert main.poll() is None
        time.sleep(0.05)
    children = psutil.Process(main.pid).children(recursive=True)
    main.send_signal(number)
    assert main.wait(60) == code
    assert not psutil.wait_procs(children, timeout=10)[1]
    runs = find_runs(tmp_path)
    assert [read_record(run)["status"] for run in runs] == ["interrupted"] * 2
