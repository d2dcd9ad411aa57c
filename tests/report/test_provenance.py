"""How the runs of a table were made."""

import json
from dataclasses import replace

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection
from losslab.report.provenance import provenance, title_of

DAY = 1_795_953_856.0
"""2026-11-29."""


def compared(runs):
    return compare(Collection(tuple(runs)))


def told(runs):
    [table] = compared(runs).tables
    return provenance(table)


def test_what_a_reader_needs_to_repeat_a_table(sweep):
    sizes = {"train": 1079, "val": 359, "test": 359}
    record = {"heartbeat": DAY, "sampling": "redrawn", "sizes": sizes, "command": "losslab x"}
    assert told(sweep({"mse": [1.0, 2.0, 3.0], "mae": [2.0, 3.0, 4.0]}, **record)) == {
        "Date": "2026-11-29",
        "Command": "losslab x",
        "Data": "regression: 1,079 training, 359 validation, 359 test samples; each seed splits "
        "the same samples anew",
        "Model": "linear",
        "Training": "Adam with learning rate 0.02; 20 epochs; batches of 64; tested checkpoint: "
        "the best by validation mean absolute error",
        "Seeds": "3 (0 to 2)",
        "Pairing": "at each seed, all losses had the same data, initial weights and batches",
    }


def test_what_differs_is_listed_or_counted(sweep):
    runs = [
        run
        for place, rate in enumerate((0.1, 0.2))
        for run in sweep({f"loss{place}": [1.0]}, settings={"optimizer.lr": rate}, heartbeat=DAY)
    ]
    assert "learning rate 0.1 or 0.2;" in told(runs)["Training"]
    later = sweep({"mae": [1.0]}, heartbeat=DAY + 86_400)
    assert told([*runs, *later])["Date"] == "2026-11-29 to 2026-11-30"
    many = [sweep({f"loss{i}": [1.0]}, settings={"optimizer.lr": i + 1.0})[0] for i in range(6)]
    assert "learning rate 6 different values;" in told(many)["Training"]


COMMAND = {"typed": ["-m", "loss=mse,mae", "seed=range(2)"], "arguments": [], "listed": None}


@pytest.mark.parametrize(
    "content",
    [
        {"version": 2, "commands": [COMMAND]},
        COMMAND,
    ],
    ids=["version 2", "version 1"],
)
def test_the_command_of_a_sweep_is_the_one_that_was_typed(sweep, tmp_path, content):
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    runs = sweep({"mse": [1.0, 2.0], "mae": [2.0, 3.0]}, command="python -m internal")
    runs = [replace(run, folder=tmp_path / run.folder) for run in runs]
    assert told(runs)["Command"] == "losslab -m loss=mse,mae 'seed=range(2)'"


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("loss.beta=2", "losslab -m loss=mse loss.beta=2 seed=0,1"),
        (
            "++loss._target_=losslab.given.x1f3a52bc.mine",
            'losslab.compare(losses={"mine": ...}, ...) in Python, as it was called',
        ),
        (
            "model._target_=losslab.given.x1f3a52bc.model",
            "losslab.compare(model=..., ...) in Python, as it was called",
        ),
    ],
)
def test_the_command_of_a_comparison_in_python_can_be_repeated(sweep, tmp_path, option, command):
    jobs = [["loss=mse", option, f"seed={seed}"] for seed in (0, 1)]
    saved = {"version": 2, "commands": [COMMAND], "jobs": jobs}
    (tmp_path / "sweep.json").write_text(json.dumps(saved))
    (tmp_path / "comparison.json").write_text("{}")
    runs = sweep({"mse": [1.0, 2.0], "mae": [2.0, 3.0]})
    assert told([replace(run, folder=tmp_path / run.folder) for run in runs])["Command"] == command


@pytest.mark.parametrize(
    ("changed", "command"),
    [
        ({}, "losslab tune loss=mse,mae protocol=tuned budget=6 'a=b c'"),
        (
            {"chosen": {"mae": ["loss=mae", "label=mae"]}, "own_ranges": ["mae"]},
            'losslab.tune(losses={"mae": ...}, ranges=..., ...) in Python, as it was called',
        ),
        (
            {"overrides": ["model._target_=losslab.given.x1f3a52bc.model"]},
            "losslab.tune(model=..., ...) in Python, as it was called",
        ),
    ],
)
def test_the_command_of_a_tuning(sweep, tmp_path, changed, command):
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "sweep.json").write_text("{}")
    plan = {"losses": ["mse", "mae"], "protocol": "tuned", "budget": 6, "overrides": ["a=b c"]}
    plan |= {"tuning_seeds": [], "seeds": [], "ranges": {"mse": {}, "mae": {}}}
    plan |= {"points": {"mse": [], "mae": []}} | changed
    (tmp_path / "tuning.json").write_text(json.dumps(plan))
    runs = sweep({"mse": [1.0, 2.0], "mae": [2.0, 3.0]})
    runs = [replace(run, folder=tmp_path / "final" / run.folder) for run in runs]
    assert told(runs)["Command"] == command


def test_the_title_tells_losses_and_data(sweep):
    runs = sweep({"mse": [1.0], "mae": [2.0]}, overrides=("data.outliers=0.1",))
    assert title_of(compared(runs)) == "mse and mae on regression with outliers=0.1"


def test_one_epoch_is_singular(made_up):
    run = made_up("mse", 0, 1.0, settings={"trainer.max_epochs": 1})
    [table] = compare(Collection((run,))).tables
    assert "; 1 epoch; " in provenance(table)["Training"]
