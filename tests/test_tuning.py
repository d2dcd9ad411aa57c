"""What a tuning plans; whole tunings run in tests/cli."""

import json
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from scipy.stats import qmc

from losslab import tuning
from losslab.analysis.ranges import Range
from losslab.config import groups, user_code
from losslab.config.command import all_jobs
from losslab.config.compose import compose
from losslab.config.compound import is_compound
from losslab.config.errors import UserError
from losslab.config.jobs import SharedConfig, compose_jobs
from losslab.tuning_plan import parse_plan, points_of, sobol_points

UNIT = {"low": 0, "high": 1}


def test_every_loss_gets_the_same_points():
    one = sobol_points({"loss.a": UNIT}, 8)
    two = sobol_points({"loss.b": UNIT, "loss.c": UNIT}, 8)
    assert [point["loss.a"] for point in one] == [point["loss.b"] for point in two]
    assert [point["loss.a"] for point in one[:5]] == [
        point["loss.a"] for point in sobol_points({"loss.a": UNIT}, 5)
    ]


def test_the_points_fill_the_range_evenly():
    points = np.array([list(p.values()) for p in sobol_points({"a": UNIT, "b": UNIT}, 16)])
    # a Sobol sequence has one point in each of 16 equal slices of each axis
    assert all((np.sort(axis * 16) // 1 == np.arange(16)).all() for axis in points.T)
    assert qmc.discrepancy(points) < 0.02


@pytest.mark.parametrize("budget", [1, 2, 5, 20])
def test_a_budget_is_kept(budget):
    points = points_of({"loss.a": UNIT}, budget, {"loss.a": 0.5})
    assert len(points) == budget
    assert points[0] == {"loss.a": 0.5}
    assert points[1:] == sobol_points({"loss.a": UNIT}, budget - 1)


def test_no_point_is_tried_twice():
    points = points_of({"loss.a": [True, False]}, 8, {"loss.a": False})
    assert points == [{"loss.a": False}, {"loss.a": True}]
    assert points_of({}, 8, {}) == [{}]


LOSSES = groups.names("loss")


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_declares_what_may_be_tuned(loss):
    declared = groups.tunable("loss", loss)
    assert declared is not None, "write 'tuning: {}' for a loss without options"
    own = groups.node("loss", loss)
    for name, content in declared.items():
        assert name in own
        Range.declared(f"loss.{name}", content)


def test_a_plan():
    plan = parse_plan(["loss=mse,huber", "budget=4", "seeds=range(6)", "data.outliers=0.1"])
    assert (plan.protocol, plan.budget, plan.losses) == ("controlled", 4, ["mse", "huber"])
    assert (plan.tuning_seeds, plan.seeds) == ([1000, 1001, 1002], [0, 1, 2, 3, 4, 5])
    assert plan.overrides == ["data.outliers=0.1"]
    assert plan.points["mse"] == [{}]
    assert len(plan.points["huber"]) == 4
    assert all(0.05 <= point["loss.delta"] <= 20 for point in plan.points["huber"])


def test_the_first_point_is_the_default_setting():
    plan = parse_plan(["loss=mse,huber", "protocol=tuned", "budget=3", "task.learning_rate=0.007"])
    assert plan.points["mse"][0] == {"optimizer.lr": 0.007}
    assert plan.points["huber"][0] == {"optimizer.lr": 0.007, "loss.delta": 1.0}
    assert [points[0] for points in plan.points.values()] == list(plan.defaults.values())
    assert [len(points) for points in plan.points.values()] == [3, 3]


def test_seeds_are_as_many_as_the_comparisons_need():
    plan = parse_plan(["loss=mse,mae,huber,smooth_l1", "budget=2"])
    assert plan.seeds == list(range(8))  # six comparisons


def test_the_tuned_protocol_varies_the_learning_rate_alike():
    plan = parse_plan(["loss=mse,huber", "protocol=tuned", "budget=4"])
    rates = [[point["optimizer.lr"] for point in points] for points in plan.points.values()]
    assert rates[0] == rates[1]
    assert len(set(rates[0])) == 4


@pytest.mark.parametrize("loss", [name for name in LOSSES if not is_compound(name)])
def test_the_default_setting_of_every_loss_is_a_point(loss):
    plan = parse_plan([f"loss={loss}", "budget=1"])
    [default] = plan.points[loss]
    own = groups.node("loss", loss)
    assert default == {f"loss.{name}": own[name] for name in groups.tunable("loss", loss)}


def test_what_the_command_line_sets_is_not_tuned():
    plan = parse_plan(["loss=huber", "loss.delta=2", "protocol=tuned", "budget=4"])
    assert list(plan.ranges["huber"]) == ["optimizer.lr"]


def test_a_round_of_the_search_composes_its_new_jobs_only(tmp_path, monkeypatch):
    plan = parse_plan(["loss=huber", "budget=3", "tuning_seeds=100,101"])
    later = [plan.points["huber"].pop(), None]
    composed, whole = [], SharedConfig.composed

    def counted(shared):
        composed.append(shared.job)
        return whole(shared)

    def add_points(plan, folder):
        point = later.pop(0)
        plan.points["huber"] += [point] if point else []
        return point is not None

    def run_round(command, folder, once_checked, known):
        jobs = compose_jobs(all_jobs(command), known)
        once_checked([])
        assert [list(job.overrides) for job in jobs] == all_jobs(command)

    monkeypatch.setattr(SharedConfig, "composed", counted)
    monkeypatch.setattr(tuning, "_add_points", add_points)
    tuning.search(plan, tmp_path, run_round)
    assert len(composed) == 6  # three points with two seeds; not 4 + 6


@dataclass
class Runs:
    """Runs that are free, trained by another process, or have ended."""

    states: dict[str, str]

    def patch(self, monkeypatch):
        monkeypatch.setattr(tuning, "has_ended", lambda run: self.states[run.name] == "ended")
        monkeypatch.setattr(tuning, "is_untried", lambda run: self.states[run.name] == "free")
        return self

    def rounds(self, *changes):
        """Return a function that trains; in each round it changes these states."""
        left = list(changes)

        def run(command, folder, once_checked, known):
            once_checked([folder / name for name in self.states])
            self.states |= left.pop(0)

        return run


@pytest.fixture
def small_plan(tmp_path):
    (tmp_path / "tuning.json").touch()
    return parse_plan(["loss=huber", "budget=2"])


def test_a_search_stops_if_its_jobs_are_cancelled(small_plan, tmp_path, monkeypatch):
    runs = Runs({"a": "free", "b": "free"}).patch(monkeypatch)
    rounds = runs.rounds({"a": "ended"}, {})  # the second try ends nothing
    assert tuning.search(small_plan, tmp_path, rounds) == [tmp_path / "search" / "b"]


def test_a_search_waits_for_other_processes_and_takes_over_from_them(
    small_plan, tmp_path, monkeypatch, capsys
):
    runs = Runs({"a": "free", "b": "elsewhere", "c": "elsewhere"}).patch(monkeypatch)
    events = [{"b": "ended"}, {"c": "free"}]  # killed
    monkeypatch.setattr(tuning.time, "sleep", lambda seconds: runs.states.update(events.pop(0)))
    assert tuning.search(small_plan, tmp_path, runs.rounds({"a": "ended"}, {"c": "ended"})) == []
    assert not events
    assert "2 runs of the search are trained by other processes" in capsys.readouterr().err


def test_a_search_asks_again_if_runs_of_others_ended_while_it_asked(
    small_plan, tmp_path, monkeypatch
):
    runs = Runs({"a": "elsewhere"}).patch(monkeypatch)
    asked = []

    def add_points(plan, folder):
        asked.append(runs.states["a"])
        runs.states["a"] = "ended"
        return False

    monkeypatch.setattr(tuning, "_add_points", add_points)
    assert tuning.search(small_plan, tmp_path, runs.rounds({}, {})) == []
    assert asked == ["elsewhere", "ended"]


SUM = ["loss=sum,bce,uncertainty_sum", "loss.of.dice=0.7", "loss.of.bce=2", "loss.of.focal=0"]


def test_each_weight_of_a_sum_but_the_first_is_tuned():
    plan = parse_plan([*SUM, "data=segmentation", "budget=4"])
    weight = {"low": 0.2, "high": 20.0, "log": True}
    assert plan.ranges["sum"] == {"loss.of.bce.weight": weight}
    assert plan.points["sum"][0] == {"loss.of.bce.weight": 2}
    assert [len(plan.points[loss]) for loss in plan.losses] == [4, 4, 1]  # learned: nothing to tune
    job = tuning._jobs(plan, plan.points, [0])[1]
    assert job[:2] == [
        "loss=sum",
        f"++loss.of.bce.weight={plan.points['sum'][1]['loss.of.bce.weight']}",
    ]
    weighted, alone = (
        compose(each)
        for each in all_jobs(tuning._command(plan.overrides, [job, ["loss=bce"]], None))
    )
    assert weighted.loss.of.bce.weight == plan.points["sum"][1]["loss.of.bce.weight"]
    assert "of" not in alone.loss


OWN = """_target_: losslab.losses.SumLoss
of: {cross_entropy: 1, focal: {weight: 2, gamma: 3}, categorical_cross_entropy: 0.5}
tuning:
  of.focal: [1, 4]
  of.focal.loss.gamma: {low: 0, high: 5}
"""


@pytest.fixture
def own_config(tmp_path):
    """The folder of the user's own configs, for the length of a test."""
    (tmp_path / "loss").mkdir()
    yield tmp_path / "loss"
    user_code.use([])


def test_a_sum_in_a_file_declares_ranges_of_its_own(own_config):
    (own_config / "mine.yaml").write_text(OWN)
    shared = ["data=digits", "budget=3"]
    plan = parse_plan(user_code.use(["loss=mine", *shared, f"--config-dir={own_config.parent}"]))
    assert plan.ranges["mine"] == {
        "loss.of.focal.weight": [1, 4],
        "loss.of.focal.loss.gamma": {"low": 0, "high": 5},
        "loss.of.categorical_cross_entropy.weight": {"low": 0.05, "high": 5.0, "log": True},
    }
    assert plan.points["mine"][0]["loss.of.focal.loss.gamma"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["budget=4"], "no losses given"),
        (["loss=mse,hubr"], "unknown loss 'hubr': did you mean huber"),
        (["loss=mse", "protocol=free"], "protocol must be controlled or tuned, got free"),
        (["loss=mse", "protocol=tuned,controlled"], "protocol must be one value"),
        (["loss=mse", "budget=0"], "budget must be a whole number >= 1, got 0"),
        (["loss=mse", "budget=many"], "budget must be whole numbers, got many"),
        (["loss=mse", "seeds=1,1"], "seeds must differ"),
        (["loss=mse", "seeds=1,2", "tuning_seeds=2,3"], "must not overlap, but both have 2"),
        (["loss=mse", "optimizer.lr=0.1,0.2"], "has several values"),
        (["loss=mse", "seed=1"], "seed= is set by the tuning"),
        (["loss=mse", "test=false"], "test= is set by the tuning"),
        (["loss=mse", "a=[1"], "malformed override"),
        (["loss=mse", "no.such=1"], "unknown argument no.such: known: loss, protocol"),
        (["loss=mse", "buget=3"], r"unknown argument buget: did you mean budget\?"),
        (["losses=mse,mae"], r"unknown argument losses: did you mean loss\?"),
        (["loss=mse", "tuning_seed=3"], "did you mean tuning_seeds"),
        (["loss=mse", "data.outlier=0.1"], "did you mean data.outliers"),
        (["loss=mse,mae", "-m"], "-m is not needed: losslab tune always trains several runs"),
        (["loss=mse", "--budget=3"], "--budget=3: options have no dashes: write budget=3"),
        (["loss=mse", "--cfg"], "unknown option --cfg .losslab tune --help lists the arguments"),
        (["loss=mse", "loss=mae"], "loss is given twice: write loss=A,B"),
        (["loss=mse,mse"], "losses must differ, got mse, mse"),
        (
            ["loss=mse,cross_entropy", "budget=2"],
            "loss=mse defaults to data=regression and loss=cross",
        ),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_planned(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        tuning.run_tuning(arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume=nowhere"], "nowhere is not a tuning folder"),
        (["resume=nowhere", "budget=3"], "remove the other arguments"),
        (["hydra/launcher=ray", "threads=2", "resume=nowhere"], "remove the other arguments"),
        (["hydra.launcher.n_jobs=2", "resume=nowhere"], "except hydra/launcher="),
        (["resume=nowhere", "hydra/launcher=ray"], "nowhere is not a tuning folder"),
    ],
)
def test_what_cannot_be_resumed(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        tuning.run_tuning(arguments)


@pytest.mark.parametrize("carved", [False, True], ids=["version 0.1", "now"])
def test_a_resumed_plan_stays_as_it_was(carved, tmp_path, monkeypatch):
    plan = asdict(parse_plan(["loss=cross_entropy,focal", "budget=2"]))
    if carved:
        plan |= {"overrides": ["data.test_split_seed=0"], "test_split_seed": 0, "overlap": 0}
    else:
        for added in ("defaults", "test_split_seed", "test_samples", "overlap"):
            del plan[added]
    (tmp_path / "tuning.json").write_text(json.dumps(plan))
    resumed = []
    monkeypatch.setattr(tuning, "tune", lambda plan, *_: resumed.append(plan) or 0)
    tuning.run_tuning([f"resume={tmp_path}"])
    tuning.run_tuning([f"resume={tmp_path}", "hydra/launcher=ray"])
    assert resumed.pop().overrides == [*resumed[0].overrides, "hydra/launcher=ray"]
    assert resumed[0].overrides == (["data.test_split_seed=0"] if carved else [])
    assert resumed[0].points == plan["points"]
