"""Points that optuna chooses from the results before them."""

import json
import math
import statistics
from contextlib import nullcontext
from dataclasses import replace

import pytest

from losslab import tuning as tunings
from losslab import tuning_plan, tuning_sampler
from losslab.analysis.ranges import Range
from losslab.analysis.search import Trial, Tuning, read_tuning
from losslab.config.errors import UserError
from losslab.metrics.labels import metric
from losslab.tuning_plan import parse_plan, sobol_points
from losslab.tuning_sampler import new_points, next_point, tell

RATE = {"low": 1e-4, "high": 1, "log": True}


def tuning_of(points, value, ranges, name="mae"):
    """A search in which ``value`` returns the metric of a point, or ``None`` if a seed failed."""
    trials = []
    for number, options in enumerate(points):
        found = value(options)
        values = {1000: 1.0} if found is None else {1000: found, 1001: found}
        trials.append(Trial("mine", number, options, values, (1000, 1001)))
    declared = {key: Range.declared(key, content) for key, content in ranges.items()}
    return Tuning(
        folder=None,
        protocol="tuned",
        budget=20,
        metric=metric(name),
        tuning_seeds=(1000, 1001),
        seeds=(0,),
        ranges={"mine": declared},
        trials={"mine": tuple(trials)},
    )


def searched(points, value, ranges, number, **options):
    points = list(points)
    while len(points) < number:
        points.append(next_point(tuning_of(points, value, ranges, **options), "mine"))
    return points


def error_of_rate(options):
    """Distance from 0.03, in factors of ten."""
    return abs(math.log10(options["optimizer.lr"] / 0.03))


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna", reason="pip install 'losslab[optuna]'")


def without_studies(monkeypatch):
    """Need no optuna."""
    monkeypatch.setattr(tuning_sampler, "_quiet", nullcontext)
    monkeypatch.setattr(tuning_sampler, "tell", lambda tuning, loss: None)


@pytest.mark.parametrize("higher", [False, True], ids=["lower is better", "higher is better"])
def test_points_gather_where_results_are_good(higher, optuna):
    ranges = {"optimizer.lr": RATE, "loss.p": [1, 2]}
    start = sobol_points(ranges, 10)
    value = (lambda options: 1 - error_of_rate(options) / 10) if higher else error_of_rate
    given = (start, value, ranges, 25)
    name = "accuracy" if higher else "mae"
    points = searched(*given, name=name)
    assert points == searched(*given, name=name)
    even, gathered = (
        statistics.median(map(error_of_rate, tried[10:]))
        for tried in (sobol_points(ranges, 25), points)
    )
    assert gathered < even / 2
    assert all(1e-4 <= point["optimizer.lr"] <= 1 and point["loss.p"] in (1, 2) for point in points)


def test_failed_points_count_as_the_worst(optuna):
    ranges = {"optimizer.lr": RATE}

    def value(options):
        """Return an error that is lowest, but for those that failed, at the low end."""
        return None if options["optimizer.lr"] > 0.03 else options["optimizer.lr"]

    points = searched(sobol_points(ranges, 10), value, ranges, 25)[10:]
    even = sobol_points(ranges, 25)[10:]
    failed, failed_even = (sum(value(point) is None for point in tried) for tried in (points, even))
    assert failed < failed_even / 2


def test_a_default_outside_of_its_range_and_no_result_at_all(optuna):
    ranges = {"loss.alpha": {"low": 0, "high": 1}}
    for options in ({"loss.alpha": None}, {"loss.alpha": 3.0}):
        found = next_point(tuning_of([options], lambda _: 1.0, ranges), "mine")
        assert 0 <= found["loss.alpha"] <= 1
    empty = tuning_of([{"loss.alpha": 0.5}], lambda _: 1.0, ranges)
    failed = Trial("mine", 0, {"loss.alpha": 0.5}, {}, (1000,))
    object.__setattr__(empty, "trials", {"mine": (failed,)})
    assert 0 <= next_point(empty, "mine")["loss.alpha"] <= 1


def test_no_point_is_tried_twice_and_the_budget_is_kept(monkeypatch):
    monkeypatch.setattr("losslab.tuning_sampler.next_point", lambda tuning, loss: {"loss.p": 1})
    without_studies(monkeypatch)
    ranges = {"loss.p": [1, 2]}
    spare = {"mine": [{"loss.p": 1}, {"loss.p": 2}]}
    one = tuning_of([{"loss.p": 1}], lambda _: 1.0, ranges)
    assert new_points(one, 5, spare) == {"mine": {"loss.p": 2}}
    assert new_points(one, 1, spare) == {}
    both = tuning_of([{"loss.p": 1}, {"loss.p": 2}], lambda _: 1.0, ranges)
    assert new_points(both, 5, spare) == {}
    assert new_points(tuning_of([{}], lambda _: 1.0, {}), 5, {"mine": [{}]}) == {}


