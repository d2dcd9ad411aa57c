"""The way from a sweep to an answer, and from its files to the same answer."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMPARE = "scripts/compare.py"
SWEEP = ["-m", "loss=mse,mae", "data.outliers=0.3", "seed=range(6)"]
QUICK = ["trainer.max_epochs=4", "callbacks=quiet", "logger.events=false"]


def report_of(text: str) -> Path:
    """What a comparison names as its report."""
    [line] = [line for line in text.splitlines() if line.startswith("report: ")]
    return Path(line.removeprefix("report: "))


def files(folder: Path) -> dict[str, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(folder: Path, **fields):
    """Make a run's record another."""
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture(scope="module")
def outcome(command_in, tmp_path_factory):
    """A sweep that came to its end."""
    outcome = command_in(tmp_path_factory.mktemp("swept"), *SWEEP, *QUICK)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture
def sweep(outcome, tmp_path):
    """A copy of its folder."""
    [folder] = (outcome.logs / "sweeps").iterdir()
    return shutil.copytree(folder, tmp_path / "sweep")


def test_a_sweep_ends_in_an_answer(outcome):
    for words in (
        "regression (data.outliers=0.3, trainer.max_epochs=4): test metrics, mean [95 % interval]",
        "mae is better than mse: mean absolute error -",
        "p = 0.031 (sign flips) for new samples, better for 6 of 6 seeds",
        "tensorboard --logdir",
    ):
        assert words in " ".join(outcome.out.split())
    assert report_of(outcome.out).is_file()


def test_the_files_give_the_same_answer_at_any_time(outcome, command):
    report = report_of(outcome.out).parent
    before = files(report)
    [sweep] = (outcome.logs / "sweeps").iterdir()
    again = command(str(sweep), script=COMPARE)
    assert again.code == 0, again.err
    assert again.out in outcome.out
    assert files(report) == before


def test_what_is_asked_for_is_shown(command, sweep, tmp_path):
    asked = command(
        *(str(sweep), "--baseline", "mse", "--metrics", "rmse", "--columns", "ref/huber"),
        *("--out", str(tmp_path / "asked")),
        script=COMPARE,
    )
    assert report_of(asked.out).parent == tmp_path / "asked"
    lines = [" ".join(line.split()) for line in asked.out.splitlines()]
    assert "loss seeds rmse ↓ ref/huber ↓ better than" in lines


def test_a_sweep_that_runs_and_that_failed_in_part(command, sweep):
    [*_, mse] = sorted(path for path in sweep.iterdir() if path.name.startswith("mse"))
    runs = sorted(mse.iterdir())
    elsewhere = {"host": "another", "heartbeat": 4e9}
    change(runs[0], status="running", test={}, **elsewhere)
    change(runs[1], status="failed", error={"kind": "diverged", "message": "nan", "step": 3})
    change(runs[2], status="running", test={}, heartbeat=0)
    (runs[3] / "record.json").write_text("{")
    partly = command(str(sweep), script=COMPARE)
    assert partly.code == 0, partly.err
    text = " ".join(partly.out.split())
    assert "2, 1 of 5 failed, 1 of 5 running, 1 of 5 missing" in text
    assert "underpowered with n = 2: no difference of any size can reach p < 0.05" in text
    assert "note: mse: 1 of 5 running, seed 0 (running)" in text
    assert "note: mse: 1 of 5 diverged, seed 1 (diverged at step 3: nan)" in text
    assert "note: mse: 1 of 5 missing, seed 2 (its process is gone)" in text
    assert f"cannot read {runs[3]}" in text


def test_folders_with_other_data_are_not_mixed(command, sweep, tmp_path):
    other = shutil.copytree(sweep, tmp_path / "other")
    for run in other.glob("*/seed*"):
        config = run / "config.yaml"
        config.write_text(config.read_text().replace("outliers: 0.3", "outliers: 0.2"))
        change(run, hashes={"data": f"another of {run.name}"})
    both = command(str(sweep), str(other), script=COMPARE)
    assert both.code == 0, both.err
    titles = re.findall(r"^regression, outliers=0\.\d", both.out, re.MULTILINE)
    assert titles == ["regression, outliers=0.3", "regression, outliers=0.2"]
    assert "on average over these 2 comparison groups" in both.out
    assert (tmp_path / report_of(both.out)).is_file()  # in a folder of reports/


def test_comparing_needs_no_torch(command_in, sweep):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "unneeded = ('torch', 'pytorch_lightning', 'hydra', 'scipy.stats')\n"
        "print([name for name in unneeded if name in sys.modules])"
    )
    script = Path(__file__).parents[2] / COMPARE
    done = subprocess.run(
        [sys.executable, "-c", code, str(script), str(sweep)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "report: " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere", "nowhere is not a folder"),
        ("empty", "no runs below empty"),
        ("broken", "no runs below broken: "),
        ("", "the following arguments are required"),
        ("empty --colums mae", "unknown argument --colums: did you mean --columns"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(command, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "seed0").mkdir(parents=True)
    (tmp_path / "broken" / "seed0" / "record.json").write_text("{")
    outcome = command(*arguments.split(), script=COMPARE)
    assert (outcome.code, outcome.out) == (2, "")
    [line] = outcome.err.splitlines()
    assert line.startswith(f"error: {message}")
