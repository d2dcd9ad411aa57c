import functools
import io
import json
import math
import multiprocessing
import os
import pickle
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

from losslab.runs import writer as writer_module
from losslab.runs.check import is_live, needs_running
from losslab.runs.claims import TakenOver
from losslab.runs.curves import read_curves
from losslab.runs.environment import peak_memory_mb
from losslab.runs.record import new_record, read_record, write_record
from losslab.runs.scores import Scores, read_scores
from losslab.runs.writer import RunWriter

EPOCHS, STEPS = 5, 4
CONFIG = """seed: 0
task: {monitor: mae}
data: {}
loss: {}
model: {}
trainer: {}
choices: {}
overrides: []
"""
# epoch 3 ties with epoch 2 and is the best as it is later, or not by its tie-break; patience 4
# never stops, patience 2 stops after epoch 4, since equal is not better
MAE = [3.0, 2.0, 1.0, 1.0, 1.5]
NLL = [0.6, 0.9, 0.5, 0.7, 0.4]
FIELDS = {"task": "regression", "data": "line", "loss": "mse", "seed": 3, "hashes": {"data": "a"}}


def save_text(text: str) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        path.write_text(text)

    return save


def picture(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (level, 0, 0)).save(buffer, format="png")
    return buffer.getvalue()


def open_keeper(folder: Path, **options: Any) -> RunWriter:
    return RunWriter(folder, "val/mae", "min", **options)


def started(folder: Path, **options: Any) -> RunWriter:
    writer = open_keeper(folder, **options)
    writer.start(FIELDS)
    return writer


def train(folder: Path, *, tie_break: bool = False, **options: Any) -> None:
    """A run as a trainer drives it: from the last checkpoint if there is one, else anew."""
    writer = open_keeper(folder, **options)
    first = 0
    if writer.files.last.exists():
        state = json.loads(writer.files.last.read_text())
        first = state["epoch"] + 1
        writer.resume(state["step"])
    else:
        writer.start(FIELDS)
    for epoch in range(first, EPOCHS):
        for step in range(epoch * STEPS + 1, (epoch + 1) * STEPS + 1):
            writer.log(epoch, step, {"train/loss": 1 / step})
        state_text = json.dumps({"epoch": epoch, "step": step})
        metrics = {"val/mae": MAE[epoch]}
        broken = functools.partial(dict, nll=NLL[epoch]) if tie_break else None
        if writer.end_epoch(epoch, step, metrics, save_text(state_text), broken):
            break
    writer.image("test/line", picture(level=200), EPOCHS * STEPS)
    writer.scores(Scores(np.array([4, 2]), {"mae": np.array([0.25, 0.75])}))
    writer.finish({"mae": 0.5, "ref/mse": 0.25}, val={"mae": 1.0, "extra": 7.0})


VOLATILE = ("pid", "process_start", "heartbeat", "seconds", "peak_memory_mb", "command", "resumed")


def left_behind(folder: Path) -> dict[str, Any]:
    """All that a run leaves, apart from times, the process and TensorBoard's view."""
    record: Any = read_record(folder)
    scores: Any = read_scores(folder)
    return {
        "record": {name: value for name, value in record.items() if name not in VOLATILE},
        "curves": read_curves(folder).drop(columns="seconds").to_csv(),
        "best": (folder / "checkpoints/best.ckpt").read_text(),
        "last": (folder / "checkpoints/last.ckpt").read_text(),
        "scores": scores.values["mae"].tolist(),
        "figures": {path.name: path.read_bytes() for path in (folder / "figures").iterdir()},
    }


def curve(folder: Path, tag: str) -> list[int]:
    return [point.step for point in EventAccumulator(str(folder)).Reload().Scalars(tag)]


