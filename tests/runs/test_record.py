import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from losslab.runs.check import is_live, needs_running
from losslab.runs.files import LaterVersionError
from losslab.runs.process import process_start
from losslab.runs.record import (
    Record,
    is_stale,
    new_record,
    read_record,
    write_record,
)


def record_with(**fields: Any) -> Record:
    record: Any = new_record()
    assert fields.keys() <= record.keys()
    record.update(fields)
    return record


def test_a_record_reads_back_as_written(tmp_path: Path) -> None:
    record = record_with(
        loss="focal",
        seed=3,
        best={"epoch": 2, "metrics": {"accuracy": 0.1 + 0.2}},
        test={"mae": 1e-300, "rmse": 1e300},
        choices={"model": None, "callbacks": ["a", "b"]},
    )
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_not_finite_numbers_are_strict_json_and_read_back(tmp_path: Path) -> None:
    test = {"a": math.nan, "b": math.inf, "c": -math.inf}
    write_record(tmp_path, record_with(test=test, best={"epoch": 0, "metrics": test}))

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)
    read = read_record(tmp_path)
    assert math.isnan(read["test"]["a"])
    assert (read["test"]["b"], read["test"]["c"]) == (math.inf, -math.inf)
    assert read["best"] is not None
    assert math.isnan(read["best"]["metrics"]["a"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"schema": 1', "not valid JSON"),
        (b"\xff\xfe\x00", "is not text"),
        (bytes(100), "not valid JSON"),
        (b'{"seed": NaN}', "NaN is not a number"),
        (b'{"seed": 1e999}', "1e999 is too large"),
        (b'{"seed": 9223372036854775808}', "is too large"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1]", "must hold a JSON object, got list"),
        (b'{"schema": 1}', "lacks the fields baselines, best"),
    ],
    ids=["empty", "cut", "binary", "zeros", "nan", "inf", "huge", "deep", "list", "fields"],
)
def test_a_broken_record_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_record(tmp_path)
    assert str(tmp_path / "record.json") in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", 99, "has schema 99, but this losslab reads at most 1"),
        ("schema", 0, "must have schema 1, got 0"),
        ("status", "odd", "has a wrong status: 'odd'"),
        ("seed", "3", "has a wrong seed: '3'"),
        ("epochs", -1, "has a wrong epochs: -1"),
        ("heartbeat", math.nan, "has a wrong heartbeat: nan"),
        ("test", {"mae": "good"}, "has a wrong test: "),
        ("best", {"epoch": 1}, "has a wrong best: "),
    ],
)
def test_a_record_of_another_kind_is_refused(
    field: str, value: object, message: str, tmp_path: Path
) -> None:
    write_record(tmp_path, record_with(**{field: value}))
    with pytest.raises(ValueError, match=message):
        read_record(tmp_path)


def test_no_record_is_an_error_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"record\.json"):
        read_record(tmp_path)


def gone_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


OLD = 0.0  # 1970: older than any bound, and the same in every test process


@pytest.mark.parametrize(
    ("fields", "stale"),
    [
        ({}, False),
        ({"heartbeat": OLD}, True),
        ({"pid": "gone"}, True),
        ({"pid": "gone", "process_start": None}, True),
        ({"process_start": None}, False),
        ({"process_start": "another boot/1"}, True),  # the pid was used again
        ({"host": "elsewhere", "pid": "gone"}, False),
        ({"host": "elsewhere", "heartbeat": OLD}, True),
        ({"status": "done", "heartbeat": OLD}, False),
        ({"status": "interrupted", "pid": "gone"}, False),
    ],
    ids=str,
)
def test_stale(fields: dict[str, Any], stale: bool, tmp_path: Path) -> None:
    if fields.get("pid") == "gone":
        fields = fields | {"pid": gone_process()}
    if fields.get("process_start") and process_start(os.getpid()) is None:
        pytest.skip("this system does not say when a process began")
    record = record_with(**fields)
    assert is_stale(record) is stale
    assert is_live(tmp_path, record) is (record["status"] == "running" and not stale)


def test_a_killed_process_is_stale_before_and_after_it_is_waited_for() -> None:
    if process_start(os.getpid()) is None:
        pytest.skip("this system does not say when a process began")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    record = record_with(pid=process.pid, process_start=process_start(process.pid))
    assert not is_stale(record)
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not is_stale(record) and time.monotonic() < deadline:  # a zombie until waited for
        time.sleep(0.01)
    assert is_stale(record)
    process.wait()
    assert is_stale(record)


CONFIG = """seed: 0
task: {monitor: mae}
data: {}
loss: {}
model: {}
trainer: {}
choices: {}
overrides: []
"""


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"status": "done"}, False),
        ({"status": "failed"}, True),
        ({"status": "interrupted"}, True),
        ({"status": "running"}, False),
        ({"status": "running", "heartbeat": OLD}, True),
        ({"status": "running", "pid": "gone"}, True),
    ],
    ids=str,
)
def test_needs_running(fields: dict[str, Any], needs: bool, tmp_path: Path) -> None:
    if fields.get("pid") == "gone":
        fields = fields | {"pid": gone_process()}
    write_record(tmp_path, record_with(**fields))
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert needs_running(tmp_path) is needs


def test_a_missing_and_a_damaged_run_need_running(tmp_path: Path) -> None:
    assert needs_running(tmp_path / "never")
    (tmp_path / "record.json").write_text("{")
    assert needs_running(tmp_path)


def test_a_run_of_a_later_version_is_not_made_again(tmp_path: Path) -> None:
    write_record(tmp_path, record_with(schema=2))
    with pytest.raises(LaterVersionError, match="update losslab"):
        needs_running(tmp_path)


def test_a_new_record_is_of_this_process() -> None:
    record = new_record()
    assert (record["host"], record["pid"]) == (platform.node(), os.getpid())
    assert abs(record["heartbeat"] - time.time()) < 5
