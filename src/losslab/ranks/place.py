"""Place of a process among those that were started together, by torchrun, srun or losslab."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STARTED = "LOSSLAB_RANK"
"""Environment variable of ranks that losslab has started."""
FIRST_RUN = "LOSSLAB_RANK_RUN"
"""Environment variable of ranks that begin later: number of the first run that they train."""


@dataclass(frozen=True)
class Place:
    """Place of this process among all that a command was started as.

    Attributes:
        starter: what started them, ``torchrun``, ``srun`` or ``losslab``.
        rank: index among all processes.
        local_rank: index among those of this node.
        node: index of the node.
        size: number of processes.
        per_node: number of processes of each node.
        address: host of the store.
        port: port of the store.
        has_store: whether the store is already there, and not to be made by the first rank.
    """

    starter: str
    rank: int
    local_rank: int
    node: int
    size: int
    per_node: int
    address: str
    port: int
    has_store: bool

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.size // self.per_node


def place_in(environment: Mapping[str, str]) -> Place | None:
    """Return the place that environment variables tell, ``None`` for a process of its own.

    Example:
        >>> place_in({"SLURM_STEP_NUM_TASKS": "1"}) is None
        True
        >>> names = "TORCHELASTIC_RUN_ID RANK LOCAL_RANK GROUP_RANK WORLD_SIZE LOCAL_WORLD_SIZE"
        >>> started = dict(zip(names.split(), "0 3 1 1 4 2".split()))
        >>> place_in(started | {"MASTER_ADDR": "node0", "MASTER_PORT": "29500"}).nodes
        2
    """
    if "TORCHELASTIC_RUN_ID" in environment or STARTED in environment:
        place = _of_torchrun(environment)
    elif "SLURM_STEP_NUM_TASKS" in environment and "SLURM_PROCID" in environment:
        place = _of_srun(environment)
    else:
        return None
    return place if place.size > 1 else None


def _of_torchrun(given: Mapping[str, str]) -> Place:
    own = STARTED in given
    return Place(
        "losslab" if own else "torchrun",
        int(given["RANK"]),
        int(given["LOCAL_RANK"]),
        int(given.get("GROUP_RANK", 0)),
        int(given["WORLD_SIZE"]),
        int(given["LOCAL_WORLD_SIZE"]),
        given["MASTER_ADDR"],
        int(given["MASTER_PORT"]),
        own or given.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _of_srun(given: Mapping[str, str]) -> Place:
    size, nodes = int(given["SLURM_STEP_NUM_TASKS"]), int(given.get("SLURM_STEP_NUM_NODES", 1))
    first = "127.0.0.1" if nodes == 1 else _first_host(given["SLURM_STEP_NODELIST"])
    # steps of a job at the same time need ports of their own
    step = 100 * int(given["SLURM_JOB_ID"]) + int(given.get("SLURM_STEP_ID", 0)) % 100
    return Place(
        "srun",
        int(given["SLURM_PROCID"]),
        int(given["SLURM_LOCALID"]),
        int(given["SLURM_NODEID"]),
        size,
        -(-size // nodes),
        given.get("MASTER_ADDR", first),
        int(given.get("MASTER_PORT", 20000 + step % 10000)),
        has_store=False,
    )


def _first_host(listed: str) -> str:
    """Return the first host of a list of Slurm.

    Example:
        >>> _first_host("node[03-05,7],login"), _first_host("gpu1,gpu2")
        ('node03', 'gpu1')
    """
    return re.sub(r"\[(\w+).*?\]", r"\1", listed).split(",")[0]


_here: list[Place] = []


def enter(place: Place) -> None:
    """Take a place, in which runs of this process are trained together with the others."""
    leave()
    _here.append(place)
    os.environ["LOCAL_RANK"] = str(place.local_rank)  # Lightning reads these
    os.environ["NODE_RANK"] = str(place.node)


def leave() -> None:
    """Leave the place."""
    _here.clear()


def here() -> Place | None:
    """Return the place of this process, ``None`` if it was started alone."""
    return _here[0] if _here else None


def trainer_options() -> dict[str, Any]:
    """Return the Trainer's options that follow from how the processes were started."""
    place = here()
    if place is None or place.starter == "losslab":
        return {}
    return {"devices": place.per_node, "num_nodes": place.nodes}
