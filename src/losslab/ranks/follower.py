"""A further rank, which trains what the first one tells it to."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from losslab.config.interruption import INTERRUPTED, end_with_parent, interruption
from losslab.ranks.connection import (
    ANEW,
    BEGUN,
    GONE,
    LEFT,
    POLL_SECONDS,
    RUN,
    WAITS,
    connected,
    prepare,
    process_group,
    told,
    watched,
)
from losslab.ranks.place import FIRST_RUN, Place, enter
from losslab.ranks.start import start_anew

Together = Callable[[Any], AbstractContextManager[None]]
"""Makes the context in which the ranks of a Trainer are connected."""
Join = Callable[[Path, Path | None, Together], None]
"""Trains the run in a folder, from a checkpoint if there is one."""


def follow(place: Place, join: Join) -> int:
    """Train with the first rank until it ends; return its exit status."""
    environment = dict(os.environ)
    enter(place)
    if place.starter == "losslab":
        end_with_parent(os.getppid())
    store: Any = None
    try:
        store = connected(place)
        store.delete_key(f"{ANEW} {place.rank}")
        return _follow(store, place.rank, join, environment)
    except (KeyboardInterrupt, SystemExit) as error:
        if store is not None:
            with suppress(RuntimeError):  # the first rank has ended
                store.set(GONE, f"rank {place.rank} was interrupted")
        return getattr(interruption(error), "exit_code", INTERRUPTED)


def _follow(store: Any, rank: int, join: Join, environment: dict[str, str]) -> int:
    first = int(environment.get(FIRST_RUN, "1"))
    for run in itertools.count(first):
        words = _next(store, run, partial(_anew, rank, environment, run) if run > first else None)
        if "status" in words:
            store.add(LEFT, 1)
            return int(words["status"])
        if rank < words["size"]:
            with watched(store, run, partial(_anew, rank, environment, run + 1)):
                _join(store, run, rank, words, join)
    raise AssertionError("runs are counted without end")


def _anew(rank: int, environment: dict[str, str], run: int, store: Any) -> None:
    """Start anew with a run, and let the first rank know that this takes longer than a word."""
    with suppress(RuntimeError):  # the first rank has ended
        store.set(f"{ANEW} {rank}", "")
    start_anew(environment, {FIRST_RUN: run})


def _next(store: Any, run: int, anew: Callable[[Any], None] | None) -> dict[str, Any]:
    """Wait for what the first rank says next; if it is gone, that is status 1.

    Start anew if the first rank waits for this one in the last run, which has failed here.
    """
    try:
        while not store.check([f"{RUN} {run}"]):
            if anew and store.check([f"{WAITS} {run - 1}"]):
                anew(store)
            time.sleep(POLL_SECONDS)
        words: dict[str, Any] = json.loads(store.get(f"{RUN} {run}"))
    except RuntimeError:
        return {"status": 1}
    return words


def _join(store: Any, run: int, rank: int, words: dict[str, Any], join: Join) -> None:
    """Train a run; the first rank records what fails."""

    @contextmanager
    def together(trainer: Any) -> Iterator[None]:
        prepare(trainer)
        store.set(f"{BEGUN} {run} {rank}", "")
        with process_group(store, run, trainer, rank):
            yield

    with suppress(Exception), told(store, run, rank):
        join(Path(words["folder"]), words["last"] and Path(words["last"]), together)
