"""Weights of a network that are divided between the processes that train it (FSDP2).

:func:`torch.distributed.fsdp.fully_shard` leaves each rank a part of each weight, of its gradient
and of what the optimizer keeps of it, as :class:`DTensor`. A layer's whole weights exist while the
layer computes. Gradients are averaged over the ranks, as by DistributedDataParallel.

What is not part of the network, such as weights that a loss trains, is whole on each rank. Its
gradients must be averaged too, and operators do not take it together with what is divided.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.strategies import ModelParallelStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from torch.optim import SGD, Optimizer

FULLY_SHARD = "fully_shard"
"""Name of the strategy."""


class FullyShardedStrategy(ModelParallelStrategy):
    """Strategy of Lightning that divides weights, with the checkpoints of any other run.

    Lightning's own numbers the parameters of an optimizer in another order, and loads more than
    tensors from a checkpoint that is resumed.
    """

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Whether Lightning passes the saved states of optimizers on."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Gather the weights on the first rank; called by all."""
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Gather the state of an optimizer on the first rank; called by all."""
        return self._gathered(optimizer.state_dict())

    def _gathered(self, state: dict[str, Any]) -> dict[str, Any]:
        def on_first_rank(part: DTensor) -> Tensor | None:
            full = part.full_tensor()
            return full.cpu() if self.is_global_zero else None

        gathered: dict[str, Any] = apply_to_collection(state, DTensor, on_first_rank)
        return gathered

    def load_checkpoint(self, checkpoint_path: Any, weights_only: Any = None) -> dict[str, Any]:
        """Read a checkpoint, without running any code in it."""
        return super(ModelParallelStrategy, self).load_checkpoint(checkpoint_path, True)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this rank's part of the weights."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        parts = {
            name: part_of(value, own.get(name)) for name, value in checkpoint["state_dict"].items()
        }
        self.lightning_module.load_state_dict(parts, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this rank's part of the state of the optimizers."""
        super(ModelParallelStrategy, self).load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                state.update({name: part_of(value, parameter) for name, value in state.items()})
            fit_to_parts(optimizer)


StrategyRegistry.register(FULLY_SHARD, FullyShardedStrategy)


def shard(network: nn.Module, ranks: int, device: torch.device) -> None:
    """Divide the weights of a network, in place, unless they are.

    The layers in its sequences are gathered one after the other, and the rest together. Numbers,
    such as a learned temperature, stay whole.
    """
    if isinstance(network, FSDPModule):
        return
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (ranks,)),
        "ignored_params": {each for each in network.parameters() if not each.ndim},
        # so that parameters are the divided ones whenever the network is not computing
        "reshard_after_forward": True,
    }
    layers = [] if _shares_weights(network) else list(_layers(network))
    for module in [*layers, network]:
        module.register_forward_hook(_without_views)
        fully_shard(module, **options)


def _without_views(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Copy outputs that are views: a change in place would remove the hook that gathers weights."""
    return apply_to_collection(
        output, Tensor, lambda each: each.clone() if each._is_view() else each
    )


def _shares_weights(network: nn.Module) -> bool:
    """Return whether a weight belongs to several layers, which are then gathered together."""
    named = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    return len(named) > len(list(network.parameters()))


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers with weights in the sequences of a network."""
    for child in module.children():
        is_item = isinstance(module, nn.Sequential | nn.ModuleList)
        if not is_item or isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            yield from _layers(child)
        elif any(each.ndim for each in child.parameters()):
            yield child


@contextmanager
def gathered_weights(network: nn.Module) -> Iterator[None]:
    """Give each rank the whole weights in a block that all of them enter.

    In the block one rank can compute or read without the others.
    """
    parts = [each for each in network.modules() if isinstance(each, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(True, recurse=False)


def is_divided(tensor: Tensor) -> bool:
    """Return whether a rank has a part of a tensor only."""
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor as one process has it, with gradients; called by all ranks."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(value: Any, like: Any) -> Any:
    """Return this rank's part of a tensor that is to be divided as another one is.

    Values of another shape, such as a number of steps, are returned as they are.
    """
    if not isinstance(value, Tensor) or not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    moved = value.to(like.device)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


def fit_to_parts(optimizer: Optimizer) -> None:
    """Let an optimizer use kernels that know parts of tensors: torch has no fused ones of SGD."""
    if isinstance(optimizer, SGD):
        for group in optimizer.param_groups:
            group["fused"] = False


# --- gradients --------------------------------------------------------------------------------


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Compute the norm of all gradients together."""
    norms = [whole(get_total_norm(each)) for each in _alike(gradients)]
    return norms[0] if len(norms) == 1 else get_total_norm(norms)


def clip(parameters: Iterable[nn.Parameter], limit: float, *, by_value: bool) -> None:
    """Clip gradients, in place: each value, or their norm together."""
    trained = [parameter for parameter in parameters if parameter.grad is not None]
    norm = total_norm([each.grad for each in trained if each.grad is not None])
    for each in _alike(trained):
        if by_value:
            clip_grad_value_(each, limit)
        else:
            clip_grads_with_norm_(each, limit, norm)


def _alike(tensors: Sequence[Any]) -> list[list[Any]]:
    """Return the tensors that are divided and those that are not, which operators do not mix."""
    divided = [each for each in tensors if isinstance(each, DTensor)]
    others = [each for each in tensors if not isinstance(each, DTensor)]
    return [each for each in (divided, others) if each]
