"""What a sweep that adds seeds says after a look, and which losses go on."""

import numpy as np
import pytest

from losslab import cli, sequential_sweep
from losslab.analysis.comparison import compare
from losslab.config.command import Command, parse
from losslab.config.errors import UserError
from losslab.runs.looks import Looks
from losslab.sweep_file import read_commands
from losslab.sweep_output import compared
from losslab.units import Unit


@pytest.fixture
def comparison(collected):
    """One of three losses is far off; splits are redrawn."""
    mae = np.linspace(1, 2, 8)
    maes = {"mse": list(5 - mae), "mae": list(mae), "huber": list(mae + [0.1, -0.1] * 4)}
    runs = collected(maes, sampling="redrawn", sizes={"train": 60, "val": 20, "test": 20})
    return compare(runs, looks=Looks(planned=(8, 32)))


def test_only_undecided_losses_go_on(comparison):
    assert sorted(sequential_sweep._undecided(comparison)) == ["huber", "mae"]


def test_a_look_is_told(comparison, capsys):
    sequential_sweep.tell(comparison, 8, (8, 32))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("look 1 of 2, 8 seeds: ")
    assert "better than mse" in first
    assert first.endswith("1 of 3 pairs undecided")
    assert second == ("the seeds share their samples: 8 of them hold 80 % of the information of 32")


def test_jobs_without_seeds():
    command = parse(["-m", "loss=mse,mae", "data=regression", "optimizer.lr=0.1", "seeds=auto"])
    shared, points = sequential_sweep._without_seeds(command)
    assert shared.overrides == ["data=regression", "optimizer.lr=0.1"]
    assert points == [["loss=mse"], ["loss=mae"]]
    listed = sequential_sweep._with_seeds(points, 1, 3)
    assert listed[:2] == [["loss=mse", "seed=1"], ["loss=mse", "seed=2"]]
    resumed = Command([], shared.overrides, multirun=True, resume=None, jobs=listed)
    assert sequential_sweep._without_seeds(resumed) == (resumed, points)


def test_one_loss_has_nothing_to_compare():
    with pytest.raises(UserError, match="at least two"):
        sequential_sweep._without_seeds(parse(["-m", "loss=mse", "seeds=auto"]))


SWEEP = [
    *("loss=mse,mae,huber", "data=regression", "data.outliers=0.1", "trainer.max_epochs=4"),
    *("trainer=cpu", "callbacks=quiet", "logger.events=false", "seeds=auto", "looks=[8,9]"),
]


def work(folder, capsys):
    """Train all units; return the commands that are told to come next."""
    assert cli.run(["work", str(folder), "--all"]) == 0
    return [line for line in capsys.readouterr().err.splitlines() if line.endswith(str(folder))]


def reported(folder, capsys):
    """Report a sweep; return the exit code and the last lines on stdout and stderr."""
    code = cli.run(["report", str(folder)])
    told = capsys.readouterr()
    return code, told.out.splitlines()[-1], told.err.splitlines()[-1]


@pytest.mark.slow
def test_planned_blocks_are_those_that_one_command_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("losslab.report.console.write_report", lambda *given: given[1])  # figures
    one, planned = tmp_path / "one", tmp_path / "planned"
    assert cli.run(["-m", *SWEEP, f"hydra.sweep.dir={one}"]) == 0

    assert cli.run(["plan", *SWEEP, f"hydra.sweep.dir={planned}"]) == 0
    again = f"losslab plan resume={planned}"
    assert capsys.readouterr().out.endswith(f"after them, to compare 8 seeds: {again}\n")
    no_look = "no look yet: the first of 2 compares 8 seeds"
    assert reported(planned, capsys)[:2] == (1, no_look)
    assert [each.endswith(again) for each in work(planned, capsys)] == [True]
    first = (
        "look 1 of 2, 8 seeds: huber better than mse; mae better than mse; 1 of 3 pairs undecided"
    )
    more = f"undecided losses get more seeds: {again}"
    assert reported(planned, capsys) == (1, first, more)

    for _ in range(2):  # the same block is planned once
        assert cli.run(again.split()[1:]) == 0
        assert "\n26 jobs in 1 of 2 units; to train one: " in capsys.readouterr().out
    (code, look, hint) = reported(planned, capsys)
    assert (code, look) == (1, first)
    assert f"losslab work {planned}" in hint
    work(planned, capsys)
    assert reported(planned, capsys)[:2] == (0, "look 2 of 2, 9 seeds: 1 of 3 pairs undecided")
    assert cli.run(again.split()[1:]) == 0
    assert "no further look" in capsys.readouterr().out

    assert (planned / "looks.json").read_bytes() == (one / "looks.json").read_bytes()
    assert decisions(planned) == decisions(one)
    assert read_commands(planned)[-1].typed[:-1] == ["-m", *SWEEP]


def decisions(folder):
    [table] = compared(folder).tables
    return {
        (pair.a, pair.b): (pair.test.p, pair.looks, pair.verdict, pair.decided_after)
        for pair in table.pairs
    }


@pytest.mark.parametrize(
    ("ended", "look"), [({}, 0), ({0: 2, 1: 1}, 0), ({0: 2, 1: 2, 2: 1}, 2), ({0: 2, 1: 2}, 2)]
)
def test_a_look_needs_all_runs_of_its_seeds(ended, look, tmp_path, monkeypatch):
    """Of each seed, this number of two losses has ended."""

    def has_ended(run):
        return int(run.name) < ended.get(int(run.parent.name), 0)

    monkeypatch.setattr(sequential_sweep, "has_ended", has_ended)
    runs = [
        {"folder": f"{seed}/{loss}", "overrides": [f"loss={loss}", f"seed={seed}"]}
        for seed in range(3)
        for loss in range(2)
    ]
    units = [Unit(1, runs[:4], stacked=True), Unit(2, runs[4:], stacked=True)]
    assert sequential_sweep.last_look(tmp_path, units, (2, 3)) == look
    assert sequential_sweep.last_look(tmp_path, units[:1], (2, 3)) == look
