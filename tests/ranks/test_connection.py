"""A rank notices that another one has failed, also while it waits for it."""

import threading
from types import SimpleNamespace

import pytest

from losslab.config.interruption import INTERRUPTED
from losslab.ranks import connection, first, follower
from losslab.ranks.connection import ANEW, GONE, LEFT, connected, told, watched
from losslab.ranks.first import FirstRank


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(connection, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(connection, "SECONDS_TO_NOTICE", 0.2)
    return connected(None)


def fail(store, rank):
    with pytest.raises(ValueError, match="it fails"), told(store, 1, rank):
        raise ValueError("it fails")


def test_a_rank_that_waits_for_a_failed_one_is_woken(store):
    woken = threading.Event()
    with watched(store, 1, lambda _: woken.set()):
        fail(store, rank=2)
        assert woken.wait(20)


def test_a_rank_that_has_noticed_is_left_alone(store):
    woken = threading.Event()
    with watched(store, 1, lambda _: woken.set()):
        fail(store, rank=2)
    assert not woken.is_set()


def test_the_run_has_its_first_error(store):
    for rank in (2, 1):
        fail(store, rank)
    assert store.get("failed 1").decode().startswith("rank 2: ")


def test_a_rank_that_is_interrupted_while_it_connects_says_so_by_its_exit_status(monkeypatch):
    def interrupt(place):
        raise KeyboardInterrupt

    monkeypatch.setattr(follower, "connected", interrupt)
    monkeypatch.setattr(follower, "enter", lambda place: None)
    place = SimpleNamespace(starter="torchrun", rank=1)
    assert follower.follow(place, join=None) == INTERRUPTED


@pytest.mark.parametrize("anew", [True, False])
def test_the_first_rank_ends_after_one_that_starts_anew(store, anew, monkeypatch):
    monkeypatch.setattr(first, "here", lambda: SimpleNamespace(rank=0, size=2))
    monkeypatch.setattr(first, "SECONDS_TO_LEAVE", 0.2)
    rank = FirstRank()
    rank.store = store
    if anew:
        store.set(f"{ANEW} 1", "")
    back = threading.Timer(1, store.add, (LEFT, 1))
    back.start()
    rank.end(0)
    assert store.add(LEFT, 0) == int(anew)
    back.cancel()


def test_a_follower_ends_no_others(store, monkeypatch):
    monkeypatch.setattr(first, "here", lambda: SimpleNamespace(rank=1, size=2))
    rank = FirstRank()
    rank.store = store
    rank.end(0)  # at the end of its process, when the first rank and its store may be gone
    assert not store.check(["run 1"])


@pytest.mark.parametrize("together", [True, False])
def test_an_interrupted_rank_ends_later_runs_unless_it_is_replaced(store, together, monkeypatch):
    monkeypatch.setattr(first, "here", lambda: object() if together else None)
    rank = FirstRank()
    rank.store = store
    store.set(GONE, "rank 1 was interrupted")
    begins = threading.Timer(0.5, store.set, ("begun 0 1", ""))
    begins.start()
    if together:
        with pytest.raises(RuntimeError, match="rank 1 was interrupted"):
            rank._await_others(2)
    else:
        rank._await_others(2)
    begins.cancel()
