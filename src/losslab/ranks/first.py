"""The first rank, which tells the others what to train."""

import atexit
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from losslab.ranks.connection import (
    ANEW,
    BEGUN,
    FAILED,
    GONE,
    LEFT,
    POLL_SECONDS,
    RUN,
    WAITS,
    connected,
    lost_connection,
    prepare,
    process_group,
    told,
    watched,
)
from losslab.ranks.place import FIRST_RUN, STARTED, here
from losslab.ranks.start import started

SECONDS_TO_LEAVE = 10.0
"""Time in which the others end, once they have their exit status."""
SECONDS_TO_START = 120.0
"""Time in which ranks that start anew have imported torch and read it."""


class FirstRank:
    """The other ranks, as the first one sees them. They live as long as the process."""

    def __init__(self) -> None:
        self._run = 0
        self._ended = False
        atexit.register(self.end, 0)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @cached_property
    def store(self) -> Any:
        """Store that all ranks read."""
        return connected(here())

    @contextmanager
    def together(self, trainer: Any, folder: Path, last: Path | None) -> Iterator[None]:
        """Let the other ranks of a Trainer train a run while the block does.

        Args:
            trainer: Trainer of the first rank.
            folder: folder of the run, with its config.
            last: checkpoint to resume from.

        Raises:
            RuntimeError: if another rank failed.
        """
        prepare(trainer)
        size = trainer.world_size
        if here() is None:
            self._start(size)
        paths = {"folder": str(folder.resolve()), "last": last and str(last.resolve())}
        self._tell({"size": size, **paths})
        os.environ["LOCAL_RANK"] = "0"  # with which Lightning starts no further ones
        try:
            with watched(self.store, self._run, self._free), told(self.store, self._run, 0):
                self._await_others(size)
                with process_group(self.store, self._run, trainer, 0):
                    yield
        except BaseException as error:
            cause = self._failure()
            if cause is None or not lost_connection(error):
                raise
            raise RuntimeError(cause) from error

    def end(self, status: int) -> None:
        """End the other ranks with an exit status, and wait until they have read it."""
        place, others = here(), self._others()
        if not others or self._ended:
            return
        self._ended = place is not None
        self._tell({"status": status})
        begun = time.monotonic()
        while self.store.add(LEFT, 0) < others and time.monotonic() < begun + self._limit(others):
            if place is None and not self._living():
                break
            time.sleep(POLL_SECONDS)
        self._kill()

    def _others(self) -> int:
        """Return how many ranks this process ends, which is none if it is a follower."""
        place = here()
        if place is None:
            return len(self._processes)
        return place.size - 1 if place.rank == 0 else 0

    def _limit(self, others: int) -> float:
        """Return how long the others may take to read their exit status, in seconds."""
        anew = any(self.store.check([f"{ANEW} {rank}"]) for rank in range(1, others + 1))
        return SECONDS_TO_START if anew else SECONDS_TO_LEAVE

    def _kill(self) -> None:
        """Kill the ranks that were started here; they write no files."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes = {}

    def _free(self, store: Any) -> None:
        """Let ranks that have failed close their connections, for which this one waits."""
        store.set(f"{WAITS} {self._run}", "")

    def _tell(self, words: dict[str, Any]) -> None:
        self._run += 1
        self.store.set(f"{RUN} {self._run}", json.dumps(words))

    def _start(self, size: int) -> None:
        """Start the ranks that are not there."""
        for rank in range(1, size):
            if rank not in self._living():
                self._processes[rank] = self._started(rank, size)

    def _living(self) -> set[int]:
        return {rank for rank, process in self._processes.items() if process.poll() is None}

    def _started(self, rank: int, size: int) -> "subprocess.Popen[bytes]":
        place = {
            STARTED: "",
            FIRST_RUN: self._run + 1,
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": size,
            "LOCAL_WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": self.store.port,
        }
        return started(os.environ, place)

    def _await_others(self, size: int) -> None:
        """Wait until the other ranks have built the run.

        Raises:
            RuntimeError: if one of them fails.
        """
        begun = [f"{BEGUN} {self._run} {rank}" for rank in range(1, size)]
        while not self.store.check(begun):
            for rank, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"rank {rank} ended with status {process.returncode}")
            # a rank that was started here is replaced
            if here() is not None and self.store.check([GONE]):
                raise RuntimeError(self.store.get(GONE).decode())
            if cause := self._failure():
                raise RuntimeError(cause)
            time.sleep(POLL_SECONDS)

    def _failure(self) -> str | None:
        """Return the first error of a rank, if one failed."""
        key = f"{FAILED} {self._run}"
        return self.store.get(key).decode() if self.store.check([key]) else None


FIRST_RANK = FirstRank()
"""The first rank of all runs of this process."""


@contextmanager
def ranks_ended() -> Iterator[None]:
    """Give the other ranks the exit status with which the block ends."""
    status = 1
    try:
        yield
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        raise
    finally:
        FIRST_RANK.end(status)
