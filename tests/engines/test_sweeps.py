"""A sweep that several engines train, one after the other."""

import subprocess

import pytest

from losslab import cli
from losslab.engines.launched import read_launched
from losslab.engines.slurm import wait
from losslab.runs.folder import find_runs
from losslab.runs.record import read_record

pytestmark = pytest.mark.slow

SWEEP = ["loss=mse,mae", "data=diabetes", "seed=0,1", "trainer.max_epochs=1", "trainer=cpu"]


def done(folder):
    """Return the time at which each run that is done was written."""
    runs = [run for run in find_runs(folder) if read_record(run)["status"] == "done"]
    return {
        f"{run.parent.name}/{run.name}": (run / "record.json").stat().st_mtime_ns for run in runs
    }


def test_a_sweep_of_slurm_goes_on_with_ray_and_grows_in_lockstep(
    slurm, ray_cluster, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    two_at_once = ["hydra.launcher.max_jobs=2", "hydra.launcher.array_parallelism=1"]
    sweep = [*SWEEP, "hydra.sweep.dir=sweep", "hydra/launcher=slurm", *two_at_once]
    assert cli.run(["-m", *sweep]) == 0
    launched = read_launched(tmp_path / "sweep")
    [array], report = launched.jobs, launched.report
    assert f"to end them: scancel {array} {report}" in capsys.readouterr().out
    subprocess.run(["scancel", f"{array}_1", report], check=True)
    wait([array])
    by_slurm = done(tmp_path / "sweep")
    assert len(by_slurm) == 2

    address = f"hydra.launcher.address={ray_cluster.address}"
    assert cli.run(["resume=sweep", "hydra/launcher=ray", address]) == 0
    by_ray = done(tmp_path / "sweep")
    assert len(by_ray) == 4
    assert by_slurm.items() <= by_ray.items()

    assert cli.run(["resume=sweep", "seed=0,1,2", "hydra/launcher=lockstep"]) == 0
    grown = done(tmp_path / "sweep")
    assert len(grown) == 6
    assert by_ray.items() <= grown.items()
