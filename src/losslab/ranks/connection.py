"""Connections between the ranks: a store for words, a process group for the tensors of a run."""

import gc
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from losslab.ranks.place import Place

RUN, BEGUN, FAILED, LEFT = "run", "begun", "failed", "left"
"""Keys of the store: what to train, and which ranks have begun, failed and left."""
POLL_SECONDS = 0.05
LOST = re.compile(r"by peer|[Cc]onnection|gloo|NCCL")
"""What the errors of a rank have in common whose group another one has left."""


def connected(place: Place | None) -> Any:
    """Return the store of processes that were started together, or a new one."""
    import torch.distributed as dist  # noqa: PLC0415 (commands that train nothing)

    if place is None:
        address, port, is_master = "127.0.0.1", 0, True
    else:
        address, port = place.address, place.port
        is_master = place.rank == 0 and not place.has_store
    module: Any = dist  # whose stores are not among its typed names
    return module.TCPStore(address, port, is_master=is_master, wait_for_workers=False)


@contextmanager
def process_group(store: Any, run: int, trainer: Any, rank: int) -> Iterator[None]:
    """Connect this rank with the others of a Trainer, for one run."""
    import torch.distributed as dist  # noqa: PLC0415

    module: Any = dist
    backend = "nccl" if trainer.strategy.root_device.type == "cuda" else "gloo"
    own = module.PrefixStore(f"group {run}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=trainer.world_size)
    try:
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
