"""Train the jobs of a sweep in groups that are distributed over processes."""

import gc
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from losslab.components import Components, build_components
from losslab.config.errors import UserError
from losslab.data.base import InMemoryData
from losslab.data_building import build_data, data_errors
from losslab.lockstep.grouping import Job, group_jobs, place, split
from losslab.lockstep.loop import RunBatch
from losslab.lockstep.memory import runs_that_fit
from losslab.lockstep.passes import Unstackable
from losslab.lockstep.resuming import saved_run
from losslab.lockstep.rl import StackedAgents
from losslab.lockstep.stacked_agent import StackedAgent
from losslab.lockstep.stacked_run import StackedRun
from losslab.lockstep.workers import Left, train_in_workers
from losslab.metrics.labels import some
from losslab.progress import show, show_stack
from losslab.recording import recorded
from losslab.rl.module import ReinforcementModule
from losslab.runtime import cores
from losslab.training import configure_process

log = logging.getLogger(__name__)

Publish = Callable[[], None] | None


def train_jobs(
    jobs: Sequence[Job],
    *,
    max_jobs: int | None = None,
    workers: int | None = None,
    capture: bool = True,
    publish: Publish = None,
) -> Left:
    """Train the jobs that can be stacked, and return the others with the reason.

    Args:
        jobs: jobs of one sweep.
        max_jobs: maximum number of jobs per stack; ``None`` for as many as fit into memory.
        workers: number of processes; ``None`` for one per core, or fewer if ``threads`` is set.
        capture: whether training steps on a GPU are captured and replayed.
        publish: function that is called whenever the runs of a stack have begun or been saved, in
            the process that trains them.

    Returns:
        The jobs that must be run one by one, with the reason.
    """
    groups, left = group_jobs(jobs)
    if not groups:
        return left
    workers = workers or cores() // (jobs[0].config.threads or cores()) or 1
    if place(groups[0][0].config.trainer)[0].type != "cpu":
        workers = 1  # processes would compete for the device
    parts = []
    for members in groups:
        parts += split(members, number_of_stacks(members, workers, max_jobs))
    parts.sort(key=len, reverse=True)
    workers = min(workers, len(parts))
    log.info(
        f"Training {some(sum(map(len, parts)), 'jobs')} in lockstep: "
        f"{some(len(groups), 'groups')}, {some(len(parts), 'stacks')} of up to {len(parts[0])}, "
        f"{some(workers, 'processes')}"
    )
    frozen = gc.get_freeze_count() > 0  # as by import_torch
    gc.freeze()  # imported objects stay: do not search them for garbage or copy them in forks
    try:
        train = partial(train_in_process, sharing=workers, capture=capture, publish=publish)
        together = train_in_workers(parts, workers, train) if workers > 1 else map(train, parts)
        for more in together:
            left += more
    finally:
        if not frozen:
            gc.unfreeze()
    return left


def number_of_stacks(members: Sequence[Job], workers: int, max_jobs: int | None) -> int:
    """Return in how many stacks a group is trained by so many processes."""
    number = min(len(members), workers)
    if number > 1 and _reads_again(members[0].config):
        number = 1  # which reads each sample once for all losses
    return number if max_jobs is None else max(number, math.ceil(len(members) / max_jobs))


def _reads_again(config: DictConfig) -> bool:
    """Return whether samples are read from their files in each epoch."""
    with suppress(UserError), data_errors(config):  # reported when it is the run's turn
        data = build_data(config)
        return isinstance(data, InMemoryData) and data.reads_again()
    return False


def train_in_process(
    jobs: Sequence[Job], sharing: int = 1, *, capture: bool = True, publish: Publish = None
) -> Left:
    """Train jobs of one group in this process, as many at once as fit into memory.

    Args:
        jobs: jobs of the group.
        sharing: number of processes that share the memory.
        capture: see :func:`train_jobs`.
        publish: see :func:`train_jobs`.

    Returns:
        The jobs that must be run one by one, with the reason.
    """
    config = jobs[0].config
    configure_process(config)
    left: Left = []
    known: dict[str, Components] = {}
    most = len(jobs)
    with suppress(UserError):  # reported when it is the run's turn
        first = build_components(config)
        known[_alike(config)] = first
        most = runs_that_fit(first, *place(config.trainer), sharing)
    some = split(jobs, math.ceil(len(jobs) / most))
    if len(some) > 1:
        log.info(f"{len(jobs)} jobs in {len(some)} stacks, one after the other, to fit into memory")
    for together in some:
        left += _train_together(together, known, capture=capture, publish=publish)
        gc.collect()  # a stack has reference cycles, and the next one may need its memory
    return left


