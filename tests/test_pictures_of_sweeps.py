"""Which runs of a sweep draw their predictions."""

import pytest

from losslab import cli
from losslab.runs.folder import RunFolder, find_runs
from losslab.runs.saved_sweep import first_seed

QUICK = ["data=digits", "trainer.max_epochs=1", "trainer=cpu", "model=mlp"]


def drawn(sweep):
    return [run.name for run in find_runs(sweep) if any(RunFolder(run).figures.glob("*.png"))]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["lockstep", "basic"])
def test_those_that_the_report_shows(tmp_path, launcher, capsys):
    sweep = tmp_path / "sweep"
    engine = f"hydra/launcher={launcher}"
    line = ["-m", "loss=cross_entropy", "seed=4,3", *QUICK, f"hydra.sweep.dir={sweep}", engine]
    assert cli.run(line) == 0
    assert first_seed(sweep) == 3
    assert drawn(sweep) == ["seed3"]
    before = [path.name for path in RunFolder(sweep / "cross_entropy" / "seed3").figures.iterdir()]
    capsys.readouterr()
    other = sweep / "cross_entropy" / "seed4"
    assert cli.run(["evaluate", str(other), "--figures"]) == 0
    assert drawn(sweep) == ["seed3", "seed4"]
    assert sorted(path.name for path in RunFolder(other).figures.iterdir()) == sorted(before)
    assert cli.run([f"resume={sweep}", "seed=5", "callbacks.figures.seeds=all"]) == 0
    assert drawn(sweep) == ["seed3", "seed4", "seed5"]


def test_a_run_that_is_in_no_sweep_is_drawn(tmp_path):
    assert first_seed(tmp_path) is None


def test_a_damaged_sweep_file_does_not_end_a_run(tmp_path):
    (tmp_path / "sweep.json").write_text("{")
    assert first_seed(tmp_path) is None
