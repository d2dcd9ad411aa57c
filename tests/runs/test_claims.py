"""One process at a time works on a folder; one that is lost is replaced."""

import copy
import json
import multiprocessing
import os
import pickle
import platform
import threading
import time

import pytest

from losslab.runs import claims
from losslab.runs.claims import Claimed, TakenOver, claim, holder, use_engine
from losslab.runs.process import pid_namespace

OTHER = {"host": "elsewhere", "pid": 1, "process_start": None, "job": "slurm:7"}
OTHER |= {"namespace": None}
HERE = {"host": platform.node(), "namespace": pid_namespace()}


@pytest.fixture(autouse=True)
def _same_engine(monkeypatch):
    """Let each test use an engine of its own, and leave that of the process as it is."""
    monkeypatch.setattr(claims, "_engine", copy.copy(claims._engine))
    use_engine(lambda: None, lambda job: None)


def made_by(folder, number=1, age=0.0, **owner):
    """Write a claim of another process."""
    path = folder / f"claim.{number}"
    path.write_text(json.dumps(OTHER | owner))
    touched = time.time() - age
    os.utime(path, (touched, touched))


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_claim_is_released_and_made_again(tmp_path):
    first = claim(tmp_path)
    assert holder(tmp_path).where == f"process {os.getpid()} on {platform.node()}"
    with pytest.raises(Claimed, match=rf"process {os.getpid()} .* is working on .* wait for it"):
        claim(tmp_path)
    first.release()
    assert holder(tmp_path) is None
    with claim(tmp_path) as second:
        assert second.number == 2
        assert files(tmp_path) == ["claim.2"]
    assert holder(tmp_path) is None


@pytest.mark.parametrize(
    ("age", "owner", "live"),
    [
        (0, {}, True),
        (100, {}, True),
        (130, {}, False),
        (0, {**HERE, "pid": os.getpid()}, True),
        (130, {**HERE, "pid": os.getpid()}, False),
        (0, {**HERE, "pid": 2**30}, False),
        (0, {"host": platform.node(), "namespace": "of a container", "pid": 2**30}, True),
        (0, {"job": "slurm:gone"}, False),
        (0, {"job": "slurm:unknown"}, True),
    ],
    ids=[
        "fresh",
        "late",
        "stale",
        "here",
        "here and stale",
        "dead",
        "in a container",
        "its job ended",
        "unknown",
    ],
)
def test_a_claim_without_an_owner_is_taken_over(tmp_path, age, owner, live):
    use_engine(lambda: "slurm:8", {"slurm:gone": True, "slurm:7": False}.get)
    made_by(tmp_path, 3, age, **owner)
    assert (holder(tmp_path) is not None) is live
    if live:
        with pytest.raises(Claimed):
            claim(tmp_path)
    else:
        with claim(tmp_path) as own:
            assert own.number == 4
            assert holder(tmp_path).where.endswith("(slurm:8)")
        assert files(tmp_path) == ["claim.4"]


def test_a_claim_that_is_being_written_is_respected(tmp_path):
    (tmp_path / "claim.1").touch()
    with pytest.raises(Claimed, match="another process is working"):
        claim(tmp_path)


def test_the_clock_of_the_file_system_decides(tmp_path, monkeypatch):
    made_by(tmp_path)
    ahead = time.time() + 1000
    monkeypatch.setattr(claims.time, "time", lambda: ahead)
    assert holder(tmp_path) is not None
    assert files(tmp_path) == ["claim.1"]


def test_an_owner_that_slept_finds_that_it_was_replaced(tmp_path):
    slept = claim(tmp_path)
    slept.require()
    made_by(tmp_path, slept.number + 1)
    slept.require()  # it looks only now and then
    slept._touched -= 100
    with pytest.raises(TakenOver, match=r"process 1 on elsewhere \(slurm:7\) took over"):
        slept.require()
    slept.release()
    assert holder(tmp_path).owner["host"] == "elsewhere"


def test_of_two_that_find_a_stale_claim_the_later_one_stops(tmp_path, monkeypatch):
    made_by(tmp_path, 1, age=500)
    stale = claims.latest_claim(tmp_path)
    made_by(tmp_path, 3)  # a third process has it, and removed the second's number
    answers = iter([stale])
    real = claims.latest_claim
    monkeypatch.setattr(claims, "latest_claim", lambda folder: next(answers, None) or real(folder))
    with pytest.raises(Claimed, match="elsewhere"):
        claim(tmp_path)
    assert "claim.2" not in files(tmp_path)


def test_the_timer_touches_the_claims_of_this_process_only(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_EVERY", 0.01)
    monkeypatch.setattr(claims, "_heart", heart := claims._Heart())
    held, released = (claim(make(tmp_path / name)) for name in ("held", "released"))
    released.release()
    os.utime(held.path, (1, 1))
    end = time.monotonic() + 10
    while held.path.stat().st_mtime == 1 and time.monotonic() < end:
        time.sleep(0.01)
    assert held.path.stat().st_mtime > 1
    assert released.path.stat().st_mtime == 0
    heart.remove(held)


def test_a_forked_process_keeps_no_claim_of_its_parent(tmp_path):
    with claim(tmp_path):
        forked = multiprocessing.get_context("fork").Pool(1)
        with forked:
            assert forked.apply(_claims_of_this_process) == 0


def _claims_of_this_process():
    return len(claims._heart._claims)


def test_a_claim_goes_to_another_process_with_its_run(tmp_path):
    with claim(tmp_path) as own:
        copy = pickle.loads(pickle.dumps(own))
        copy._touched -= 100
        copy.require()


def _race(arguments):
    folder, number = arguments
    won = 0
    for place in range(20):
        unit = folder / str(place)
        try:
            claim(unit)
        except Claimed:
            continue
        won += 1
        (unit / f"winner.{number}").touch()
    return won


def test_one_of_four_wins_each_stale_claim(tmp_path):
    for place in range(20):
        made_by(make(tmp_path / str(place)), age=1000)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        won = pool.map(_race, [(tmp_path, number) for number in range(4)], chunksize=1)
        assert sum(won) == 20
        assert all(len(list(unit.glob("winner.*"))) == 1 for unit in tmp_path.iterdir())


def make(folder):
    folder.mkdir()
    return folder


def test_processes_take_turns(tmp_path):
    first = claim(tmp_path)
    done = []
    threading.Timer(0.3, lambda: (done.append("first"), first.release())).start()
    with claims.turn(tmp_path):
        done.append("second")
        assert holder(tmp_path) is not None
    assert done == ["first", "second"]
    assert holder(tmp_path) is None
