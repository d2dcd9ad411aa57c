import math
import time
from pathlib import Path

import pytest

from losslab.analysis.load import collect, group_by, read_config, settings_key

NOW = time.time()


@pytest.mark.parametrize(
    ("record", "outcome", "problem"),
    [
        ({"mae": 1.0}, "done", ""),
        ({"kind": "diverged"}, "diverged", "diverged at step 7: mse gave nan"),
        ({"kind": "exception"}, "failed", "exception at step 7: mse gave nan"),
        ({"kind": "memory"}, "missing", "memory at step 7: mse gave nan"),
        ({"kind": "input"}, "missing", "input at step 7: mse gave nan"),
        ({"status": "interrupted"}, "missing", "interrupted"),
        ({"status": "running"}, "running", "running"),
        ({"status": "running", "heartbeat": NOW - 1e6}, "missing", "its process is gone"),
    ],
    ids=["done", "diverged", "error", "memory", "input", "interrupted", "running", "stale"],
)
def test_what_became_of_a_run(made_up, record, outcome, problem):
    run = made_up(**record)
    assert (run.outcome, run.problem) == (outcome, problem)


def test_runs_are_read_from_any_folders(made_up, on_disk):
    folder = on_disk(made_up("mse", 0, 1.0), made_up("mse", 1, math.inf), made_up("mae", 0, 2.0))
    below = folder / "mse"
    found = collect([folder, below, folder / "mae" / "0"])
    assert [(run.loss, run.seed) for run in found.runs] == [("mae", 0), ("mse", 0), ("mse", 1)]
    assert found.runs[2].metrics()["mae"] == math.inf
    assert found.runs[1].metrics("val") == {"mae": 1.0}
    assert found.runs[0].curves.empty
    assert not found.unreadable


def test_a_link_to_a_run_is_no_second_run(made_up, on_disk, tmp_path):
    folder = on_disk(made_up("mse", 0, 1.0))
    (tmp_path / "again").symlink_to(folder / "mse")
    assert len(collect([folder, tmp_path / "again"]).runs) == 1


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("record.json", "{", "not valid JSON"),
        ("config.yaml", "a: [", "parsing a flow node"),
        ("config.yaml", "3", "must hold a mapping"),
        (
            "config.yaml",
            "seed: 3",
            "lacks the fields choices, data, loss",
        ),
        ("config.yaml", None, "No such file"),
        ("metrics.csv", "epoch,step\n", "must begin with epoch,step,seconds,name,value"),
        ("metrics.csv", "", "is incomplete: it lacks test/loss"),
        ("scores.npz", "", "is incomplete"),
    ],
)
def test_what_cannot_be_read_is_said_and_hides_nothing(made_up, on_disk, file, content, reason):
    folder = on_disk(made_up("mse", 0, 1.0), made_up("mse", 1, 1.0))
    broken = folder / "mse" / "1" / file
    broken.unlink() if content is None else broken.write_text(content)
    found = collect([folder])
    assert [run.seed for run in found.runs] == [0]
    [unreadable] = found.unreadable
    assert unreadable.folder == broken.parent
    assert reason in unreadable.reason


def test_of_a_run_made_again_the_last_that_is_done_counts(made_up, on_disk):
    first = on_disk(made_up("mse", 0, 1.0, heartbeat=NOW - 20), below="first")
    second = on_disk(made_up("mse", 0, 2.0, heartbeat=NOW - 10), below="second")
    third = on_disk(made_up("mse", 0, kind="diverged", heartbeat=NOW), below="third")
    found = collect([first, second, third])
    assert [run.metrics()["mae"] for run in found.runs] == [2.0]
    assert len(found.repeated) == 2


def test_a_search_does_not_hide_what_was_tested(made_up, on_disk):
    search = made_up("mse", 0, settings={"test": False}, heartbeat=NOW)
    folder = on_disk(search, below="search")
    final = on_disk(made_up("mse", 0, 2.0, heartbeat=NOW - 10), below="final")
    assert [run.metrics() for run in collect([folder, final]).runs] != [{}]


@pytest.mark.parametrize(
    ("settings", "overrides", "same"),
    [
        ({"paths.log_dir": "elsewhere"}, (), True),
        ({"threads": 2}, (), True),
        ({"test": False}, (), True),
        ({"allocator": "system"}, ("allocator=system",), True),
        ({"data.data_dir": "elsewhere"}, (), True),
        ({"trainer.limit_test_batches": 3}, (), False),
        ({"trainer.benchmark": True}, (), False),
        ({"choices.callbacks": "default"}, (), True),
        ({"callbacks.figures._target_": "x"}, (), True),
        ({"trainer.profiler": "simple"}, (), True),
        ({"logger.extra.wandb.project": "x"}, (), True),
        ({"task.learning_rate": 0.1}, (), True),  # what it decides is optimizer.lr
        ({"optimizer.lr": 0.1}, (), False),
        ({"optimizer.betas": [0.5, 0.9]}, (), False),
        ({"callbacks.run_writer.patience": 3}, (), False),
        ({"callbacks.averaging._target_": "x"}, (), False),
        ({"task.reference_losses.mse._target_": "Other"}, (), False),
        ({"loss.delta": 2.0}, (), False),
        ({"data.seed": 5}, (), False),
        ({"data.seed": 1}, ("data.seed=1",), False),  # frozen, and by chance that of the run
    ],
    ids=str,
)
def test_what_decides_a_result(made_up, settings, overrides, same):
    plain = made_up(seed=1)
    other = made_up(seed=1, settings={"seed": 1} | settings, overrides=overrides)
    assert (settings_key(plain) == settings_key(other)) is same


def test_one_batch_is_not_all_batches(made_up):
    one, every = (made_up(settings={"trainer.limit_train_batches": n}) for n in (1, 1.0))
    assert settings_key(one) != settings_key(every)


def test_what_follows_the_seed_is_no_difference(made_up):
    assert settings_key(made_up(seed=1)) == settings_key(made_up(seed=2))


def test_numbers_are_read_as_the_writer_meant_them(tmp_path):
    groups = "seed: 0\ntask: {monitor: mae}\nmodel: {}\ntrainer: {}\nchoices: {}\noverrides: []\n"
    numbers = "{a: 1e-05, b: 1.0e-05, c: 3, d: '3', e: 1_0, f: -2.5e3}"
    (tmp_path / "config.yaml").write_text(f"{groups}data: {{}}\nloss: {numbers}\n")
    expected = {"a": 1e-5, "b": 1e-5, "c": 3, "d": "3", "e": 10, "f": -2500.0}
    assert read_config(tmp_path)["loss"] == expected


def test_groups_keep_their_order(made_up):
    runs = [made_up("mse", 0), made_up("mae", 0), made_up("mse", 1)]
    groups = group_by(runs, lambda run: run.loss)
    assert [[(run.loss, run.seed) for run in each] for each in groups] == [
        [("mse", 0), ("mse", 1)],
        [("mae", 0)],
    ]


def test_metrics_of_a_task_that_names_none(made_up):
    run = made_up(mae=1.0)
    del run.config["task"]["metrics"]
    assert run.metric_names == ["mae", "rmse"]
    assert Path("mse/0") == run.folder
