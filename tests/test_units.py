"""Sweeps that are planned by one command and trained, unit by unit, by others."""

import json
import shutil
from pathlib import Path

import pytest

from losslab import cli
from losslab.config.command import all_jobs, parse
from losslab.config.jobs import compose_jobs
from losslab.job_checks import placed
from losslab.runs import claims
from losslab.runs.claims import claim
from losslab.runs.curves import read_curves
from losslab.runs.folder import RunFolder, find_runs
from losslab.runs.record import read_record
from losslab.sweep import plan
from losslab.units import Unit, plan_units, read_units, unfinished, write_units

QUICK = ["trainer.max_epochs=1", "trainer=cpu", "callbacks=quiet", "model=mlp"]
LOSSES = ["loss=cross_entropy,focal", "data=digits", "seed=0,1", *QUICK]
TWO_STACKS = "hydra.launcher.max_jobs=2"


def divided(folder, *overrides):
    """Return the units into which a command divides its jobs, without checking them."""
    command = parse(["-m", *overrides])
    return plan_units(folder, command, placed(compose_jobs(all_jobs(command)), folder))


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A sweep of two units with two runs each."""
    folder = tmp_path_factory.mktemp("planned") / "sweep"
    assert cli.run(["plan", *LOSSES, TWO_STACKS, f"hydra.sweep.dir={folder}"]) == 0
    return folder


@pytest.fixture
def sweep(planned, tmp_path):
    return Path(shutil.copytree(planned, tmp_path / "sweep"))


def work(folder, *arguments):
    return cli.run(["work", str(folder), *map(str, arguments)])


def statuses(folder):
    runs = find_runs(folder)
    return {f"{run.parent.name}/{run.name}": read_record(run)["status"] for run in runs}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], [(True, 4)]),
        (["hydra.launcher.max_jobs=3"], [(True, 2), (True, 2)]),
        (["hydra.launcher.max_jobs=1"], [(False, 1)] * 4),
        (["hydra/launcher=basic"], [(False, 1)] * 4),
        (["model.hidden=[4],[5]"], [(True, 4), (True, 4)]),
        (["compile=true"], [(False, 1)] * 4),
    ],
    ids=["one stack", "two stacks", "stacks of one", "basic", "two networks", "no stacks"],
)
def test_a_unit_is_a_stack_or_a_run(tmp_path, overrides, expected):
    units = divided(tmp_path, *LOSSES, *overrides)
    assert [(unit.stacked, len(unit.runs)) for unit in units] == expected
    assert [unit.number for unit in units] == list(range(1, len(units) + 1))
    assert read_units(tmp_path) == unfinished(tmp_path) == units


def test_the_runs_of_a_stack_have_few_losses(tmp_path):
    losses = "loss=cross_entropy,focal,hinge,bce"
    units = divided(tmp_path, "seed=0,1", losses, *QUICK, TWO_STACKS)
    assert [len({run["folder"].split("/")[0] for run in unit.runs}) for unit in units] == [1] * 4


def test_units_keep_their_numbers_when_a_sweep_grows(tmp_path):
    before = divided(tmp_path, *LOSSES, TWO_STACKS)
    more = [each.replace("seed=0,1", "seed=0,1,2") for each in LOSSES]
    grown = divided(tmp_path, *more, TWO_STACKS, "threads=2")
    assert [[run["folder"] for run in unit.runs] for unit in grown] == [
        *([run["folder"] for run in unit.runs] for unit in before),
        ["cross_entropy/seed2", "focal/seed2"],
    ]
    assert all("threads=2" in run["overrides"] for unit in grown for run in unit.runs)


def test_another_launcher_divides_the_units_that_nobody_has_begun(tmp_path):
    first, second = divided(tmp_path, *LOSSES, TWO_STACKS)
    first.claims(tmp_path).mkdir(parents=True)
    units = divided(tmp_path, *LOSSES, "hydra/launcher=basic")
    assert [(unit.number, list(unit.runs)) for unit in units] == [
        (1, first.runs),
        *((number, [run]) for number, run in enumerate(second.runs, 3)),
    ]
    assert unfinished(tmp_path) == units  # unit 2 is empty
    assert divided(tmp_path, *LOSSES, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2") == units


def test_a_plan_trains_nothing_and_says_what_to_do(planned, capsys):
    assert not find_runs(planned)
    assert cli.run(["plan", f"resume={planned}"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"sweep folder: {planned}",
        f"4 jobs in 2 units; to train one: losslab work {planned} --next",
    ]


def test_workers_train_each_unit_once(sweep, capsys):
    assert work(sweep, "--next") == 0
    assert statuses(sweep) == {"cross_entropy/seed0": "done", "cross_entropy/seed1": "done"}
    written = {run: (run / "record.json").read_bytes() for run in find_runs(sweep)}
    assert work(sweep, "--unit", 1) == 0
    assert [unit.number for unit in unfinished(sweep)] == [2]
    assert work(sweep, "--all") == 0
    assert set(statuses(sweep).values()) == {"done"}
    assert len(statuses(sweep)) == 4
    assert all((run / "record.json").read_bytes() == text for run, text in written.items())
    assert work(sweep, "--next") == 0
    assert f"2 units of {sweep}: done" in capsys.readouterr().err
    assert cli.run(["plan", f"resume={sweep}"]) == 0
    next_step = f"none of them left; to compare them: losslab report {sweep}"
    assert capsys.readouterr().out.splitlines()[-1] == f"4 jobs in 2 units, {next_step}"


def test_one_process_at_a_time_adds_units(tmp_path, monkeypatch):
    """Another one adds units while this one waits for its turn."""
    other = claim_of(tmp_path / "units" / "plan")

    def meanwhile(seconds):
        divided(tmp_path, "loss=mse", "data=regression", "seed=0", *QUICK)
        other.release()

    monkeypatch.setattr(claims.time, "sleep", meanwhile)
    command = parse(["-m", "loss=mae", "data=regression", "seed=0", *QUICK])
    plan(command, placed(compose_jobs(all_jobs(command)), tmp_path), tmp_path)
    assert [run["folder"] for unit in read_units(tmp_path) for run in unit.runs] == [
        "mse/seed0",
        "mae/seed0",
    ]


@pytest.mark.slow
def test_workers_that_race_train_each_run_once(planned, warm, tmp_path):
    small = ["loss=mse", "data=regression", "data.n=40", "seed=range(40)", *QUICK]
    units = divided(tmp_path, *small, TWO_STACKS)
    shutil.copy(planned / "sweep.json", tmp_path)
    assert len(units) == 20
    command, out = ["-m", "losslab", "work", tmp_path, "--all"], tmp_path / "out"
    workers = [warm.start(command, tmp_path, out=out, err=out) for _ in range(4)]
    codes = [worker.wait() for worker in workers]
    assert set(codes) <= {0, 1}, out.read_text()  # 1: others still trained
    runs = find_runs(tmp_path)
    assert len(runs) == 40
    assert set(statuses(tmp_path).values()) == {"done"}, out.read_text()
    assert {len(RunFolder(run).events) for run in runs} == {1}
    assert len({len(read_curves(run)) for run in runs}) == 1
    assert not any(read_record(run)["resumed"] for run in runs)
    assert not list(tmp_path.glob("mse/*/claim.*"))
    assert len({read_record(run)["pid"] for run in runs}) > 1


def test_units_of_other_workers_are_left_to_them(sweep, capsys):
    with claimed(sweep, 1), claimed(sweep, 2):
        assert work(sweep, "--unit", 1) == 1
        assert "unit 1 is running: process" in capsys.readouterr().err
        assert work(sweep, "--next") == 1
        assert work(sweep, "--all") == 1
        told = capsys.readouterr().err
        assert told.count("unit 1 is running: ") == told.count("unit 2 is running: ") == 2
        assert "again" not in told
    assert not find_runs(sweep)


def test_a_report_at_any_time(sweep, capsys, monkeypatch):
    assert work(sweep, "--next") == 0
    with claimed(sweep, 2):
        assert cli.run(["report", str(sweep)]) == 1
    told = capsys.readouterr()
    assert f"report: {sweep / 'report'}" in told.out
    assert "unit 2 is running: process" in told.err
    assert (sweep / "+mean").is_dir()
    monkeypatch.setattr("losslab.sweep_output.show_comparison", lambda folder, below: None)
    assert cli.run(["report", str(sweep)]) == 1
    assert "not trained: focal/seed0, focal/seed1" in capsys.readouterr().err
    write_units(sweep, read_units(sweep)[:1])
    assert cli.run(["report", str(sweep)]) == 0


def claimed(sweep, number):
    return claim_of(sweep / "units" / str(number))


def claim_of(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return claim(folder)


def test_a_failed_unit_is_tried_again_only_if_it_is_asked_for(sweep, capsys):
    units = read_units(sweep)
    write_units(sweep, [Unit(1, [diverging(run) for run in units[0].runs[:1]], stacked=False)])
    assert work(sweep, "--next") == 1
    assert "failed: cross_entropy/seed0: diverged" in capsys.readouterr().err
    [run] = find_runs(sweep)
    ended = read_record(run)["heartbeat"]
    assert work(sweep, "--next") == 1
    assert read_record(run)["heartbeat"] == ended
    assert work(sweep, "--unit", 1) == 1
    assert read_record(run)["heartbeat"] > ended
    assert f"to run them again: losslab work {sweep} --unit 1" in capsys.readouterr().err


def diverging(run):
    return {**run, "overrides": [*run["overrides"], "optimizer=sgd", "optimizer.lr=1e30"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["work", "{sweep}", "--unit", "3"], "--unit must be between 1 and 2, got 3"),
        (["work", "{none}", "--next"], "is not the folder of a sweep: it has no sweep.json"),
        (["plan", "loss=mse", "seeds=auto"], "give at least two"),
        (["plan", "resume={none}"], "is not the folder of a sweep"),
        (["plan", "--next"], "unknown option --next"),
        (["report", "{none}"], "is not the folder of a sweep"),
    ],
)
def test_wrong_input(sweep, tmp_path, capsys, arguments, words):
    given = [each.format(sweep=sweep, none=tmp_path / "none") for each in arguments]
    with pytest.raises(SystemExit) as ended:
        cli.run(given)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_sweep_of_an_earlier_version_is_divided_when_it_is_resumed(sweep, capsys):
    (sweep / "units.json").unlink()
    with pytest.raises(SystemExit):
        work(sweep, "--next")
    assert f"has no units: losslab plan resume={sweep}" in capsys.readouterr().err
    assert cli.run(["plan", f"resume={sweep}"]) == 0
    assert len(read_units(sweep)) == 2


def test_the_runs_of_a_finished_unit_are_packed(sweep, capsys, monkeypatch):
    assert cli.run(["plan", f"resume={sweep}", "pack=true"]) == 0
    assert work(sweep, "--unit", 2) == 0
    before = [read_record(run) for run in find_runs(sweep)]
    assert [run.parent.name for run in find_runs(sweep)] == ["focal", "focal"]
    assert not list(sweep.glob("focal"))
    assert work(sweep, "--next") == 0
    capsys.readouterr()
    # no worker reads the runs of a unit that is packed
    monkeypatch.setattr("losslab.runs.check.read_record", lambda run: pytest.fail("was read"))
    assert work(sweep, "--next") == work(sweep, "--all") == work(sweep, "--unit", 1) == 0
    assert f"2 units of {sweep}: done" in capsys.readouterr().err
    monkeypatch.undo()
    assert cli.run(["report", str(sweep)]) == 0
    assert "after losslab export SWEEP/LOSS/SEED" in capsys.readouterr().out
    assert cli.run(["plan", f"resume={sweep}", "seed=0,1,2"]) == 0
    assert [len(unit.runs) for unit in unfinished(sweep)] == [2]
    assert [read_record(run) for run in find_runs(sweep / "focal")] == before
    assert cli.run(["export", str(sweep / "focal"), str(sweep / "focal" / "seed0")]) == 0
    told = capsys.readouterr().out.splitlines()[-2:]
    assert [each.rpartition(": ")[2] for each in told] == ["2 runs written", "all runs are on disk"]
    assert [read_record(run) for run in find_runs(sweep / "focal")] == before


def test_what_needs_the_files_of_a_packed_run_writes_them_back(sweep, capsys):
    assert cli.run(["plan", f"resume={sweep}", "pack=true"]) == 0
    assert work(sweep, "--all") == 0
    assert not list(sweep.glob("*/seed*"))
    assert cli.run(["evaluate", str(sweep / "focal" / "seed0")]) == 0
    assert cli.run([f"resume={sweep / 'focal' / 'seed1'}", "trainer.max_epochs=2"]) == 0
    weights = f"ckpt_path={sweep / 'cross_entropy' / 'seed0'}"
    one = ["loss=focal", "data=digits", *QUICK, weights, f"paths.log_dir={sweep / 'other'}"]
    assert cli.run(one) == 0
    assert len(list(sweep.glob("*/seed*"))) == 3
    assert {record["epochs"] for record in map(read_record, find_runs(sweep / "focal"))} == {1, 2}


def test_units_of_the_first_version_are_read(sweep):
    path = sweep / "units.json"
    content = json.loads(path.read_text())
    del content["pack"]
    path.write_text(json.dumps(content | {"version": 1}))
    assert len(read_units(sweep)) == 2
    assert work(sweep, "--all") == 0
    assert len(list(sweep.glob("*/seed*"))) == 4