def test_a_whole_run(tmp_path: Path) -> None:
    train(tmp_path)
    record = read_record(tmp_path)
    assert record["status"] == "done"
    assert record["error"] is None
    assert record["best"] == {"epoch": 3, "metrics": {"mae": 1.0, "extra": 7.0}}
    assert record["final"] == {"epoch": 4, "metrics": {"mae": 1.5}}
    assert record["test"] == {"mae": 0.5, "ref/mse": 0.25}
    assert (record["epochs"], record["steps"]) == (EPOCHS, EPOCHS * STEPS)
    assert (record["loss"], record["seed"], record["cell"]) == ("mse", 3, "mse")
    assert record["hashes"] == {"data": "a"}
    assert record["versions"]["python"].startswith(f"{sys.version_info.major}.")
    assert "torch" in record["versions"]
    assert 0 < record["seconds"] < 60
    table = read_curves(tmp_path).pivot(index="step", columns="name", values="value")
    assert list(table.columns) == ["test/mae", "test/ref/mse", "train/loss", "val/mae"]
    assert list(table["train/loss"]) == [1 / step for step in range(1, EPOCHS * STEPS + 1)]
    assert list(table["val/mae"].dropna()) == MAE
    assert curve(tmp_path, "train/loss") == list(range(1, EPOCHS * STEPS + 1))
    assert curve(tmp_path, "val/mae") == [4, 8, 12, 16, 20]
    assert json.loads((tmp_path / "checkpoints/best.ckpt").read_text())["epoch"] == 3
    assert json.loads((tmp_path / "checkpoints/last.ckpt").read_text())["epoch"] == 4
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
    ]


# --- killed at every point ----------------------------------------------------------------------


def kill_at(call: int) -> None:
    """Make this process kill itself before its file operation number ``call``."""
    calls = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return original(*arguments, **options)

        return wrapper

    os.fsync = counted(os.fsync)
    os.link = counted(os.link)
    Path.replace = counted(Path.replace)  # type: ignore[method-assign]
    Path.rename = counted(Path.rename)  # type: ignore[method-assign]
    Path.unlink = counted(Path.unlink)  # type: ignore[method-assign]
    Path.open = counted(Path.open)  # type: ignore[method-assign]


def killed_run(folder: Path, call: int, options: dict[str, Any]) -> None:
    kill_at(call)
    train(folder, **options)


def in_process(*arguments: Any) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=killed_run, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def require_best_checkpoint(folder: Path) -> None:
    """The best checkpoint is the record's, or that of the epoch whose end was not recorded."""
    record = read_record(folder)
    if record["best"] is not None:
        state = json.loads((folder / "checkpoints/best.ckpt").read_text())
        assert state["epoch"] in (record["best"]["epoch"], record["epochs"])


