"""How many runs a device's memory holds at once."""

import math
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from losslab.components import Components
from losslab.data.base import InMemoryData
from losslab.lockstep.capture import RECORDERS
from losslab.rl.module import ReinforcementModule

# copies of a network's weights that a run holds at the end of an epoch, when it holds the most: its
# own network, the row of the stack, the gradient, two of the optimizer, the best so far, and what a
# checkpoint is made of; 11 to 18 were measured, as freed blocks happen to lie
COPIES = 18
# gradients that recorded steps keep: of full and of last batches, with values to watch and without
RECORDED = 4
# of the layers' outputs on a batch: kept for the gradient, its own, what convolutions unfold
OUTPUTS = 5
# of a split's predictions, while metrics are computed
JUDGED = 10
# of what a run that plays learns from again: itself, in the best and the last checkpoint, and in
# the one that is made
REPLAYS = 4
SHARE = 0.8  # of the free memory


def runs_that_fit(
    components: Components, device: torch.device, dtype: torch.dtype, sharing: int
) -> int:
    """How many runs of this kind may be trained together; 1 at least.

    Args:
        components: of one of them.
        device: where they are trained.
        dtype: in which precision.
        sharing: processes that take an equal part of the memory each.
    """
    copies = COPIES + RECORDED * (device.type in RECORDERS)
    return max(
        1, int(SHARE * free_bytes(device) / sharing / bytes_of_run(components, dtype, copies))
    )


def bytes_of_run(components: Components, dtype: torch.dtype, copies: int = COPIES) -> int:
    """An upper estimate of what a run needs, with splits of its own.

    Args:
        components: of the run.
        dtype: in which it is trained.
        copies: of its weights.
    """
    plays = isinstance(components.module, ReinforcementModule)
    networks = components.module if plays else components.network
    numbers = copies * sum(weight.numel() for weight in networks.state_dict().values())
    if plays:
        numbers += REPLAYS * components.module.numbers_held
    if isinstance(components.data, InMemoryData):
        train, val, test = components.data.train, components.data.val, components.data.test
        batch = tuple(tensor[: components.data.batch_size] for tensor in train.tensors())
        inputs = components.task.pair(batch)[0]
        outputs, predictions = _numbers_of_outputs(components.network, inputs)
        numbers += OUTPUTS * (outputs + inputs.numel())
        numbers += JUDGED * predictions * math.ceil(max(val.size, test.size) / len(inputs))
        # as they are read, and as they lie on the device
        tensors = [*train.tensors(), *val.tensors(), *test.tensors()]
        numbers += 2 * sum(tensor.numel() for tensor in tensors)
    return int(numbers * dtype.itemsize)


def free_bytes(device: torch.device) -> int:
    """The memory of a device that is not in use; on the CPU not beyond the process's own limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    limit = _bytes_to_limit()
    return free if limit is None else min(free, limit)


def _bytes_to_limit() -> int | None:
    """What a control group, such as a container's or a job's, leaves; ``None`` without one."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        return max(0, limit - int((folder / "memory.current").read_text()))
    except (OSError, ValueError):  # another system, or "max"
        return None


def _numbers_of_outputs(network: nn.Module, inputs: Tensor) -> tuple[int, int]:
    """How many numbers all layers give for a batch, and how many the whole network."""
    counts: list[int] = []

    def count(layer: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            counts.append(output.numel())

    leaves = [module for module in network.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    training, state = network.training, torch.get_rng_state()
    with torch.no_grad():
        prediction = network.eval()(inputs)
    network.train(training)
    torch.set_rng_state(state)
    for handle in handles:
        handle.remove()
    return sum(counts), prediction.numel()