def _train_together(
    jobs: Sequence[Job], known: Mapping[str, Components], *, capture: bool, publish: Publish
) -> Left:
    """Train jobs that fit into memory, and release them."""
    members, left = _members(jobs, known)
    for same_sizes in _same_sizes(members):
        left += _train(same_sizes, capture=capture, publish=publish)
    return left


def _members(jobs: Sequence[Job], known: Mapping[str, Components]) -> tuple[list[StackedRun], Left]:
    """Build the jobs' runs; jobs with the same config of data and task share their data.

    Args:
        jobs: jobs of one group.
        known: existing components to share, by :func:`_alike`.
    """
    shared = dict(known)
    members: list[StackedRun] = []
    left: Left = []
    for job in jobs:
        key = _alike(job.config)
        try:
            components = build_components(job.config, shared.get(key))
            if isinstance(components.module, ReinforcementModule):
                members.append(StackedAgent(job.config, job.folder, components))
            else:
                saved = saved_run(job.config, job.folder, components)
                members.append(StackedRun(job.config, job.folder, components, saved))
        except UserError as error:
            left.append((job, str(error)))
        else:
            shared.setdefault(key, components)
    return members, left


def _alike(config: DictConfig) -> str:
    """Return a text that is equal for runs with the same data and reference losses."""
    # data of the user that were chosen by their class have no data.seed
    seed = config.data.get("seed", config.seed)
    return repr([seed, *(OmegaConf.to_container(config[node]) for node in ("data", "task"))])


def _same_sizes(members: Iterable[StackedRun]) -> list[list[StackedRun]]:
    """Group runs at the same epoch with the same shapes of splits and weights, by objective."""
    sizes: dict[tuple[str, int], list[StackedRun]] = {}
    for member in sorted(members, key=lambda member: member.objective):
        sizes.setdefault((member.sizes, member.epochs), []).append(member)
    return list(sizes.values())


def _train(members: Sequence[StackedRun], *, capture: bool, publish: Publish) -> Left:
    """Train runs in one stack."""
    device, dtype = place(members[0].config.trainer)
    with _default_dtype(dtype):
        try:
            is_rl = isinstance(members[0], StackedAgent)
            loop: Any = StackedAgents if is_rl else partial(RunBatch, capture=capture)
            stack = loop(members, device, dtype)
        except Unstackable as reason:
            return [(Job(member.config, member.folder), str(reason)) for member in members]
        stack.publish = publish
        if stack.members:
            _train_members(stack)
    return [(Job(member.config, member.folder), reason) for member, reason in stack.refused]


def _train_members(stack: Any) -> None:
    """Open and train the runs of a stack, and tell how many are done."""
    # an interruption while a run is opened also ends those that were opened before it
    with recorded(*(member.writer for member in stack.members)):
        stack.drop([member for member in list(stack.members) if not _opened(member)])
        if stack.members:
            _train_opened(stack)


def _train_opened(stack: Any) -> None:
    members: list[StackedRun] = list(stack.members)  # those that end leave the stack
    began = time.monotonic()
    try:
        with (
            run_logs([each.folder for each in members]),
            recorded(*(member.writer for member in members)),
        ):
            if stack.publish:
                stack.publish()
            stack.train()
    except UserError as error:  # a full disk, on which not even that could be recorded
        show(f"error: {error}")
    losses = [str(member.config.choices.loss) for member in members]
    statuses = [member.writer.record["status"] for member in members]
    show_stack(losses, statuses, time.monotonic() - began)


def _opened(member: StackedRun) -> bool:
    """Begin a run's folder; return False if it cannot, or another process works on it."""
    try:
        with recorded(member.writer):
            member.open()
            return True
    except UserError as error:
        show(f"error: {error}")
    return False


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def run_logs(folders: Iterable[Path]) -> Iterator[None]:
    """Redirect logging to the ``run.log`` of each run."""
    root = logging.getLogger()
    before = root.handlers
    root.handlers = [_RunLogs([folder / "run.log" for folder in folders])]
    try:
        yield
    finally:
        root.handlers = before


class _RunLogs(logging.Handler):
    """Log handler that writes to many files without keeping them open, as handles are limited."""

    def __init__(self, files: Sequence[Path]) -> None:
        super().__init__()
        self._files = files
        self.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for path in self._files:
            with suppress(OSError), path.open("a", encoding="utf-8") as file:  # a full disk
                file.write(self.format(record) + "\n")
