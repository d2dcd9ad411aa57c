"""Claims: which process works on a folder, that of a run or of a unit of a sweep.

A claim is a file ``claim.<n>`` in the folder. It is created with ``O_EXCL``, which is atomic on
network file systems too, and the highest number counts. A thread touches the claims of this process
every 10 s. One that nobody has touched for two minutes is stale, and so is one whose process is
gone on this host, or whose job is gone according to its engine. Whoever takes it over creates the
next number, so that of several processes that find a stale claim one wins, and its former owner, if
it still lives, finds the higher number and stops. A released claim is one that was last touched in
1970, which needs no space on a full disk.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict
from weakref import WeakSet

from losslab.runs.files import FileError, has_type, read_json
from losslab.runs.folder import remove
from losslab.runs.process import is_running, pid_namespace, process_start

BEAT_EVERY = 10.0
"""Seconds between two touches of a claim."""
STALE_AFTER = 120.0
"""Seconds without a touch after which a claim is stale."""
TURN_SECONDS = 0.1
"""Seconds between two tries to have one's turn."""
PREFIX = "claim."


class Owner(TypedDict):
    """Process that made a claim, as its file names it."""

    host: str
    pid: int
    process_start: str | None
    namespace: str | None
    """Namespace of its pid: containers on one host have their own."""
    job: str | None
    """Job of an engine, such as ``slurm:1234_5``."""


class Claimed(FileExistsError):  # noqa: N818 (a state, not a mistake)
    """Refusal of a folder on which another process works."""


class TakenOver(RuntimeError):  # noqa: N818 (as above)
    """Loss of a claim that another process took over."""


@dataclass
class _Engine:
    own_job: Callable[[], str | None] = lambda: None
    is_gone: Callable[[str], bool | None] = lambda job: None


_engine = _Engine()


def use_engine(own_job: Callable[[], str | None], is_gone: Callable[[str], bool | None]) -> None:
    """Ask an engine about the jobs of claims.

    Args:
        own_job: returns the job of this process, such as ``slurm:1234_5``; ``None`` without one.
        is_gone: returns whether a job has ended; ``None`` if the engine cannot tell.
    """
    _engine.own_job, _engine.is_gone = own_job, is_gone


@dataclass(frozen=True)
class Holder:
    """Latest claim of a folder, as another process sees it."""

    path: Path
    number: int
    touched: float
    owner: Owner | None
    """``None`` while it is being written."""

    @property
    def where(self) -> str:
        """Where its process runs, such as ``process 12 on node3 (slurm:1234_5)``."""
        if self.owner is None:
            return "another process"
        job = f" ({self.owner['job']})" if self.owner["job"] else ""
        return f"process {self.owner['pid']} on {self.owner['host']}{job}"

    @property
    def age(self) -> float:
        """Seconds since the last touch."""
        return max(time.time() - self.touched, 0)

    def is_live(self) -> bool:
        """Return whether its process works on the folder."""
        if self.touched == 0 or (
            self.age > STALE_AFTER and _now(self.path.parent) - self.touched > STALE_AFTER
        ):
            return False
        if self.owner is None:
            return True
        if _is_here(self.owner):
            return is_running(self.owner["pid"], self.owner["process_start"])
        return not (self.owner["job"] and _engine.is_gone(self.owner["job"]))

    @property
    def is_own(self) -> bool:
        """Whether it is a claim of this process."""
        return self.owner is not None and _is_here(self.owner) and self.owner["pid"] == os.getpid()


def holder(folder: Path) -> Holder | None:
    """Return the claim of the process that works on a folder; ``None`` if none does."""
    latest = latest_claim(folder)
    return latest if latest is not None and latest.is_live() else None


def latest_claim(folder: Path) -> Holder | None:
    """Return the claim of a folder with the highest number, whether it is live or not."""
    number = max(_numbers(folder), default=None)
    if number is None:
        return None
    path = _path(folder, number)
    try:
        owner = _owner(path)  # opening the file lets a network file system look at its age
        return Holder(path, number, path.stat().st_mtime, owner)
    except FileNotFoundError:  # removed meanwhile: there is a higher one, or none
        return Holder(path, number, 0.0, None)


