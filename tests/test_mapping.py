"""Maps as a user makes them: a small one in lockstep, resumed, killed, and trained by workers."""

import json
import signal
import time

import pandas as pd
import pytest

from losslab import cli, map_cost, mapping
from losslab.config.axes import Axis
from losslab.map_plan import parse_map
from losslab.runs.folder import find_runs
from losslab.runs.map_file import read_map, write_map

SMALL = ["loss=mse,mae", "x=data.outliers:0:0.2:2", "y=data.n:20:40:2", "trainer.max_epochs=2"]


# --- cost -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan():
    return parse_map([*SMALL[:1], "x=data.outliers:0:0.2:3", "y=data.n:20:100:3", "seeds=0,1"])


def test_the_cost_extrapolates_epochs_and_the_diagonal(plan, monkeypatch):
    """A cell that takes 1 s and n ms per epoch: Simpson's rule is exact for it."""
    tried = []

    def seconds(jobs, epochs, folder):
        [n] = {int(each[7:]) for job in jobs for each in job if each.startswith("data.n=")}
        tried.append((n, epochs, len(jobs)))
        return 1 + 0.001 * n * epochs

    monkeypatch.setattr(map_cost, "_seconds", seconds)
    # 80 epochs of 60 samples on average in 9 cells
    assert map_cost.estimated_seconds(plan) == pytest.approx(9 * (1 + 0.001 * 60 * 80))
    assert {(n, jobs) for n, _, jobs in tried} == {(20, 4), (60, 4), (100, 4)}
    assert max(epochs for _, epochs, _ in tried) <= map_cost.MOST_EPOCHS


def test_if_an_epoch_takes_long_only_some_seeds_are_tried(monkeypatch):
    plan = parse_map([*SMALL, "seeds=range(6)"])
    tried = []

    def seconds(jobs, epochs, folder):
        tried.append(len(jobs))
        return 2.0 * len(jobs)

    monkeypatch.setattr(map_cost, "_seconds", seconds)
    assert map_cost.estimated_seconds(plan) == pytest.approx(4 * 2 * 6 * 2.0)
    assert tried == [2 * 6, *(4 * [2 * map_cost.FEW_SEEDS])]


def test_the_cost_is_unknown_if_a_trial_fails(plan, monkeypatch):
    monkeypatch.setattr(map_cost, "_seconds", lambda jobs, epochs, folder: None)
    assert map_cost.estimated_seconds(plan) is None
    assert "unknown" in mapping._cost(plan)


@pytest.mark.slow
def test_a_dry_run_only_says_what_a_map_takes(capsys, tmp_path):
    given = [*SMALL, "seeds=0,1", "--dry-run", f"paths.log_dir={tmp_path / 'logs'}"]
    assert cli.run(["map", *given]) == 0
    size, needed, few, cost = capsys.readouterr().out.splitlines()
    assert size == "map: 2 x 2 cells (outliers, n), 2 losses, 2 seeds: 16 runs"
    assert needed.startswith("needed: 8 seeds or more for 4 comparisons")
    assert few == "with 2 seeds, no cell can be established if each seed draws new data"
    assert cost.startswith("estimated cost: ")
    assert cost.endswith(" s of processor time")
    assert not (tmp_path / "logs").exists()


# --- runs -----------------------------------------------------------------------------------------


def statuses(folder):
    return [json.loads((run / "record.json").read_text())["status"] for run in find_runs(folder)]


@pytest.mark.slow
def test_a_map_in_lockstep_that_gets_more_seeds_and_is_repaired(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mapping, "estimated_seconds", lambda plan: 60.0)
    folder = tmp_path / "map"
    assert cli.run(["map", *SMALL, "seeds=range(2)", f"hydra.sweep.dir={folder}"]) == 0
    out = capsys.readouterr().out
    assert "estimated cost: 60.0 s" in out
    assert "On regression, by mean absolute error: undecided: 4 of 4 cells." in out
    assert "at least 8 are needed" in out
    assert statuses(folder) == ["done"] * 16
    table = pd.read_csv(folder / "map.csv")
    assert sorted(zip(table["data.outliers"], table["data.n"], strict=True)) == [
        *((0.0, 20), (0.0, 40), (0.2, 20), (0.2, 40))
    ]
    assert set(table["seeds"]) == {2}
    assert set(table["established"]) == {"no"}
    for name in ("map.png", "map.svg", "map.md"):
        assert (folder / name).stat().st_size > 500

    assert cli.run(["map", f"resume={folder}", "seeds=range(3)"]) == 0
    assert len(find_runs(folder)) == 24
    assert read_map(folder).seeds == (0, 1, 2)
    assert set(pd.read_csv(folder / "map.csv")["seeds"]) == {3}
    for run in find_runs(folder)[:3]:
        (run / "record.json").unlink()
    capsys.readouterr()
    assert cli.run(["map", str(folder)]) == 1
    assert "without all results: 1 of 4 cells" in capsys.readouterr().out
    assert cli.run(["work", str(folder), "--all"]) == 0
    assert cli.run(["map", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "undecided: 4 of 4 cells" in out
    assert "3 seeds; sign flips, Holm over 4 comparisons" in out


@pytest.mark.slow
def test_a_map_that_was_killed_is_resumed(warm, tmp_path, capsys):
    folder = tmp_path / "map"
    given = [*SMALL, "seeds=0", f"hydra.sweep.dir={folder}", "hydra/launcher=basic"]
    process = warm.start(["-m", "losslab", "map", *given], tmp_path)
    end = time.monotonic() + 120
    while statuses(folder).count("done") < 1 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert statuses(folder).count("done") < 8
    assert cli.run(["map", f"resume={folder}"]) == 0
    assert statuses(folder) == ["done"] * 8
    assert set(pd.read_csv(folder / "map.csv")["seeds"]) == {1}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["map", "nowhere"], "nowhere is not the folder of a map: it has no map.json"),
        (["map", "resume=nowhere"], "nowhere is not the folder of a map: it has no map.json"),
    ],
)
def test_other_folders_are_refused(capsys, given, reason):
    with pytest.raises(SystemExit) as ended:
        cli.run(given)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {reason}\n"


@pytest.mark.parametrize("given", ["loss=huber", "data.n=30", "x=data.noise:1:2:2", "seed=5"])
def test_a_map_that_is_resumed_keeps_its_grid(saved, tmp_path, capsys, given):
    write_map(tmp_path, saved("mse", "mae", seeds=2, y=Axis("data.n", (20, 40))))
    with pytest.raises(SystemExit) as ended:
        cli.run(["map", f"resume={tmp_path}", given])
    assert ended.value.code == 2
    assert "resume=FOLDER continues the map as it is" in capsys.readouterr().err
