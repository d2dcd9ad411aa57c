"""Estimate how many runs fit into a device's memory."""

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

# copies of the weights at the end of an epoch, the peak: own network, row of the stack, gradient,
# two of the optimizer, best so far, and the checkpoint; 11 to 18 were measured, depending on
# fragmentation
COPIES = 18
# gradients that captured steps keep: full and last batches, with and without diagnostics
RECORDED = 4
# copies of the layers' outputs on a batch: for the backward pass, gradients, unfolded convolutions
OUTPUTS = 5
# copies of a split's predictions while metrics are computed
PREDICTIONS = 10
# copies of the replay buffer: in use, in the best, in the last and in the current checkpoint
REPLAYS = 4
SHARE = 0.8  # usable share of the free memory


def runs_that_fit(
    components: Components, device: torch.device, dtype: torch.dtype, sharing: int
) -> int:
    """Return how many runs of this kind may be trained together, at least 1.

    Args:
        components: components of one of the runs.
        device: device of the training.
        dtype: precision of the training.
        sharing: number of processes that share the memory equally.
    """
    copies = COPIES + RECORDED * (device.type in RECORDERS)
    return max(
        1, int(SHARE * free_bytes(device) / sharing / bytes_of_run(components, dtype, copies))
    )


def bytes_of_run(components: Components, dtype: torch.dtype, copies: int = COPIES) -> int:
    """Return an upper estimate of a run's memory, including its own splits.

    Args:
        components: components of the run.
        dtype: precision of the training.
        copies: number of copies of its weights.
    """
    is_rl = isinstance(components.module, ReinforcementModule)
    networks = components.module if is_rl else components.network
    trained = [*networks.state_dict().values(), *components.module.loss.parameters()]
    numbers = copies * sum(weight.numel() for weight in trained)
    if is_rl:
        numbers += REPLAYS * components.module.algorithm.state_numel
    if isinstance(components.data, InMemoryData):
        train, val, test = components.data.train, components.data.val, components.data.test
        inputs = components.task.pair(components.data.batches(train).first())[0]
        outputs, predictions = _numbers_of_outputs(components.network, inputs)
        numbers += OUTPUTS * (outputs + inputs.numel())
        numbers += PREDICTIONS * predictions * math.ceil(max(val.size, test.size) / len(inputs))
        # once as read and once on the device
        tensors = [*train.tensors(), *val.tensors(), *test.tensors()]
        numbers += 2 * sum(each.numel() for each in tensors if isinstance(each, Tensor))
    return int(numbers * dtype.itemsize)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device; on the CPU within the limit of the control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    limit = _bytes_to_limit()
    return free if limit is None else min(free, limit)


def _bytes_to_limit() -> int | None:
    """Return the memory left in the control group, such as a container's; ``None`` without one."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        return max(0, limit - int((folder / "memory.current").read_text()))
    except (OSError, ValueError):  # another system, or "max"
        return None


def _numbers_of_outputs(network: nn.Module, inputs: Tensor) -> tuple[int, int]:
    """Return the number of output elements for a batch, of all layers and of the network."""
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