REFUSED = {
    "sampler=grid": "sampler must be sobol or optuna, got grid",
    "sampler=optuna budget=10": "chooses after 10 points: give more budget, got 10",
    "sampler=sobol,optuna": "sampler must be one value",
}


@pytest.mark.parametrize(("given", "words"), REFUSED.items(), ids=REFUSED.keys())
def test_refused(given, words, monkeypatch):
    monkeypatch.setattr("losslab.tuning_plan.require_optuna", lambda: None)
    with pytest.raises(UserError, match=words):
        parse_plan(["loss=mse", *given.split()])


def test_optuna_must_be_installed(monkeypatch):
    monkeypatch.setattr("losslab.tuning_sampler.is_installed", lambda module: False)
    with pytest.raises(UserError, match="sampler=optuna: optuna is not installed: pip install"):
        parse_plan(["loss=mse", "sampler=optuna"])


@pytest.mark.slow
def test_a_search_grows_by_points_that_see_the_results(tmp_path, monkeypatch):
    seen = []

    def chosen(tuning, loss):
        seen.append([trial.mean for trial in tuning.trials[loss]])
        return {"optimizer.lr": 0.011 * len(seen)}

    monkeypatch.setattr("losslab.tuning_sampler.next_point", chosen)
    without_studies(monkeypatch)
    for module in (tuning_plan, tunings):
        monkeypatch.setattr(module, "require_optuna", lambda: None)
    monkeypatch.setattr(tuning_plan, "STARTUP", 2)
    monkeypatch.setattr(tunings, "_report", lambda *given: 0)
    line = ["data=regression", "data.n=100", "trainer.max_epochs=1", "hydra/launcher=basic"]
    options = [*line, "protocol=tuned", "sampler=optuna", "budget=4", "tuning_seeds=1000"]
    assert tunings.run_tuning(["loss=mse", *options, "seeds=0", f"paths.log_dir={tmp_path}"]) == 0
    [folder] = (tmp_path / "tuning").iterdir()
    plan = json.loads((folder / "tuning.json").read_text())
    assert [point["optimizer.lr"] for point in plan["points"]["mse"]][2:] == [0.011, 0.022]
    assert [len(values) for values in seen] == [2, 3]
    assert all(map(math.isfinite, seen[1]))
    assert len(list((folder / "search").rglob("record.json"))) == 4
    assert "from the 11th on points of optuna's TPE" in read_tuning(folder).lines()[0]

    # an interrupted search goes on with the same points
    plan["points"]["mse"].pop()
    (folder / "tuning.json").write_text(json.dumps(plan))
    (folder / "final").rename(tmp_path / "final")
    seen.pop()
    assert tunings.run_tuning([f"resume={folder}"]) == 0
    assert json.loads((folder / "tuning.json").read_text())["points"]["mse"][-1] == {
        "optimizer.lr": 0.022
    }


def journalled(tmp_path, trials):
    """A search in a folder, with these trials: learning rate, values, whether it is pending."""
    tuning = tuning_of([], lambda _: None, {"optimizer.lr": RATE})
    made = [
        Trial("mine", number, {"optimizer.lr": rate}, values, (1000,), pending=pending)
        for number, (rate, values, pending) in enumerate(trials)
    ]
    return replace(tuning, folder=tmp_path, trials={"mine": tuple(made)})


def states(tuning):
    trials = tell(tuning, "mine").get_trials()
    return [(trial.state.name, trial.value) for trial in trials]


def test_a_study_is_asked_by_several_processes_and_told_once(optuna, tmp_path):
    begun = [(0.01, {1000: 3.0}, False), (0.1, {}, True)]
    first = next_point(journalled(tmp_path, begun), "mine")
    begun.append((first["optimizer.lr"], {}, True))
    second = next_point(journalled(tmp_path, begun), "mine")  # of another process
    assert second != first
    begun.append((second["optimizer.lr"], {}, True))
    running = ("RUNNING", None)
    assert states(journalled(tmp_path, begun)) == [("COMPLETE", 3.0), running, running, running]

    begun[1] = (0.1, {1000: 4.0}, False)
    begun[2] = (first["optimizer.lr"], {}, False)  # failed: as bad as the worst
    expected = [("COMPLETE", 3.0), ("COMPLETE", 4.0), ("COMPLETE", 4.0), running]
    for _ in range(2):
        assert states(journalled(tmp_path, begun)) == expected

    next_point(journalled(tmp_path, begun), "mine")  # killed before the point was in the plan
    assert states(journalled(tmp_path, begun)) == [*expected, ("FAIL", None)]
    (tmp_path / "study.log").unlink()
    assert states(journalled(tmp_path, begun)) == expected


def test_points_that_every_search_begins_with_come_first(tmp_path):
    tuning = journalled(tmp_path, [(0.1 * number, {}, number == 3) for number in range(1, 11)])
    assert new_points(tuning, 20, {"mine": [{"optimizer.lr": 0.5}]}) == {}
