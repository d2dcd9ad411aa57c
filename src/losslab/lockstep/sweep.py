"""The cells of a sweep, trained in groups; the groups are spread over processes."""

import gc
import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from losslab.components import Parts, assemble
from losslab.config.instantiate import WrongInput
from losslab.lockstep.grouping import Cell, group, place, split
from losslab.lockstep.loop import Group
from losslab.lockstep.memory import cells_that_fit
from losslab.lockstep.rl import Player, Players
from losslab.lockstep.single import Member
from losslab.lockstep.stack import Unstackable
from losslab.rl.module import ReinforcementModule
from losslab.training import recorded, settle

log = logging.getLogger(__name__)

Left = list[tuple[Cell, str]]


def train_cells(
    cells: Sequence[Cell],
    *,
    max_cells: int | None = None,
    workers: int | None = None,
    capture: bool = True,
) -> Left:
    """Train the cells that can be stacked, and say which are left and why.

    Args:
        cells: of one sweep.
        max_cells: cells in a stack at most; ``None`` for as many as the memory holds.
        workers: processes; ``None`` for one a core, or as many as ``threads`` leaves.
        capture: whether a GPU records the steps and replays them.

    Returns:
        The cells that have to be run one by one, with the reason.
    """
    groups, left = group(cells)
    if not groups:
        return left
    workers = workers or _cores() // (cells[0].config.threads or _cores()) or 1
    if place(groups[0][0].config.trainer)[0].type != "cpu":
        workers = 1  # they would wait for each other on the device
    shares = []
    for members in groups:
        parts = min(len(members), workers)
        if max_cells is not None:
            parts = max(parts, math.ceil(len(members) / max_cells))
        shares += split(members, parts)
    shares.sort(key=len, reverse=True)
    workers = min(workers, len(shares))
    log.info(
        f"Training {sum(map(len, shares))} cells in lockstep: {len(groups)} groups, "
        f"{len(shares)} stacks of up to {len(shares[0])}, {workers} processes"
    )
    gc.freeze()  # what is imported stays: no search through it for garbage, no copy in a fork
    try:
        for more in _in_processes(shares, workers, capture):
            left += more
    finally:
        gc.unfreeze()
    return left


def train_share(cells: Sequence[Cell], sharing: int = 1, *, capture: bool = True) -> Left:
    """Train cells of one group in this process, as many at once as its memory holds.

    Args:
        cells: of the group.
        sharing: processes that share the memory.
        capture: as :func:`train_cells`.

    Returns:
        As :func:`train_cells`.
    """
    config = cells[0].config
    settle(config)
    left: Left = []
    known: dict[str, Parts] = {}
    most = len(cells)
    with suppress(WrongInput):  # said when it is the run's turn
        first = assemble(config)
        known[_alike(config)] = first
        most = cells_that_fit(first, *place(config.trainer), sharing)
    some = split(cells, math.ceil(len(cells) / most))
    if len(some) > 1:
        log.info(f"{len(cells)} cells in {len(some)} stacks, one after the other: the memory")
    for together in some:
        left += _train_together(together, known, capture=capture)
        gc.collect()  # a stack holds itself, and the next one may need its memory
    return left


def _train_together(cells: Sequence[Cell], known: Mapping[str, Parts], *, capture: bool) -> Left:
    """Train cells that fit into memory; nothing of them is held when it returns."""
    members, left = _members(cells, known)
    for same_sizes in _same_sizes(members):
        left += _train(same_sizes, capture=capture)
    return left


def _members(cells: Sequence[Cell], known: Mapping[str, Parts]) -> tuple[list[Member], Left]:
    """The cells' parts; cells with the same config of data and task share these.

    Args:
        cells: of one group.
        known: parts to share that are there already, by :func:`_alike`.
    """
    shared = dict(known)
    members: list[Member] = []
    left: Left = []
    for cell in cells:
        key = _alike(cell.config)
        try:
            parts = assemble(cell.config, shared.get(key))
            kind = Player if isinstance(parts.module, ReinforcementModule) else Member
            members.append(kind(cell.config, cell.folder, parts))
        except WrongInput as error:
            left.append((cell, str(error)))
        else:
            shared.setdefault(key, parts)
    return members, left


def _alike(config: DictConfig) -> str:
    """A text that runs share whose data and reference losses are the same."""
    return repr([OmegaConf.to_container(config[node]) for node in ("data", "task")])


def _same_sizes(members: Iterable[Member]) -> list[list[Member]]:
    """Runs whose splits and weights have the same shapes, those of one objective side by side."""
    sizes: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: member.objective):
        sizes.setdefault(member.sizes, []).append(member)
    return list(sizes.values())


def _train(members: Sequence[Member], *, capture: bool) -> Left:
    """Train runs in one stack."""
    device, dtype = place(members[0].config.trainer)
    with _default_dtype(dtype):
        try:
            plays = isinstance(members[0], Player)
            loop: Any = Players if plays else partial(Group, capture=capture)
            stack = loop(members, device, dtype)
        except Unstackable as reason:
            return [(Cell(member.config, member.folder), str(reason)) for member in members]
        for member in stack.members:
            member.open()
        with _run_logs(stack.members), recorded(*(member.keeper for member in stack.members)):
            if stack.members:
                stack.train()
    return [(Cell(member.config, member.folder), reason) for member, reason in stack.refused]


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _run_logs(members: Sequence[Member]) -> Iterator[None]:
    """What is logged meanwhile stands in the ``run.log`` of each run, and nowhere else."""
    root = logging.getLogger()
    before = root.handlers
    root.handlers = [_RunLogs([member.folder / "run.log" for member in members])]
    try:
        yield
    finally:
        root.handlers = before


class _RunLogs(logging.Handler):
    """Writes to many files, none of which stays open: a process may have a thousand at most."""

    def __init__(self, files: Sequence[Path]) -> None:
        super().__init__()
        self._files = files
        self.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for path in self._files:
            with path.open("a", encoding="utf-8") as file:
                file.write(self.format(record) + "\n")


# --- processes ----------------------------------------------------------------------------------


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _in_processes(shares: Sequence[Sequence[Cell]], workers: int, capture: bool) -> Iterator[Left]:
    """Train each share, in several processes where that helps."""
    options: dict[str, Any] = {"sharing": workers, "capture": capture}
    if workers == 1:
        yield from (train_share(share, **options) for share in shares)
        return
    # a fork has torch imported already; where a device or several threads were in use, it hangs
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_initialized()
    forks = sys.platform == "linux" and alone
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield from pool.map(partial(_train_unless_interrupted, **options), shares)
        except BrokenProcessPool:
            log.error("a process of the lockstep launcher was killed: the system's memory?")
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_interrupted = threading.Event()


def _train_unless_interrupted(cells: Sequence[Cell], **options: Any) -> Left:
    """:func:`train_share`, but not after an interruption: the pool still hands on what waits."""
    if _interrupted.is_set():
        raise KeyboardInterrupt
    try:
        return train_share(cells, **options)
    except KeyboardInterrupt:
        _interrupted.set()
        raise


def _end_with_parent() -> None:
    """Interrupt this process, so that its runs record it, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