@pytest.mark.parametrize(
    "options",
    [{}, {"patience": 2}, {"save_every": 3}, {"choose": "last"}, {"tie_break": True}],
    ids=["plain", "early stopping", "rare saves", "last checkpoint", "tie-break"],
)
def test_killed_at_every_file_operation_and_resumed(
    options: dict[str, Any], tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    train(whole, **options)
    expected = left_behind(whole)
    expected_steps = curve(whole, "train/loss")
    call, deaths = 0, 0
    while True:
        folder = tmp_path / str(call)
        folder.mkdir()
        exit_code = in_process(folder, call, options)
        if exit_code == 0:
            break
        assert exit_code == -signal.SIGKILL
        deaths += 1
        assert needs_running(folder)
        if (folder / "metrics.csv").exists():
            read_curves(folder)
        if (folder / "record.json").exists():
            assert not is_live(folder, read_record(folder))
            require_best_checkpoint(folder)
        train(folder, **options)
        assert left_behind(folder) == expected, f"killed before file operation {call}"
        assert curve(folder, "train/loss") == expected_steps
        assert not list(folder.rglob("*.tmp"))
        call += 1
    assert deaths > 30  # that the kills happened: a run makes more file operations than this


def test_killed_again_and_again(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    folder.mkdir()
    train(whole)
    codes = [in_process(folder, call, {}) for call in (25, 3, 11, 17, 24, 31, 45)]
    assert -signal.SIGKILL in codes
    if needs_running(folder):
        train(folder)
    assert left_behind(folder) == left_behind(whole)


def test_best_checkpoint_survives_a_kill_while_the_next_one_is_saved(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.end_epoch(0, 4, {"val/mae": 1.0}, save_text("good"))
    # what a kill between the best and the last checkpoint leaves: one file under two names
    os.link(writer.files.best, writer.files.unfinished)

    def half(path: Path) -> None:
        path.write_text("ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.end_epoch(1, 8, {"val/mae": 0.5}, half)
    assert writer.files.best.read_text() == "good"
    assert writer.files.last.read_text() == "good"
    assert writer.record["best"] == {"epoch": 0, "metrics": {"mae": 1.0}}


# --- what is best, and when to stop -------------------------------------------------------------

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("mode", "values", "best", "stopped"),
    [
        ("min", [3, 2, 1], 2, None),
        ("max", [3, 2, 1], 0, 2),
        ("min", [2, 3, 1, 2, 2], 2, 4),
        ("min", [1, NAN, NAN], 0, 2),
        ("min", [NAN, NAN, 5], 2, None),
        ("max", [NAN, 5, NAN, 6], 3, None),
        ("min", [INF, 5, 6, 4], 3, None),
        ("min", [NAN, INF, NAN, NAN], 1, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("ties", ["first", "later"])
def test_best_and_patience(
    mode: Any, values: list[float], best: int, stopped: int | None, ties: Any, tmp_path: Path
) -> None:
    require_best(RunWriter(tmp_path, "val/mae", mode, patience=2, ties=ties), values, best, stopped)


@pytest.mark.parametrize(
    ("options", "epochs", "reason"),
    [
        ({"max_seconds": 0}, 1, "max_time"),
        ({"max_seconds": 0, "min_epochs": 3}, 3, "max_time"),
        ({"patience": 1, "min_epochs": 3}, 3, "patience"),
        ({"patience": 1, "max_seconds": 3600}, 2, "patience"),
        ({}, 4, None),
    ],
)
def test_the_record_says_what_stopped_the_run(tmp_path, options, epochs, reason):
    writer = started(tmp_path, **options)
    for epoch in range(4):
        if writer.end_epoch(epoch, epoch + 1, {"val/mae": 1.0}, save_text("weights")):
            break
    assert (writer.record["epochs"], writer.record["stopped"]) == (epochs, reason)


@pytest.mark.parametrize(
    ("mode", "values", "first", "later", "stopped"),
    [
        ("min", [1, 1, 1], 0, 2, 2),
        ("max", [1, 2, 2, 2], 1, 3, 3),
        ("max", [1, 1, 0, 0], 0, 1, 2),
        ("max", [-INF, NAN, -INF], 0, 2, 2),
        ("min", [NAN, NAN], 0, 1, None),
        ("max", [0.42061281204, 151 / 359], 0, 1, None),  # equal in float32
    ],
    ids=str,
)
def test_a_tie_goes_to_the_later_epoch_or_to_the_first_and_is_no_improvement(
    mode: Any, values: list[float], first: int, later: int, stopped: int | None, tmp_path: Path
) -> None:
    expected: dict[Any, int] = {"first": first, "later": later}
    for ties, best in expected.items():
        writer = RunWriter(tmp_path / ties, "val/mae", mode, patience=2, ties=ties)
        require_best(writer, values, best, stopped)


def require_best(writer: RunWriter, values: list[float], best: int, stopped: int | None) -> None:
    writer.start(FIELDS)
    stops = [
        writer.end_epoch(epoch, epoch + 1, {"val/mae": value}, save_text(str(epoch)))
        for epoch, value in enumerate(values)
    ]
    assert [epoch for epoch, stop in enumerate(stops) if stop][:1] == [
        epoch for epoch in [stopped] if epoch is not None
    ]
    record = writer.record
    assert record["best"] is not None
    assert record["best"]["epoch"] == best
    assert writer.files.best.read_text() == str(best)
    assert writer.files.last.read_text() == str(len(values) - 1)


@pytest.mark.parametrize(
    ("nll", "best"),
    [
        ([0.5, 0.6, 0.4, 0.6], 2),
        ([0.5, 0.5, 0.6, 0.7], 1),
        ([0.5, 0.5, 0.5, 0.5], 3),
        ([NAN, 0.9, NAN, 0.9], 3),
        ([NAN, NAN, NAN, NAN], 3),
    ],
    ids=str,
)
def test_the_tie_break_decides_between_equal_epochs(
    nll: list[float], best: int, tmp_path: Path
) -> None:
    writer = RunWriter(tmp_path, "val/auroc", "max")
    writer.start(FIELDS)
    for epoch, value in enumerate(nll):
        broken = functools.partial(dict, nll=value)
        writer.end_epoch(epoch, epoch, {"val/auroc": 0.5}, save_text(str(epoch)), broken)
    assert writer.files.best.read_text() == str(best)
    kept = writer.record["best"]
    assert kept is not None
    assert kept["epoch"] == best
    assert kept["metrics"] == pytest.approx({"auroc": 0.5, "nll": nll[best]}, nan_ok=True)


def test_the_tie_break_is_measured_for_epochs_that_may_be_the_best_only(tmp_path: Path) -> None:
    measured = []

    def broken(epoch: int) -> dict[str, float]:
        measured.append(epoch)
        return {"nll": 0.5}

    writer = RunWriter(tmp_path, "val/auroc", "max")
    writer.start(FIELDS)
    for epoch, value in enumerate([0.5, 0.4, 0.5, 0.6, 0.55]):
        save = save_text("")
        writer.end_epoch(epoch, epoch, {"val/auroc": value}, save, functools.partial(broken, epoch))
    assert measured == [0, 2, 3]
    curves = read_curves(tmp_path)
    assert curves.loc[curves["name"] == "val/nll", "step"].tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("values", "chosen"),
    [([1, 2, 3], 2), ([1, 2, NAN], 1), ([NAN, NAN], 0), ([NAN, 2, INF], 2)],
    ids=str,
)
def test_the_last_epoch_with_a_number_is_chosen_on_request(
    values: list[float], chosen: int, tmp_path: Path
) -> None:
    writer = started(tmp_path, choose="last", events=False)
    for epoch, value in enumerate(values):
        assert not writer.end_epoch(epoch, epoch, {"val/mae": value}, save_text(str(epoch)))
    record = writer.record
    assert record["best"] is not None
    assert record["best"]["epoch"] == chosen
    assert writer.files.best.read_text() == str(chosen)
    assert writer.files.last.read_text() == str(len(values) - 1)


def test_rare_saves(tmp_path: Path) -> None:
    writer = started(tmp_path, save_every=3, patience=4)
    saved = []
    for epoch, value in enumerate([5.0, 6.0, 7.0, 8.0, 9.0]):

        def save(path: Path, epoch: int = epoch) -> None:
            saved.append(epoch)
            path.write_text("")

        stop = writer.end_epoch(epoch, epoch, {"val/mae": value}, save)
    assert stop
    assert saved == [0, 2, 4]  # the best, the third, and the one that stops


def test_a_best_epoch_replayed_after_a_kill_is_saved_again(tmp_path: Path) -> None:
    writer = started(tmp_path, save_every=10)
    writer.end_epoch(0, 4, {"val/mae": 2.0}, save_text("0"))
    writer.end_epoch(1, 8, {"val/mae": 1.0}, save_text("1"))
    writer.files.last.unlink()
    writer.files.last.write_text("0")  # as if killed between the record and the last checkpoint
    writer.interrupt()
    writer.resume(4)
    writer.end_epoch(1, 8, {"val/mae": 1.0}, save_text("1"))
    assert writer.files.best.read_text() == writer.files.last.read_text() == "1"


def test_the_monitored_metric_must_be_there(tmp_path: Path) -> None:
    writer = started(tmp_path)
    with pytest.raises(ValueError, match="metrics must include val/mae, got val/rmse"):
        writer.end_epoch(0, 1, {"val/rmse": 1.0}, save_text(""))


def test_the_record_keeps_the_monitored_split(tmp_path: Path) -> None:
    writer = started(tmp_path)
    metrics = {"val/mae": 1.0, "val/ref/mse": 2.0, "train/mae": 3.0, "lr": 0.1}
    writer.end_epoch(0, 1, metrics, save_text(""))
    assert writer.record["final"] == {"epoch": 0, "metrics": {"mae": 1.0, "ref/mse": 2.0}}
    assert set(read_curves(tmp_path)["name"]) == set(metrics)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "best"}, "mode must be 'min' or 'max', got 'best'"),
        ({"patience": 0}, "patience must be at least 1 or None, got 0"),
        ({"save_every": 0}, "save_every must be at least 1, got 0"),
        ({"choose": "first"}, "choose must be 'best' or 'last', got 'first'"),
    ],
    ids=["mode", "patience", "save_every", "choose"],
)
def test_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        RunWriter(tmp_path, **({"monitor": "val/mae", "mode": "min"} | options))


# --- how a run begins and ends ------------------------------------------------------------------


def test_a_failed_run_keeps_its_last_good_checkpoints(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.end_epoch(0, 4, {"val/mae": 1.0}, save_text("good"))
    writer.log(1, 5, {"train/loss": math.nan})
    writer.fail("diverged", "mse gave nan", step=5)
    record = writer.record
    assert record["status"] == "failed"
    assert record["error"] == {"kind": "diverged", "message": "mse gave nan", "step": 5}
    assert writer.files.best.read_text() == writer.files.last.read_text() == "good"
    assert read_curves(tmp_path)["value"].isna().sum() == 1
    writer.resume(4)
    assert writer.record["error"] is None
    assert writer.record["status"] == "running"
    assert list(read_curves(tmp_path)["name"]) == ["val/mae"]


def test_an_interrupted_run_needs_running(tmp_path: Path) -> None:
    writer = started(tmp_path)
    assert not needs_running(tmp_path)
    writer.interrupt()
    assert writer.record["status"] == "interrupted"
    assert needs_running(tmp_path)


def test_two_writers_never_have_a_run(tmp_path: Path) -> None:
    first = started(tmp_path)
    for begin in (lambda: started(tmp_path), lambda: open_keeper(tmp_path).resume(0)):
        with pytest.raises(FileExistsError, match="is working on"):
            begin()
    assert first.is_going_on
    first.end_epoch(0, 1, {"val/mae": 1.0}, save_text("kept"))
    first.interrupt()
    second = open_keeper(tmp_path)
    second.resume(1)
    second.finish({})
    assert not list(tmp_path.glob("claim.*"))  # one that is done needs none


def test_a_writer_whose_run_was_taken_over_writes_nothing_more(tmp_path: Path) -> None:
    suspended = started(tmp_path)
    assert suspended._claim is not None
    os.utime(suspended._claim.path, (1, 1))  # for more than two minutes
    other = open_keeper(tmp_path)
    other.start(FIELDS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    suspended._claim._touched -= 60
    assert not suspended.is_going_on
    with pytest.raises(TakenOver, match="took over"):
        suspended.end_epoch(0, 1, {"val/mae": 1.0}, save_text("lost"))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    other.finish({})


def test_start_takes_the_folder_of_a_failed_run_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    first = started(tmp_path)
    first.end_epoch(0, 9, {"val/mae": 0.0}, save_text("old"))
    first.fail("exception", "x")
    first.image("val/old", picture(level=1), 9)
    (tmp_path / "checkpoints/epoch.tmp").write_text("what a kill of the saver left")
    (tmp_path / "run.log").write_text("kept")
    second = started(tmp_path)
    second.end_epoch(0, 1, {"val/mae": 5.0}, save_text("new"))
    assert second.record["best"] == {"epoch": 0, "metrics": {"mae": 5.0}}
    assert second.files.best.read_text() == "new"
    assert curve(tmp_path, "val/mae") == list(read_curves(tmp_path)["step"]) == [1]
    assert (tmp_path / "run.log").read_text() == "kept"
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("*.png"))


def test_a_run_that_is_done_is_not_overwritten(tmp_path: Path) -> None:
    train(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    for checkpoint in (tmp_path / "checkpoints").iterdir():  # text in these tests
        zipfile.ZipFile(checkpoint, "w").close()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(FileExistsError, match="has a finished run"):
        open_keeper(tmp_path).start(FIELDS)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize(
    "begin", [lambda k: k.start(FIELDS), lambda k: k.resume(0)], ids=["start", "resume"]
)
def test_a_live_run_is_left_alone(begin: Callable[[RunWriter], None], tmp_path: Path) -> None:
    record = new_record()
    record["host"] = "elsewhere"
    write_record(tmp_path, record)
    with pytest.raises(FileExistsError, match="on elsewhere is working on"):
        begin(open_keeper(tmp_path))
    assert read_record(tmp_path) == record


def test_scores_go_with_the_test_metrics(tmp_path: Path) -> None:
    """They are those of an earlier checkpoint once the run is resumed or started anew."""
    train(tmp_path)
    writer = open_keeper(tmp_path)
    writer.resume(EPOCHS * STEPS)
    assert (writer.record["test"], read_scores(tmp_path)) == ({}, None)
    writer.scores(Scores(np.array([4]), {"mae": np.array([0.5])}))
    writer.interrupt()
    started(tmp_path)
    assert read_scores(tmp_path) is None


def test_a_run_that_is_done_goes_on_for_more_epochs(tmp_path: Path) -> None:
    train(tmp_path)
    seconds = read_record(tmp_path)["seconds"]
    writer = open_keeper(tmp_path)
    writer.resume(EPOCHS * STEPS)
    assert (writer.record["status"], writer.record["test"]) == ("running", {})
    writer.end_epoch(EPOCHS, 24, {"val/mae": 0.1}, save_text("better"))
    writer.finish({"mae": 0.2})
    assert writer.record["seconds"] > seconds
    table = read_curves(tmp_path)
    assert list(table[table["name"] == "test/mae"]["step"]) == [24]
    assert list(table[table["name"] == "val/mae"]["step"]) == [4, 8, 12, 16, 20, 24]
    assert table["seconds"].is_monotonic_increasing


@pytest.mark.parametrize("call", ["start", "note"])
def test_unknown_fields_are_refused(call: str, tmp_path: Path) -> None:
    writer = open_keeper(tmp_path)
    if call == "note":
        writer.start(FIELDS)
    with pytest.raises(ValueError, match=r"fields must be among schema, .*got lossy"):
        getattr(writer, call)({"lossy": 1})


def test_note_adds_what_became_known(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.note({"baselines": {"raw": {"recall_at_1": 0.9}}})
    writer.end_epoch(0, 1, {"val/mae": 1.0}, save_text(""))
    assert writer.record["baselines"] == {"raw": {"recall_at_1": 0.9}}


def test_resume_of_no_run_names_the_record(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"record\.json"):
        open_keeper(tmp_path).resume(0)


def test_log_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = started(tmp_path)
    before = writer.record
    writer.log(0, 1, {"train/loss": 1.0})
    assert writer.record == before  # too early for one, and no write for each step
    monkeypatch.setattr(writer_module, "HEARTBEAT_EVERY", 0.0)
    time.sleep(0.01)
    writer.log(0, 2, {"train/loss": 0.5})
    assert writer.record["heartbeat"] > before["heartbeat"]
    assert list(read_curves(tmp_path)["step"]) == [1, 2]
    assert curve(tmp_path, "train/loss") == [1, 2]


def test_without_events_there_is_no_event_file(tmp_path: Path) -> None:
    train(tmp_path, events=False)
    assert not list(tmp_path.glob("events*"))
    assert (tmp_path / "figures/test_line.png").read_bytes() == picture(level=200)


def test_a_picture_is_shown_in_tensorboard_and_kept_as_a_file(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.image("val/ref/line", picture(level=1), 4)
    writer.image("val/ref/line", picture(level=2), 8)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["val_ref_line.png"]
    assert (tmp_path / "figures/val_ref_line.png").read_bytes() == picture(level=2)
    shown = EventAccumulator(str(tmp_path)).Reload().Images("visuals/val/ref/line")
    assert [(image.step, image.encoded_image_string) for image in shown] == [
        (4, picture(level=1)),
        (8, picture(level=2)),
    ]


def test_what_an_epoch_measured_is_not_changed_by_a_second_measurement(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.end_epoch(0, 1, {"val/mae": 1.0}, save_text(""))
    writer.finish({"mae": 2.0}, val={"val/mae": 1.0 + 1e-7, "extra": 3.0})
    assert writer.record["best"] == {"epoch": 0, "metrics": {"mae": 1.0, "extra": 3.0}}


def child_trains(pickled: bytes) -> None:
    writer = pickle.loads(pickled)
    for epoch in range(2):
        writer.log(epoch, epoch + 1, {"train/loss": 1.0})
        writer.end_epoch(epoch, epoch + 1, {"val/mae": 2.0 - epoch}, save_text(str(epoch)))


def test_another_process_trains_and_this_one_finishes(tmp_path: Path) -> None:
    writer = started(tmp_path)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=child_trains, args=(pickle.dumps(writer),))
    child.start()
    child.join()
    assert child.exitcode == 0
    writer.finish({"mae": 3.0})
    record = writer.record
    assert record["pid"] == os.getpid()
    assert record["best"] == {"epoch": 1, "metrics": {"mae": 1.0}}
    assert (record["epochs"], record["test"]) == (2, {"mae": 3.0})
    names = list(read_curves(tmp_path)["name"])
    assert names == ["train/loss", "val/mae", "train/loss", "val/mae", "test/mae"]
    assert curve(tmp_path, "train/loss") == [1, 2]


def test_tensorboard_shows_curves_and_the_results_in_one_table_and_one_row(tmp_path: Path) -> None:
    columns = {"charts": ["val/mae"], "hparams": {"lr": 0.1}}
    train(tmp_path, **columns)
    shown = EventAccumulator(str(tmp_path)).Reload()
    assert shown.Tags()["scalars"] == ["train/loss", "val/mae", "curves/val_mae"]
    assert curve(tmp_path, "curves/val_mae") == curve(tmp_path, "val/mae")
    [table] = shown.Tensors("results")
    assert b"| mae | 1.000 | 0.5000 |" in table.tensor_proto.string_val[0]
    content = shown.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    row = parse_session_start_info_plugin_data(content)
    values = {name: value.number_value for name, value in row.hparams.items()}
    assert values == {"lr": 0.1, "test/mae": 0.5, "test/ref/mse": 0.25}


def test_a_run_that_resumes_has_no_row_until_it_ends(tmp_path: Path) -> None:
    train(tmp_path, hparams={"lr": 0.1})
    writer = open_keeper(tmp_path, hparams={"lr": 0.1})
    writer.resume(EPOCHS * STEPS)
    assert not list(tmp_path.glob("events*.hparams"))
    writer.interrupt()
    assert not list(tmp_path.glob("events*.hparams"))
    writer.fail("diverged", "loss became NaN")
    assert list(tmp_path.glob("events*.hparams"))


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_memory_mb()
    if before is None:
        pytest.skip("this system does not say")
    block = bytearray(int(before + 64) * 2**20)  # more than the peak so far, whatever is free
    after = peak_memory_mb()
    assert after is not None
    assert after >= len(block) / 2**20


def test_curves_are_a_data_frame(tmp_path: Path) -> None:
    train(tmp_path)
    assert isinstance(read_curves(tmp_path), pd.DataFrame)
