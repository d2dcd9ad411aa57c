"""Damaged files of runs, sweeps and tunings: named in one line, and nothing of them is accepted."""

import json
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from losslab import cli
from losslab.analysis.load import collect
from losslab.commands.compare import with_tuning
from losslab.runs.check import needs_running
from losslab.runs.files import LaterVersionError
from losslab.runs.folder import find_runs
from losslab.runs.record import read_record

PAST = Path(__file__).parent / "past" / "v0_1"
SMALL = ["data=regression", "data.n=60", "trainer=cpu", "trainer.max_epochs=2", "threads=1"]


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def noise(path):
    path.write_bytes(random.Random(0).randbytes(1000))


def folder(path):
    path.unlink()
    path.mkdir()


BYTES = {
    "half": half,
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "noise": noise,
    "folder": folder,
    "not UTF-8": lambda path: path.write_bytes(b"caf\xe9\n" + path.read_bytes()),
}


def changed(read, write, change):
    def damage(path):
        content = read(path)
        path.write_text(write(change(content)))

    return damage


def as_json(change):
    return changed(lambda path: json.loads(path.read_text()), json.dumps, change)


def as_yaml(change):
    return changed(lambda path: yaml.safe_load(path.read_text()), yaml.safe_dump, change)


def as_lines(change):
    return changed(lambda path: path.read_text().splitlines(), "\n".join, change)


def without(name):
    return lambda content: {key: value for key, value in content.items() if key != name}


def having(name, value):
    return lambda content: content | {name: value}


RECORD = {
    "list": as_json(lambda content: [content]),
    "no field": as_json(without("best")),
    "type": as_json(having("test", 3)),
    "type within": as_json(having("hashes", {"data": 3})),
    "nan": as_json(having("seconds", float("nan"))),
    "huge": as_json(having("epochs", 10**30)),
    "version": as_json(having("schema", 0)),
}
CONFIG = {
    "list": as_yaml(lambda content: [content]),
    "no field": as_yaml(without("task")),
    "type": as_yaml(having("seed", "zero")),
    "type within": as_yaml(having("overrides", [3])),
    "nan": as_yaml(having("seed", float("nan"))),
}
CURVES = {
    "list": lambda path: path.write_text("[]\n"),
    "no field": as_lines(lambda lines: [line.partition(",")[2] for line in lines]),
    "type": as_lines(lambda lines: [*lines[:3], "one,2,3,val/mae,4", *lines[3:], ""]),
    "columns": as_lines(lambda lines: [*lines[:3], "0,1,0.1,val/mae,4,5", *lines[3:], ""]),
    "huge": as_lines(lambda lines: [*lines[:3], f"0,{10**30},0.1,val/mae,4", *lines[3:], ""]),
    "fewer rows": as_lines(lambda lines: [*lines[:-2], ""]),
}
OF_A_RUN = {"record.json": RECORD, "config.yaml": CONFIG, "metrics.csv": CURVES, "scores.npz": {}}
CASES = [
    (file, name, damage) for file, own in OF_A_RUN.items() for name, damage in (BYTES | own).items()
]
IDS = [f"{file}: {name}" for file, name, _ in CASES]


