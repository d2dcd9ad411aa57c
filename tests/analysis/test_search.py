import json
import math

import pytest

from losslab.analysis.ranges import Range
from losslab.analysis.search import Trial, Tuning, read_tuning

LOG = {"low": 0.01, "high": 1, "log": True}


@pytest.mark.parametrize(
    ("declared", "unit", "value"),
    [
        ({"low": 0, "high": 5}, 0.0, 0.0),
        ({"low": 0, "high": 5}, 0.123456, 0.617),
        (LOG, 0.5, 0.1),
        (LOG, 0.999, 0.995),
        ([True, False], 0.49, True),
        ([True, False], 0.5, False),
        (["a", "b", "c"], 0.999999, "c"),
        (["a", "b", "c"], 1.0, "c"),
    ],
    ids=str,
)
def test_a_range_at_a_point_of_the_unit_interval(declared, unit, value):
    assert Range.declared("loss.x", declared).value(unit) == value


@pytest.mark.parametrize(
    "declared",
    [
        *([], 3, None, {"low": 0}, {"low": 0, "high": 5, "step": 1}),
        *({"low": 5, "high": 5}, {"low": 0, "high": 1, "log": True}, {"low": 0, "high": math.inf}),
    ],
    ids=str,
)
def test_what_is_no_range(declared):
    with pytest.raises(ValueError, match=r"the range of loss\.x must"):
        Range.declared("loss.x", declared)


@pytest.mark.parametrize(
    ("declared", "value", "edge"),
    [
        ({"low": 0, "high": 10}, 0.4, True),
        ({"low": 0, "high": 10}, 0.6, False),
        ({"low": 0, "high": 10}, 9.6, True),
        (LOG, 0.012, True),
        (LOG, 0.05, False),
        (LOG, 0.9, True),
        (LOG, 2, True),  # outside, as a default setting may be
        (LOG, -1, True),
        (LOG, None, False),
        ([1, 2], 1, False),
    ],
    ids=str,
)
def test_the_outer_twentieth_of_a_range_is_its_edge(declared, value, edge):
    assert Range.declared("loss.x", declared).on_edge(value) is edge


PLAN = {
    "protocol": "tuned",
    "budget": 3,
    "losses": ["mse", "huber"],
    "tuning_seeds": [100, 101],
    "seeds": [0, 1],
    "overrides": [],
    "ranges": {
        "mse": {"optimizer.lr": {"low": 0.01, "high": 1, "log": True}},
        "huber": {
            "optimizer.lr": {"low": 0.01, "high": 1, "log": True},
            "loss.delta": {"low": 0, "high": 4},
        },
    },
    "points": {
        "mse": [{"optimizer.lr": lr} for lr in (0.02, 0.1, 0.98)],
        "huber": [
            {"optimizer.lr": lr, "loss.delta": delta}
            for lr, delta in ((0.02, 1.0), (0.1, 2.0), (0.98, 3.0))
        ],
    },
}
MAES = {
    "mse": [(0.3, 0.5), (0.2, 0.3), (0.1, 0.2)],
    "huber": [(0.2, 0.4), (0.1, "diverged"), (0.3, 0.35)],
}


@pytest.fixture
def tuning(made_up, on_disk, tmp_path) -> Tuning:
    """A search that came to its end; its runs have not read the test split."""
    for loss, points in PLAN["points"].items():
        for number, (options, maes) in enumerate(zip(points, MAES[loss], strict=True)):
            runs = [
                made_up(
                    loss,
                    seed,
                    settings=options,
                    kind="diverged" if mae == "diverged" else None,
                    best={"epoch": 3, "metrics": {"mae": mae}},
                )
                for seed, mae in zip(PLAN["tuning_seeds"], maes, strict=True)
            ]
            on_disk(*runs, below=f"search/{number}")
    (tmp_path / "tuning.json").write_text(json.dumps(PLAN))
    return read_tuning(tmp_path)


def test_a_tuning_is_read_back(tuning):
    assert (tuning.metric.name, tuning.losses) == ("mae", ["mse", "huber"])
    assert [trial.values for trial in tuning.trials["mse"]] == [
        {100: 0.3, 101: 0.5},
        {100: 0.2, 101: 0.3},
        {100: 0.1, 101: 0.2},
    ]
    assert [trial.failed for trial in tuning.trials["huber"]] == [0, 1, 0]


def test_runs_of_a_sum_are_found_although_they_are_called_after_its_weights(
    made_up, on_disk, tmp_path
):
    key, points = "loss.of.mae.weight", {0.5: 0.3, 2.0: 0.2}
    for weight, mae in points.items():
        best = {"epoch": 3, "metrics": {"mae": mae}}
        run = made_up(f"mse+{weight:g}mae", 100, settings={key: weight}, best=best)
        run.config["overrides"] = ["loss=sum", f"++{key}={weight}"]
        on_disk(run, below="search")
    plan = PLAN | {
        **{"losses": ["sum"], "tuning_seeds": [100], "ranges": {"sum": {key: LOG}}},
        "points": {"sum": [{key: weight} for weight in points]},
    }
    (tmp_path / "tuning.json").write_text(json.dumps(plan))
    tuning = read_tuning(tmp_path)
    assert [trial.values for trial in tuning.trials["sum"]] == [{100: 0.3}, {100: 0.2}]
    assert tuning.best("sum").options == {key: 2.0}


