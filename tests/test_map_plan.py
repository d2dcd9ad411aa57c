"""What the arguments of ``losslab map`` mean, and which are refused."""

import subprocess
import sys

import pytest

from losslab.config.command import all_jobs
from losslab.config.errors import UserError
from losslab.map_plan import parse_map

GIVEN = ["loss=mse,mae,huber", "x=data.outliers:0:0.3:7", "y=data.n:50:2000:6:log"]


def test_a_map_is_a_sweep_with_as_many_seeds_as_its_comparisons_need():
    plan = parse_map([*GIVEN, "optimizer.lr=0.1"])
    saved = plan.saved
    assert (saved.cells, saved.comparisons) == (42, 126)
    # 2 ** (1 - 13) < 0.05 / 126 < 2 ** (1 - 12)
    assert saved.seeds == tuple(range(13))
    jobs = all_jobs(plan.command)
    assert len(jobs) == saved.runs == 42 * 3 * 13
    assert len(set(map(tuple, jobs))) == len(jobs)
    for shared in ("optimizer.lr=0.1", "callbacks=quiet", "logger=none"):
        assert all(shared in job for job in jobs)
    at = [job for job in jobs if {"data.outliers=0.05", "data.n=105"} <= set(job)]
    assert len(at) == 3 * 13
    assert sorted(map(sorted, plan.jobs_at(0.05, 105, range(13)))) == sorted(map(sorted, at))


def test_seeds_and_choices_that_are_given():
    plan = parse_map([*GIVEN, "seeds=range(20,22)", "callbacks=default"])
    assert plan.saved.seeds == (20, 21)
    assert not {"callbacks=quiet", "logger=none"} & set(plan.command.overrides)
    assert plan.saved.command.endswith("callbacks=default 'seeds=range(20,22)'")


def test_an_experiment_has_losses_and_axes_that_arguments_replace():
    plan = parse_map(["experiment=maps/outliers_samples", "y=data.noise:1:2:2"])
    saved = plan.saved
    assert saved.losses == ("mse", "mae", "huber")
    assert (saved.x.key, saved.y.key) == ("data.outliers", "data.noise")
    assert saved.seeds == tuple(range(100, 120))
    assert not {"callbacks=quiet", "logger=none"} & set(plan.command.overrides)


WITHOUT_TORCH = [
    ("loss=mse x=data.outliers:0:0.3:2 y=data.n:50:60:2", "two or more losses"),
    ("loss=mse,mse x=data.outliers:0:0.3:2 y=data.n:50:60:2", "two or more losses"),
    ("x=data.outliers:0:0.3:2 y=data.n:50:60:2", "two or more losses"),
    ("loss=mse,mea x=data.outliers:0:0.3:2 y=data.n:50:60:2", "did you mean mse or mae"),
    (
        "loss=mse,mae,huber,rmse,sse,smooth_l1,reconstruction x=data.outliers:0:0.3:2 "
        "y=data.n:50:60:2",
        "at most 6 losses, got 7",
    ),
    ("loss=mse,mae x=data.outliers:0:0.3:2", "no y axis given: add y=OPTION:LOW:HIGH"),
    ("loss=mse,mae x=data.n:0:0.3:2 y=data.n:50:60:2", "different options, got data.n for both"),
    ("loss=mse,mae x=data.outlers:0:0.3:2 y=data.n:50:60:2", "did you mean data.outliers"),
    ("loss=mse,mae x=data.outliers:0:2:2 y=data.n:50:60:2", "from 0 to 1, got 2"),
    ("loss=mse,mae x=data.curve:0:2:2 y=data.n:50:60:2", "data.curve must be line or sine"),
    ("loss=mse,mae x=loss.delta:1:2:2 y=data.n:50:60:2", "that all losses share"),
    ("loss=mse,mae x=data.outliers:0:1:2 y=data.n:5:6:2 data.n=7", "is the y axis: remove data.n="),
    ("loss=mse,mae x=data.outliers:0:1:2 y=data.n:5:6:2 seed=1", "seed=1: use seeds="),
    ("loss=mse,mae x=data.outliers:0:1:2 y=data.n:5:6:2 seeds=auto", "must be whole numbers"),
    ("loss=mse,mae x=data.outliers:0:1:2 y=data.n:5:6:2 data.noise=1,2", "give one value"),
    ("loss=mse,mae x=data.outliers:0:1:2 x=data.n:5:6:2", "x is given twice"),
    ("loss=mse,mae --x=data.outliers:0:1:2", "options have no dashes: write x"),
    ("loss=mse,mae x=data.outliers:0:1:2 y=data.n:5:6:2 --dry", "unknown option --dry"),
    ("experiment=maps/outliers", "unknown experiment"),
    ("experiment=claims/outliers", "two or more losses"),
]


@pytest.mark.parametrize(("typed", "reason"), WITHOUT_TORCH)
def test_what_is_refused(typed, reason):
    with pytest.raises(UserError) as refused:
        parse_map(typed.split())
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_arguments_are_refused_before_torch_is_imported():
    program = (
        "import sys\n"
        "from losslab.commands.map import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit as ended:\n"
        "    print(ended.code, 'torch' in sys.modules)\n"
    )
    given = WITHOUT_TORCH[8][0].split()
    done = subprocess.run(
        [sys.executable, "-c", program, *given], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
    assert done.stderr == "error: data.outliers must be a number from 0 to 1, got 2\n"