def claim(folder: Path) -> "Claim":
    """Claim a folder for this process, until :meth:`Claim.release`.

    Raises:
        Claimed: if another process works on it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with claim(folder):
        ...     holder(folder).owner["pid"] == os.getpid()
        True
        >>> holder(folder) is None
        True
    """
    latest = latest_claim(folder)
    if latest is not None and latest.is_live():
        raise _refusal(latest)
    made = Claim(folder, 1 if latest is None else latest.number + 1)
    try:
        made.create()
    except FileExistsError:
        raise _refusal(latest_claim(folder)) from None
    _heart.add(made)
    if made.is_lost():  # the number was free again, but another process has a higher one
        made.release(remove_file=True)
        raise _refusal(latest_claim(folder))
    remove(_path(folder, number) for number in _numbers(folder) if number < made.number)
    return made


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Hold a folder for a few steps that one process may do at a time; wait for others first."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            held = claim(folder)
        except Claimed:
            time.sleep(TURN_SECONDS)
        else:
            break
    with held:
        yield


@dataclass(eq=False)
class Claim:
    """Claim of this process on a folder.

    Attributes:
        folder: the folder.
        number: its number.
    """

    folder: Path
    number: int
    _touched: float = field(default_factory=time.time)
    _lost: bool = False

    @property
    def path(self) -> Path:
        """Its file."""
        return _path(self.folder, self.number)

    def create(self) -> None:
        """Create its file.

        Raises:
            FileExistsError: if another process has this number.
        """
        pid = os.getpid()
        owner = Owner(
            host=platform.node(),
            pid=pid,
            process_start=process_start(pid),
            namespace=pid_namespace(),
            job=_engine.own_job(),
        )
        handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            os.write(handle, json.dumps(owner).encode())
        except OSError:  # a full disk
            self.path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)

    def touch(self) -> None:
        """Tell other processes that this one lives, and find out whether one took over."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            self._lost = True
            return
        except OSError:  # of a network file system, which may recover
            return
        self._touched = time.time()
        self._lost = self.is_lost()

    def is_lost(self) -> bool:
        """Return whether another process has a higher number."""
        return max(_numbers(self.folder), default=0) > self.number

    def require(self) -> None:
        """Check that no other process took over, as after this one was suspended.

        Raises:
            TakenOver: if one did.
        """
        if time.time() - self._touched > 2 * BEAT_EVERY:
            self.touch()
        if self._lost:
            latest = latest_claim(self.folder)
            by = "another process" if latest is None else latest.where
            raise TakenOver(f"{by} took over {self.folder}, since this process did not respond")

    def release(self, *, remove_file: bool = False) -> None:
        """Let other processes claim the folder.

        Args:
            remove_file: whether to remove the file, which is safe if whoever claims the folder next
                finds nothing to do.
        """
        _heart.remove(self)
        with suppress(FileNotFoundError):  # taken over, or the folder was removed
            if remove_file:
                self.path.unlink()
            else:
                os.utime(self.path, (0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class _Heart:
    """Thread that touches the claims of this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without claims, as in a process that was forked."""
        # weak, so that a run that was given up without an end can be taken over
        self._claims: WeakSet[Claim] = WeakSet()
        # a claim must not be touched once it is released
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, claim: Claim) -> None:
        """Begin to touch a claim."""
        with self._lock:
            self._claims.add(claim)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, daemon=True)
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        """Touch a claim no longer."""
        with self._lock:
            self._claims.discard(claim)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_EVERY)
            with self._lock:
                held = list(self._claims)
            for claim in held:
                with self._lock:
                    if claim in self._claims:
                        claim.touch()


_heart = _Heart()
if hasattr(os, "register_at_fork"):
    # a forked process has neither the thread nor the claims of its parent, which keeps them
    os.register_at_fork(after_in_child=_heart.forget)


def _is_here(owner: Owner) -> bool:
    """Return whether a process has its pid on this host."""
    return (owner["host"], owner["namespace"]) == (platform.node(), pid_namespace())


def _owner(path: Path) -> Owner | None:
    try:
        content: Any = read_json(path)
    except FileError:
        return None
    return content if has_type(content, Owner) else None


def _numbers(folder: Path) -> list[int]:
    found = (path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*"))
    return [int(number) for number in found if number.isdecimal()]


def _path(folder: Path, number: int) -> Path:
    return folder / f"{PREFIX}{number}"


def _refusal(latest: Holder | None) -> Claimed:
    if latest is None:
        return Claimed("another process was faster")
    return Claimed(
        f"{latest.where} is working on {latest.path.parent} (last heartbeat {latest.age:.0f} s "
        "ago): wait for it or end it"
    )


def _now(folder: Path) -> float:
    """Return the time of the file system, since the clocks of hosts differ."""
    probe = folder / f".claim.{os.getpid()}.tmp"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:  # a folder that may only be read
        return time.time()
    return now