def test_the_best_point_has_the_best_mean_of_those_that_never_failed(tuning):
    assert tuning.best("mse").options == {"optimizer.lr": 0.98}
    assert tuning.best("huber").point == 0


def test_a_loss_of_which_no_run_finished_has_no_best_point(tuning):
    trials = {"mse": (Trial("mse", 0, {"optimizer.lr": 0.02}, {}, (100, 101)),)}
    failed = Tuning(**{**vars(tuning), "trials": trials})
    assert failed.best("mse") is None
    assert failed.lines()[2:] == ["mse: no run finished; 2 of 2 runs failed"]


def test_what_a_report_says_of_it(tuning):
    assert tuning.lines() == [
        "protocol tuned: tunes the options of each loss and the learning rate; up to 3 points per "
        "loss, points of the same Sobol sequence, 2 tuning seeds per point (100, 101), chosen by "
        "validation mean absolute error; the test split was not read",
        "each seed draws new samples: the search saw none of the final test samples",
        "mse: best of 3 points optimizer.lr=0.98: 0.1500 on validation",
        "huber: best of 3 points optimizer.lr=0.02, loss.delta=1.0: 0.3000 on validation; "
        "1 of 6 runs failed",
        "warning: the best optimizer.lr=0.98 of mse lies on the edge of its range (0.01 to 1 "
        "(log)); a wider range may give better results",
    ]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"test_split_seed": 0, "test_samples": 359, "overlap": 0},
            "none of the 359 samples that the final runs are tested on was in a training or "
            "validation split of the search (data.test_split_seed=0)",
        ),
        (
            {"test_samples": 20, "overlap": 0},
            "none of the 20 samples that the final runs are tested on was in a training or "
            "validation split of the search",
        ),
        (
            {"test_samples": 1300, "overlap": 1286},
            "warning: 1286 of the 1300 samples that the final runs are tested on were in training "
            "or validation splits of the search, so the test metrics are optimistic",
        ),
        (
            {"sampling": "redrawn"},
            "warning: this tuning was planned without data.test_split_seed: samples that the final "
            "runs are tested on may have been in training or validation splits of the search, so "
            "the test metrics are optimistic",
        ),
        (
            {"sampling": "fixed_test"},
            "the test split is the same for all seeds, and the search did not read it",
        ),
    ],
    ids=["carved", "own test split", "redrawn", "old", "old, own test split"],
)
def test_what_the_search_saw_of_the_test_samples(tuning, fields, line):
    assert Tuning(**{**vars(tuning), **fields}).lines()[1] == line


def test_defaults_and_tries_are_told(tuning, tmp_path):
    defaults = {loss: points[0] for loss, points in PLAN["points"].items()}
    (tmp_path / "tuning.json").write_text(json.dumps(PLAN | {"defaults": defaults}))
    read = read_tuning(tmp_path)
    mse, huber = (read.lines()[place] for place in (2, 3))
    assert (
        "3 points per loss, the default setting and then points of the same Sobol"
        in (read.lines()[0])
    )
    assert mse == (
        "mse: best of 3 points optimizer.lr=0.98: 0.1500 on validation "
        "(default setting, optimizer.lr=0.02: 0.4000)"
    )
    assert "0.3000 on validation (the default setting); 1 of 6" in huber
    assert read.frame().groupby("loss").default.sum().tolist() == [2, 2]
    assert not any(line.startswith("tries") for line in read.lines())


def test_unequal_tries_are_told(tuning):
    trials = {"mse": tuning.trials["mse"][:1], "huber": tuning.trials["huber"]}
    fewer = Tuning(**{**vars(tuning), "protocol": "controlled", "trials": trials})
    [line] = [line for line in fewer.lines() if line.startswith("tries")]
    assert line == (
        "tries: mse 1, huber 3. A loss with more tries is more likely to have found a good "
        "setting; the tests, on other seeds, compare the settings found; protocol=tuned also tries "
        "learning rates, equally many for every loss"
    )
    assert fewer.frame().groupby("loss").tries.first().to_dict() == {"mse": 1, "huber": 3}


def test_a_tidy_row_a_run(tuning):
    frame = tuning.frame()
    assert len(frame) == 12
    assert not frame.default.any()  # plans of version 0.1 did not try it
    assert set(frame.tries) == {3}
    mse = frame[frame.loss == "mse"]
    assert mse.learning_rate.tolist() == [0.02, 0.02, 0.1, 0.1, 0.98, 0.98]
    assert mse.value.tolist() == [0.3, 0.5, 0.2, 0.3, 0.1, 0.2]
    assert mse.best.tolist() == [False] * 4 + [True] * 2
    assert frame[frame.loss == "huber"].value.isna().sum() == 1


def test_a_search_that_has_not_begun(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_tuning(tmp_path)
    (tmp_path / "tuning.json").write_text(json.dumps(PLAN))
    with pytest.raises(ValueError, match="no runs below"):
        read_tuning(tmp_path)
