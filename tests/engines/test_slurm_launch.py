"""What hydra/launcher=slurm submits, to a real Slurm."""

import subprocess

import pytest

from losslab.config.errors import UserError
from losslab.engines import slurm as engine
from losslab.engines.launched import read_launched, waiting_units
from losslab.engines.options import SlurmOptions
from losslab.engines.slurm_task import Task
from losslab.units import Unit
from losslab.work import show_outcome
from wait_for_slurm import wait_for

pytestmark = pytest.mark.slow

CALL = """
import os, sys, time
with open("calls", "a") as file:
    print(*sys.argv[1:], file=file)
time.sleep(float(os.environ["SECONDS_PER_CALL"]))
"""


@pytest.fixture
def sweep(slurm, tmp_path, monkeypatch):
    """A sweep with three units left, whose commands are written down instead of run."""
    left = [Unit(number, [], stacked=False) for number in (1, 2, 4)]
    monkeypatch.setattr(engine, "unfinished", lambda folder: left)
    monkeypatch.setattr(engine, "_losslab", lambda *arguments: Task("-c", CALL, *arguments))
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.2)
    monkeypatch.setenv("SECONDS_PER_CALL", "0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep").mkdir()
    return tmp_path / "sweep"


def calls(sweep):
    return [line.split() for line in (sweep.parent / "calls").read_text().splitlines()]


def test_each_unit_is_a_task_and_the_report_comes_last(sweep, monkeypatch):
    monkeypatch.setattr(engine, "ARRAY_SIZE", 2)
    engine.launch(sweep, SlurmOptions(partition="main", sbatch=["--nice=5"]))
    launched = read_launched(sweep)
    assert (launched.engine, launched.waits) == ("slurm", False)
    [array, single] = launched.jobs
    assert launched.units == {f"{array}_0": 1, f"{array}_1": 2, single: 4}
    engine.wait([launched.report])
    *of_units, of_report = calls(sweep)
    assert sorted(of_units) == [["work", str(sweep), "--unit", each] for each in "124"]
    assert of_report == ["report", str(sweep)]


def test_the_command_can_wait_and_tells_what_it_waits_for(sweep, capsys):
    engine.launch(sweep, SlurmOptions(wait=True, array_parallelism=2))
    assert len(calls(sweep)) == 3
    launched = read_launched(sweep)
    assert (launched.waits, launched.report) == (True, None)
    told = capsys.readouterr().err
    assert told.startswith("slurm     tasks  units\n")
    assert any(line.startswith("running       ") and "(" in line for line in told.splitlines())


def test_units_in_the_queue_are_not_submitted_again(sweep, monkeypatch):
    monkeypatch.setenv("SECONDS_PER_CALL", "100")
    engine.launch(sweep, SlurmOptions(report=False))
    first = read_launched(sweep)
    subprocess.run(["scancel", next(iter(first.units))], check=True)  # that of unit 1
    engine.wait([next(iter(first.units))])
    engine.launch(sweep, SlurmOptions(report=False))
    second = read_launched(sweep)
    assert list(second.units.values()) == [2, 4, 1]
    assert set(second.units) & set(first.units) == set(list(first.units)[1:])
    subprocess.run(["scancel", *second.jobs], check=True)


def test_a_report_says_which_units_are_in_the_queue(sweep, monkeypatch, capsys):
    monkeypatch.setenv("SECONDS_PER_CALL", "100")
    engine.launch(sweep, SlurmOptions(report=False, array_parallelism=1))
    launched = read_launched(sweep)
    runs = [{"folder": "mse/seed0", "overrides": []}]
    units = [Unit(number, runs, stacked=False) for number in launched.units.values()]
    wait_for(lambda: len(waiting_units(sweep)) == 2, launched.jobs)
    capsys.readouterr()
    assert show_outcome(sweep, units[1:]) == 1
    told = capsys.readouterr().err.splitlines()
    [job] = launched.jobs
    assert told == [
        f"unit {n} is in the queue of Slurm: job {job}_{k}" for n, k in ((2, 1), (4, 2))
    ]
    subprocess.run(["scancel", job], check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            SlurmOptions(partition="fast"),
            "Slurm refuses sbatch --partition=fast .*invalid partition",
        ),
        (SlurmOptions(gpus=1), "--gpus-per-node=1 .*Invalid generic resource"),
        (SlurmOptions(mem="lots"), "--mem=lots .*Invalid --mem specification"),
        (SlurmOptions(sbatch=["--nonsense=1"]), "--nonsense=1 .*unrecognized option"),
        (SlurmOptions(account="a\nb"), "must be one line"),
        (SlurmOptions(time="soon"), "hydra.launcher.time must be .*, got soon"),
    ],
    ids=["partition", "gpus", "mem", "sbatch", "line", "time"],
)
def test_what_slurm_refuses_is_refused_before_anything_is_submitted(slurm, options, message):
    with pytest.raises(UserError, match=message):
        engine.require_slurm(options)
