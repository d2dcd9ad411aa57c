"""Engines without an engine: the jobs of this process, and what is missing."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from losslab import cli, engines
from losslab.config.command import parse
from losslab.config.errors import UserError
from losslab.config.trust import Source
from losslab.engines import ray, slurm
from losslab.engines.launched import Launched, read_launched
from losslab.engines.launchers import for_launcher
from losslab.engines.options import RayOptions, SlurmOptions
from losslab.resume import saved_commands
from losslab.runs.claims import Claimed, claim
from losslab.runs.files import FileError
from losslab.sweep_file import write_commands
from losslab.work import _claimed


def test_slurm_must_be_on_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs Slurm's sbatch, which is not on PATH"):
        slurm.require_slurm(SlurmOptions())
    assert engines.is_gone("slurm:17@north") is None


REQUIRE = {
    "slurm": lambda: slurm.require_slurm(SlurmOptions()),
    "ray": lambda: ray.require_ray(RayOptions()),
}


def test_nothing_is_written_without_the_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = ["loss=mse,mae", "data=diabetes", f"hydra.sweep.dir={tmp_path}/sweep"]
    with pytest.raises(UserError, match="not on PATH"):
        cli.run(["-m", *sweep, "hydra/launcher=slurm"])
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(("engine", "require"), REQUIRE.items())
def test_a_missing_package_is_named_with_its_extra(engine, require, monkeypatch):
    monkeypatch.setattr(slurm.shutil, "which", lambda command: command)
    monkeypatch.setattr(f"losslab.engines.{engine}.is_installed", lambda module: False)
    with pytest.raises(UserError, match=rf"not installed: pip install .*\[{engine}\]"):
        require()


def test_a_cluster_must_answer(monkeypatch):
    monkeypatch.setattr(ray, "is_installed", lambda module: True)
    with pytest.raises(UserError, match=r"no cluster answers at 127.0.0.1:1: .*refused"):
        ray.require_ray(RayOptions(address="127.0.0.1:1"))


def test_other_engines_cannot_tell_whether_a_job_is_gone(monkeypatch):
    monkeypatch.setenv("LOSSLAB_JOB", "ray:12")
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # a cluster of Ray within a job of Slurm
    assert engines.own_job() == "ray:12"
    assert engines.is_gone("ray:12") is None


def test_what_was_launched_is_read_as_it_was_written(tmp_path):
    assert read_launched(tmp_path) is None
    launched = Launched("slurm", ["17"], waits=False, units={"17_0": 3}, report="18")
    launched.write(tmp_path)
    assert read_launched(tmp_path) == launched
    (tmp_path / "engine.json").write_text('{"version": 1}')
    with pytest.raises(FileError, match="lacks the fields engine, jobs"):
        read_launched(tmp_path)


def test_the_launcher_of_a_saved_sweep_counts_only_if_it_launches(tmp_path):
    overrides = ["loss=mse", "hydra/launcher=ray", "hydra.launcher.address=unknown:1"]
    write_commands(tmp_path, [parse(["-m", *overrides])], [], {})
    with pytest.raises(UserError, match=r"would use hydra\.launcher\.address"):
        saved_commands(tmp_path, trust=False)
    [command] = saved_commands(tmp_path, trust=False, launches=False)
    assert not [each for each in command.overrides if "launcher" in each]


def test_commands_that_need_the_results_wait_for_slurm():
    command = parse(["-m", "loss=mse"])
    assert for_launcher("slurm", command, waits=True)[-1] == "hydra.launcher.wait=true"
    assert for_launcher("slurm", command, waits=False) == ["hydra.launcher.trust=true"]
    assert for_launcher("lockstep", command, waits=True) == []
    not_ours = replace(command, source=Source(Path("sweep"), {}))
    assert for_launcher("ray", not_ours, waits=False) == []


def test_a_retry_of_a_task_waits_for_the_first_try(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_JOB", "ray:1")
    first = claim(tmp_path)
    threading.Timer(0.2, first.release).start()
    with _claimed(tmp_path) as second:
        assert second.number == first.number + 1
        monkeypatch.setenv("LOSSLAB_JOB", "ray:2")
        with pytest.raises(Claimed):
            _claimed(tmp_path)
