"""A further rank, which trains what the first one tells it to."""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from losslab.config.errors import described
from losslab.config.interruption import INTERRUPTED, end_with_parent, interruption
from losslab.ranks.connection import (
    BEGUN,
    FAILED,
    LEFT,
    POLL_SECONDS,
    RUN,
    connected,
    lost_connection,
    process_group,
)
from losslab.ranks.place import FIRST_RUN, Place, enter

Together = Callable[[Any], AbstractContextManager[None]]
"""Makes the context in which the ranks of a Trainer are connected."""
Join = Callable[[Path, Path | None, Together], None]
"""Trains the run in a folder, from a checkpoint if there is one."""


def follow(place: Place, join: Join) -> int:
    """Train with the first rank until it ends; return its exit status."""
    try:
        return _follow(place, join)
    except (KeyboardInterrupt, SystemExit) as error:  # which the first rank reports
        return getattr(interruption(error), "exit_code", INTERRUPTED)


def _follow(place: Place, join: Join) -> int:
    enter(place)
    if place.starter == "losslab":
        end_with_parent(os.getppid())
    store = connected(place)
    for run in itertools.count(int(os.environ.get(FIRST_RUN, "1"))):
        words = _next(store, run)
        if "status" in words:
            store.add(LEFT, 1)
            return int(words["status"])
        if place.rank < words["size"]:
            _join(store, run, place.rank, words, join)
    raise AssertionError("runs are counted without end")


def _next(store: Any, run: int) -> dict[str, Any]:
    """Wait for what the first rank says next; if it is gone, that is status 1."""
    try:
        while not store.check([f"{RUN} {run}"]):
            time.sleep(POLL_SECONDS)
        words: dict[str, Any] = json.loads(store.get(f"{RUN} {run}"))
    except RuntimeError:
        return {"status": 1}
    return words


def _join(store: Any, run: int, rank: int, words: dict[str, Any], join: Join) -> None:
    """Train a run; the first rank records what fails."""

    @contextmanager
    def together(trainer: Any) -> Iterator[None]:
        store.set(f"{BEGUN} {run} {rank}", "")
        with process_group(store, run, trainer, rank), told():  # before the group is left
            yield

    @contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not lost_connection(error):
                store.set(f"{FAILED} {run}", f"rank {rank}: {described(error)}")
            if "deepspeed" in sys.modules:  # which keeps the connections that others wait on
                os._exit(1)
            raise

    with suppress(Exception), told():
        join(Path(words["folder"]), words["last"] and Path(words["last"]), together)
