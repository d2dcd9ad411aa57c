"""What a sweep prints about its jobs while it runs."""

import io
import json
import sys
import time
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from losslab import progress
from losslab.progress import SweepProgress, show_job, show_stack
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
        sweeper = SimpleNamespace(file=str(file))
        overrides = SimpleNamespace(task=OmegaConf.create(job))
        show_job(folder, metrics, SimpleNamespace(sweeper=sweeper, overrides=overrides))
        printed = capsys.readouterr()
        assert not printed.out
        return printed.err

    return tell


class Pieces(io.RawIOBase):
    """File that keeps what each of its writes was given."""

    def __init__(self):
        self.pieces = []

    def writable(self):
        return True

    def write(self, content):
        self.pieces.append(bytes(content))
        return len(content)


def test_a_line_is_written_in_one_piece(monkeypatch):
    raw = Pieces()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, write_through=True))
    progress.show("job 1 of 4")
    monkeypatch.undo()
    assert raw.pieces == [b"job 1 of 4\n"]


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


def test_the_end_of_a_stack(capsys):
    losses = ["mse", "mse", "mae", "huber", "rmse", "smooth_l1"]
    show_stack(losses, ["done"] * 5 + ["failed"], 61.0)
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err == (
        "6 jobs in lockstep (mse, mae, huber and 2 more): 5 done, 1 failed, 61.0 s\n"
    )


@pytest.fixture
def sweep(tmp_path):
    """Writers of four runs of ten epochs, the first of which is done already."""
    writers = [RunWriter(tmp_path / str(n), "val/mae", "min", events=False) for n in range(4)]
    for writer in writers[:2]:
        writer.start({})
        train(writer, 4)
    writers[0].finish({})
    writers[1].fail("diverged", "mae became nan")
    return writers


def train(writer, epochs):
    for epoch in range(epochs):
        writer.end_epoch(epoch, epoch + 1, {"val/mae": 1.0}, lambda path: path.touch())


def test_progress_covers_the_epochs_of_all_runs_and_estimates_the_time_left(sweep):
    now = time.time()
    progress = SweepProgress({writer.folder: 10 for writer in sweep}, lambda: now)
    assert progress.text() == "1 of 4 jobs done, 25 %, 0.0 s"  # the one that failed starts again
    sweep[1].start({})
    train(sweep[1], 5)
    now += 10  # for half a run: two and a half are left
    assert progress.text() == "1 of 4 jobs done, 1 running, 38 %, 10.0 s, about 50.0 s left"
    sweep[1].fail("diverged", "mae became nan")
    assert progress.text() == "1 of 4 jobs done, 1 failed, 50 %, 10.0 s, about 20.0 s left"


def test_progress_says_where_jobs_run(sweep):
    for writer, host in zip(sweep[1:], ["node1", "node2", "node2"], strict=True):
        writer.start({})
        train(writer, 5)
        writer.note({"host": host})
    progress = SweepProgress({writer.folder: 10 for writer in sweep})
    assert progress.text().startswith("1 of 4 jobs done, 3 running on node2 (2), node1 (1), 62 %, ")
    sweep[3].interrupt()
    assert progress.text().startswith("1 of 4 jobs done, 2 running on node1 (1), node2 (1), 62 %, ")


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_a_bar_or_some_lines(sweep, terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(progress, "BAR_EVERY", 0.01)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.01)
    printed = ""
    with SweepProgress({writer.folder: 10 for writer in sweep}):
        until = time.monotonic() + 60
        while printed.count("1 of 4 jobs done") < 2 and time.monotonic() < until:
            printed += capsys.readouterr().err
    printed += capsys.readouterr().err
    if terminal:
        assert "\r\033[K█████░░░░░░░░░░░░░░░ 1 of 4 jobs done, 25 %" in printed
        assert printed.endswith("\r\033[K")
        assert "\n" not in printed
    else:
        assert {line.partition(", 25 %")[0] for line in printed.splitlines()} == {
            "sweep: 1 of 4 jobs done"
        }
