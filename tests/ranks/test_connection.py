"""A rank notices that another one has failed, also while it waits for it."""

import threading

import pytest

from losslab.ranks import connection
from losslab.ranks.connection import connected, told, watched


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
    with watched(store, 1, woken.set):
        fail(store, rank=2)
        assert woken.wait(20)


def test_a_rank_that_has_noticed_is_left_alone(store):
    woken = threading.Event()
    with watched(store, 1, woken.set):
        fail(store, rank=2)
    assert not woken.is_set()


def test_the_run_has_its_first_error(store):
    for rank in (2, 1):
        fail(store, rank)
    assert store.get("failed 1").decode().startswith("rank 2: ")
