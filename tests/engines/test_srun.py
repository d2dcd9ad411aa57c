"""One run on two processes that Slurm starts."""

import subprocess
import sys

import pytest

from losslab.runs.folder import find_runs
from losslab.runs.record import read_record


@pytest.mark.slow
def test_the_processes_of_srun_train_one_run(slurm, tmp_path):
    line = ["srun", "--ntasks=2", "--immediate=60", sys.executable, "-m", "losslab"]
    given = ["loss=mse", "data.n=100", "trainer=ddp", "trainer.accelerator=cpu", "threads=1"]
    done = subprocess.run(
        [*line, *given, "trainer.max_epochs=1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [run] = find_runs(tmp_path)
    record = read_record(run)
    assert record["status"] == "done"
    assert record["steps"] == 1
    assert done.stdout.count("run folder") == 1