def command(monkeypatch, capsys, *arguments):
    """Run a command in this process; return its exit code, output and errors."""
    monkeypatch.setattr(sys, "argv", ["losslab", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    return ended.value.code, told.out, told.err


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A sweep of two losses and two seeds."""
    logs = tmp_path_factory.mktemp("made")
    alone = "hydra/launcher=basic"
    cli.run(["-m", "loss=mse,mae", "seed=0,1", alone, *SMALL, f"paths.log_dir={logs}"])
    [place] = (logs / "sweeps").iterdir()
    return place


@pytest.fixture
def sweep(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "sweep"))


@pytest.fixture
def run(sweep):
    return find_runs(sweep)[0]


def refused(outcome, file):
    """Whether a command said what is wrong with a file in one line."""
    code, _, err = outcome
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    return code == 2 and len(lines) == 1 == len(err.splitlines()) and file in lines[0]


@pytest.mark.parametrize(("file", "name", "damage"), CASES, ids=IDS)
def test_a_damaged_run_is_left_out_and_made_again(run, sweep, file, name, damage):
    damage(run / file)
    found = collect([sweep])
    assert run not in [each.folder for each in found.runs]
    assert len(found.runs) == 3
    [unreadable] = found.unreadable
    assert unreadable.folder == run
    assert file in unreadable.reason
    assert unreadable.reason.endswith(f"left out: resume={sweep} makes it again")
    assert "\n" not in unreadable.reason
    assert needs_running(run)


@pytest.mark.parametrize(("file", "name", "damage"), CASES, ids=IDS)
def test_a_damaged_run_is_not_resumed(run, monkeypatch, capsys, file, name, damage):
    if file == "scores.npz" or name == "fewer rows":
        pytest.skip("a run that resumes writes its scores and test metrics again")
    damage(run / file)
    assert refused(command(monkeypatch, capsys, f"resume={run}"), file)
    if file != "metrics.csv":
        assert refused(command(monkeypatch, capsys, "evaluate", run), file)


def in_checkpoint(change):
    def damage(path):
        saved = torch.load(path, weights_only=True)
        change(saved)
        torch.save(saved, path)

    return damage


def first_state(saved):
    return saved["optimizer_states"][0]["state"][0]


CHECKPOINT = {
    "list": lambda path: torch.save([1, 2], path),
    "no weights": in_checkpoint(lambda saved: saved.pop("state_dict")),
    "weights of a type": in_checkpoint(lambda saved: saved.update(state_dict=3)),
    "one weight": in_checkpoint(lambda saved: saved["state_dict"].popitem()),
    "shape": in_checkpoint(
        lambda saved: saved["state_dict"].update({"network.0.weight": torch.zeros(2, 2)})
    ),
}
LAST = CHECKPOINT | {
    "no loops": in_checkpoint(lambda saved: saved.pop("loops")),
    "no counter": in_checkpoint(
        lambda saved: saved["loops"]["fit_loop"]["epoch_progress"].pop("current")
    ),
    "no steps": in_checkpoint(
        lambda saved: saved["loops"]["fit_loop"].pop(
            "epoch_loop.automatic_optimization.optim_progress"
        )
    ),
    "no epoch": in_checkpoint(lambda saved: saved.pop("epoch")),
    "step of a type": in_checkpoint(lambda saved: saved.update(global_step="four")),
    "no optimizer": in_checkpoint(lambda saved: saved.pop("optimizer_states")),
    "no state": in_checkpoint(lambda saved: saved["optimizer_states"][0]["state"].clear()),
    "no moment": in_checkpoint(lambda saved: first_state(saved).pop("exp_avg")),
    "shape of a moment": in_checkpoint(
        lambda saved: first_state(saved).update(exp_avg=torch.zeros(3))
    ),
    "no learning rate": in_checkpoint(
        lambda saved: saved["optimizer_states"][0]["param_groups"][0].pop("lr")
    ),
    "schedulers": in_checkpoint(lambda saved: saved.pop("lr_schedulers")),
}


@pytest.mark.parametrize(
    ("which", "name"),
    [("best", name) for name in BYTES | CHECKPOINT] + [("last", name) for name in BYTES | LAST],
)
def test_a_damaged_checkpoint_is_refused(run, monkeypatch, capsys, which, name):
    (BYTES | LAST)[name](run / "checkpoints" / f"{which}.ckpt")
    given = ["evaluate", run] if which == "best" else [f"resume={run}", "trainer.max_epochs=3"]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert refused(command(monkeypatch, capsys, *given), f"{which}.ckpt")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_of_a_later_version_is_left_alone(run, sweep, monkeypatch, capsys):
    as_json(having("schema", 2))(run / "record.json")
    assert len(collect([sweep]).runs) == 3
    with pytest.raises(LaterVersionError):
        needs_running(run)
    for given in (f"resume={sweep}", f"resume={run}"):
        outcome = command(monkeypatch, capsys, given)
        assert refused(outcome, "record.json")
        assert "update losslab" in outcome[2]


OF_A_SWEEP = {
    "list": as_json(lambda content: [content]),
    "type": as_json(having("version", "two")),
    "nan": as_json(having("version", float("nan"))),
    "version": as_json(having("version", 99)),
}
SWEEP_CASES = {
    "sweep.json": BYTES | OF_A_SWEEP | {"no field": as_json(without("commands"))},
    "looks.json": BYTES | OF_A_SWEEP | {"no field": as_json(without("looks"))},
}


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, damages in SWEEP_CASES.items() for name in damages]
)
def test_a_damaged_sweep_is_not_resumed_but_reported(sweep, monkeypatch, capsys, file, name):
    SWEEP_CASES[file][name](sweep / file)
    assert refused(command(monkeypatch, capsys, f"resume={sweep}"), file)
    found = collect([sweep])
    assert len(found.runs) == 4
    [unreadable] = found.unreadable
    assert unreadable.reason.startswith(file)


@pytest.mark.slow
def test_a_sweep_makes_its_damaged_runs_again(made, sweep, monkeypatch, capsys):
    places = find_runs(sweep)
    half(places[0] / "record.json")
    folder(places[1] / "record.json")
    folder(places[1] / "config.yaml")
    half(places[2] / "metrics.csv")
    noise(places[3] / "checkpoints" / "best.ckpt")
    (sweep / "multirun.yaml").write_bytes(b"\xff")
    code, _, err = command(monkeypatch, capsys, f"resume={sweep}")
    assert (code, err.count("job ")) == (0, 4)
    for before, after in zip(find_runs(made), places, strict=True):
        assert read_record(after)["test"] == read_record(before)["test"]
    assert not collect([sweep]).unreadable


def test_a_report_names_what_it_leaves_out(sweep, monkeypatch, capsys):
    first, second, third, _ = find_runs(sweep)
    half(first / "record.json")
    half(second / "metrics.csv")
    noise(sweep / "sweep.json")
    noise(sweep / "looks.json")
    for path in (third / "figures").glob("*.npz"):
        half(path)
    for path in third.glob("events.*"):
        noise(path)
    code, out, err = command(monkeypatch, capsys, "compare", sweep)
    assert (code, err) == (0, "")
    for file in ("record.json", "metrics.csv", "sweep.json", "looks.json", "test_fit.npz"):
        [line] = [line for line in out.splitlines() if file in line]
        assert line.startswith("cannot read ")
    assert (sweep / "report" / "report.html").is_file()


PLAN = {
    "list": as_json(lambda content: [content]),
    "no field": as_json(without("points")),
    "type": as_json(having("budget", "many")),
    "type within": as_json(having("points", {"mse": [3], "huber": []})),
    "losses": as_json(having("losses", ["mse", "mae"])),
    "nan": as_json(having("budget", float("nan"))),
    "version": as_json(having("later", 1)),
}


@pytest.mark.parametrize("name", BYTES | PLAN)
def test_a_damaged_tuning_is_not_resumed_but_reported(tmp_path, monkeypatch, capsys, name):
    place = Path(shutil.copytree(PAST / "tuning", tmp_path / "tuning"))
    (BYTES | PLAN)[name](place / "tuning.json")
    outcome = command(monkeypatch, capsys, "tune", f"resume={place}")
    assert refused(outcome, "tuning.json")
    collection, tuning = with_tuning(collect([place]), [place])
    assert tuning is None
    assert collection.runs
    assert collection.unreadable[-1].reason.startswith("tuning.json")
