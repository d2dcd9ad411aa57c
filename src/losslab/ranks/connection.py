"""Connections between the ranks: a store for words, a process group for the tensors of a run."""

import gc
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from losslab.config.errors import described
from losslab.ranks.place import Place

RUN, BEGUN, FAILED, WAITS = "run", "begun", "failed", "waits"
"""Keys of a run in the store.

What to train, which ranks have begun, the first error, and whether the first rank waits for one
that failed.
"""
ANEW, LEFT, GONE = "anew", "left", "gone"
"""Keys of all runs.

Which ranks are starting anew, how many have read the exit status, and a rank that was interrupted.
"""
POLL_SECONDS = 0.05
WATCH_SECONDS = 0.5
"""Time between two looks whether another rank has failed."""
SECONDS_TO_NOTICE = 3.0
"""Time in which the others notice, by their connections, that a rank has failed."""
LOST = re.compile(r"by peer|[Cc]onnection|gloo|NCCL")
"""What the errors of a rank have in common whose group another one has left."""


def connected(place: Place | None) -> Any:
    """Return the store of processes that were started together, or a new one."""
    if place is None:
        return _store("127.0.0.1", 0, is_master=True)
    return _store(place.address, place.port, is_master=place.rank == 0 and not place.has_store)


def _store(address: str, port: int, *, is_master: bool) -> Any:
    import torch.distributed as dist  # noqa: PLC0415 (commands that train nothing)

    module: Any = dist  # whose stores are not among its typed names
    return module.TCPStore(address, port, is_master=is_master, wait_for_workers=False)


def prepare(trainer: Any) -> None:
    """Import what the strategy of a Trainer needs, before the ranks are connected."""
    if hasattr(trainer.strategy, "import_library"):
        trainer.strategy.import_library()


@contextmanager
def process_group(store: Any, run: int, trainer: Any, rank: int) -> Iterator[None]:
    """Connect this rank with the others of a Trainer, for one run."""
    import torch.distributed as dist  # noqa: PLC0415

    module: Any = dist
    backend = "nccl" if trainer.strategy.root_device.type == "cuda" else "gloo"
    own = module.PrefixStore(f"group {run}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=trainer.world_size)
    try:
        with told(store, run, rank):
            yield
    except BaseException as error:
        # connections close with the last reference to them, for which the other ranks wait
        _forget_locals(error)
        trainer.strategy.model = None
        raise
    finally:
        leave_group()
        gc.collect()


def leave_group() -> None:
    """Destroy this rank's process group, and with it those that DeepSpeed, if used, made of it."""
    import torch.distributed as dist  # noqa: PLC0415

    deepspeed: Any = sys.modules.get("deepspeed")
    used = deepspeed is not None and deepspeed.comm.is_initialized()
    (deepspeed.comm if used else dist).destroy_process_group()


@contextmanager
def told(store: Any, run: int, rank: int) -> Iterator[None]:
    """Tell the other ranks that this one fails, and why, unless another one did so before."""
    try:
        yield
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        words = " was interrupted" if interrupted else f": {described(error)}"
        with suppress(RuntimeError):  # the store is gone
            store.compare_set(f"{FAILED} {run}", "", f"rank {rank}{words}")
        raise


@contextmanager
def watched(store: Any, run: int, wake: Callable[[Any], None]) -> Iterator[None]:
    """Call a function, with a store, if the block does not end soon after a rank failed in a run.

    A rank waits in the libraries for one that has failed, without end, if something keeps the
    connections of that one: an error while gradients are computed leaves references to them, and a
    library may.
    """
    ended = threading.Event()

    def watch() -> None:
        with suppress(RuntimeError):  # the store is gone, and all ranks end
            # the other connection is taken while this rank waits for a word
            own = _store(store.host, store.port, is_master=False)
            while not ended.wait(WATCH_SECONDS):
                if own.check([f"{FAILED} {run}"]):
                    if not ended.wait(SECONDS_TO_NOTICE):
                        wake(own)
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _forget_locals(error: BaseException) -> None:
    """Clear the local variables in the tracebacks of an error and of those before it."""
    each: BaseException | None = error
    while each is not None:
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__


def lost_connection(error: BaseException) -> bool:
    """Return whether an error says that another rank left.

    Example:
        >>> lost_connection(RuntimeError("Connection closed by peer [127.0.0.1]:41325"))
        True
    """
    return isinstance(error, RuntimeError) and LOST.search(str(error)) is not None
