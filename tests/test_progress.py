"""What a sweep prints about its jobs while it runs."""

import itertools
import json
from types import SimpleNamespace

import pytest

from losslab import progress
from losslab.progress import StackProgress, show_job
from losslab.runs.writer import RunWriter

JOBS = [[f"loss={loss}", "callbacks=quiet", f"seed={n}"] for loss in ("mse", "mae") for n in (0, 1)]


@pytest.fixture
def told(tmp_path, capsys, monkeypatch):
    """Return what is printed about a job, given how its run ends."""
    monkeypatch.setattr(progress, "duration", lambda seconds: "0.0 s")

    def tell(job, end, metrics=("mae", "rmse")):
        folder = tmp_path / "mae,callbacks=quiet" / "seed0"
        file = tmp_path / "sweep.json"
        file.write_text(json.dumps({"jobs": JOBS}))
        writer = RunWriter(folder, "val/mae", "min", events=False)
        writer.start({"loss": "mae"})
        writer.end_epoch(0, 10, {"val/mae": 2.5}, lambda path: path.touch())
        end(writer)
        sweeper, overrides = SimpleNamespace(file=str(file)), SimpleNamespace(task=job)
        show_job(folder, metrics, SimpleNamespace(sweeper=sweeper, overrides=overrides))
        printed = capsys.readouterr()
        assert not printed.out
        return printed.err

    return tell


def test_a_job_that_is_done(told):
    line = told(JOBS[2], lambda writer: writer.finish({"test/rmse": 3.0, "test/mae": 2.0}))
    assert line == "job 3 of 4: mae/seed0: test mae 2.000, 0.0 s\n"


def test_a_job_without_a_test(told):
    line = told(JOBS[2], lambda writer: writer.finish({}))
    assert line == "job 3 of 4: mae/seed0: validation mae 2.500, 0.0 s\n"


def test_a_job_that_failed(told):
    line = told(JOBS[2], lambda writer: writer.fail("diverged", "mae became nan", 3))
    assert line == "job 3 of 4: mae/seed0: failed (diverged) after 0.0 s\n"


def test_a_job_of_a_task_without_metrics(told):
    line = told(JOBS[2], lambda writer: writer.finish({"test/rmse": 3.0}), ())
    assert line == "job 3 of 4: mae/seed0: 0.0 s\n"


def lines_of(epochs, seconds_per_epoch):
    clock = itertools.count(0, seconds_per_epoch).__next__
    stack = StackProgress(["mse"], epochs, clock)
    return [line for epoch in range(1, epochs + 1) for line in stack.lines(epoch)]


@pytest.mark.parametrize(
    ("epochs", "seconds_per_epoch", "expected"),
    [
        (5, 1, 0),  # a short stack only tells its end
        (5, 20, 5),
        (1000, 20, 20),  # a long one tells every 5 percent
        (100, 1, 10),  # and at most every 10 seconds
    ],
)
def test_a_stack_tells_how_far_it_is_now_and_then(epochs, seconds_per_epoch, expected):
    lines = lines_of(epochs, seconds_per_epoch)
    assert len(lines) == expected
    assert all(line.startswith("1 job in lockstep (mse): epoch ") for line in lines)


def test_the_end_of_a_stack(capsys):
    losses = ["mse", "mse", "mae", "huber", "rmse", "smooth_l1"]
    stack = StackProgress(losses, 4, itertools.count(0, 61).__next__)
    stack.show_end(["done"] * 5 + ["failed"])
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err == (
        "6 jobs in lockstep (mse, mae, huber and 2 more): 5 done, 1 failed, 61.0 s\n"
    )
