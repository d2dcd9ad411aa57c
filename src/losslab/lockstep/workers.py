"""Worker processes that train stacks: one process per stack, so that one death ends one stack."""

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from losslab.config.interruption import (
    GRACE_SECONDS,
    INTERRUPTED,
    end_with_parent,
    interrupt_once,
    uninterrupted,
)
from losslab.lockstep.grouping import Job, split
from losslab.progress import show
from losslab.runs.check import interrupt_dead, needs_running

log = logging.getLogger(__name__)

Left = list[tuple[Job, str]]
Train = Callable[[Sequence[Job]], Left]


class Worker:
    """Process that trains jobs.

    Args:
        context: way in which processes are started.
        train: function that trains jobs in this process, and returns those that it left.
        jobs: the jobs.
        retried: whether another process of these jobs was killed.
    """

    def __init__(self, context: Any, train: Train, jobs: Sequence[Job], *, retried: bool) -> None:
        self.jobs, self.retried = jobs, retried
        self.oom_kills = oom_kills()
        self.left, end = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(end, os.getpid(), train, jobs))
        with uninterrupted():
            self.process.start()
        end.close()  # so that reading fails if the process dies

    def result(self) -> Left | None:
        """Return the jobs that were left, once the process has ended; ``None`` if it died."""
        left: Left | None = None
        with suppress(EOFError):
            left = self.left.recv()
        self.process.join()
        self.left.close()
        return left

    @property
    def unfinished(self) -> list[Job]:
        """Jobs whose runs have not ended."""
        return [job for job in self.jobs if needs_running(job.folder)]

    @property
    def lacked_memory(self) -> bool:
        """Whether the system has killed a process for lack of memory in the meantime."""
        killed = self.process.exitcode == -signal.SIGKILL
        return killed and (self.oom_kills is None or oom_kills() != self.oom_kills)


def _work(end: Connection, parent: int, train: Train, jobs: Sequence[Job]) -> None:
    """Train the jobs in this process and send those that were left."""
    interrupt_once()
    end_with_parent(parent)
    try:
        end.send(train(jobs))
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)  # recorded; nothing is left to clean up


def train_in_workers(parts: Sequence[Sequence[Job]], workers: int, train: Train) -> Iterator[Left]:
    """Train parts in so many processes at once, and yield the jobs that each left.

    Jobs of a process that is killed are trained once more, in two stacks if memory was short.
    """
    context = multiprocessing.get_context("fork" if _can_fork() else "spawn")
    waiting = deque((part, False) for part in parts)
    running: list[Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                part, retried = waiting.popleft()
                running.append(Worker(context, train, part, retried=retried))
            ready = wait([worker.left for worker in running])
            for worker in [each for each in running if each.left in ready]:
                running.remove(worker)
                left = worker.result()
                if left is None:
                    waiting += [(part, True) for part in _lost(worker)]
                else:
                    yield left
    finally:
        _end(running)


def _can_fork() -> bool:
    # forks need not import torch, but hang if a device or several threads were in use
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_initialized()
    return sys.platform == "linux" and alone


def _lost(worker: Worker) -> list[list[Job]]:
    """Tell that a process was killed; return the parts in which its jobs start again."""
    jobs = worker.unfinished
    for job in jobs:
        interrupt_dead(job.folder)
    code = worker.process.exitcode
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
    names = [f"{job.folder.parent.name}/{job.folder.name}" for job in jobs]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    memory = ", for lack of memory" if worker.lacked_memory else ""
    parts = split(jobs, 2 if memory else 1) if jobs and not worker.retried else []
    then = f"they start again, in {len(parts)} stacks" if len(parts) > 1 else "they start again"
    show(
        f"the process of {', '.join(names[:3])}{more} ended {how}{memory}"
        + (f": {then}" if parts else "")
    )
    return parts


def _end(workers: Sequence[Worker]) -> None:
    """Interrupt the processes, and kill those that do not record it in time."""
    for worker in workers:
        if worker.process.pid is not None and worker.process.is_alive():
            os.kill(worker.process.pid, signal.SIGINT)
    end = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        worker.process.join(max(0, end - time.monotonic()))
        worker.process.kill()


def oom_kills() -> int | None:
    """Return how many processes the system has killed for lack of memory; ``None`` if unknown."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split() for line in lines)
    return int(counts["oom_kill"]) if "oom_kill" in counts else None
