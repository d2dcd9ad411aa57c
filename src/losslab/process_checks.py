"""Check whether a run can be trained by the processes that its Trainer asks for."""

import pytorch_lightning as pl
from omegaconf import DictConfig

from losslab.components import Components
from losslab.config.errors import UserError
from losslab.models.freezing import normalizes_batches
from losslab.ranks.place import here

DIVIDES_WEIGHTS = ("fsdp", "deepspeed", "model_parallel")


def require_strategy(config: DictConfig) -> None:
    """Check that each process holds the whole network, whose weights and gradients runs read.

    Raises:
        UserError: if the Trainer's strategy divides it.
    """
    strategy = str(config.trainer.strategy)
    if strategy.startswith(DIVIDES_WEIGHTS):
        raise UserError(
            f"trainer.strategy={strategy} divides the network, whose regularizers and norms of "
            "gradients need all weights: use trainer=ddp"
        )


def require_processes(config: DictConfig, trainer: pl.Trainer, components: Components) -> None:
    """Check that a run can be trained by the processes of a Trainer.

    Raises:
        UserError: if it cannot.
    """
    _require_place(config, trainer)
    if trainer.world_size == 1:
        return
    many = f"{trainer.world_size} processes"
    if not getattr(components.module, "shares_batches", True):
        raise UserError(
            f"task={config.choices.task} trains in one process, got {many}: use trainer=auto"
        )
    if normalizes_batches(components.network) and not config.trainer.get("sync_batchnorm"):
        on_gpus = trainer.strategy.root_device.type == "cuda"
        advice = "add +trainer.sync_batchnorm=true" if on_gpus else "use GPUs or trainer=auto"
        raise UserError(
            f"model={config.choices.model} has batch normalization, which {many} would apply to "
            f"parts of a batch: {advice}"
        )


def _require_place(config: DictConfig, trainer: pl.Trainer) -> None:
    """Check that the processes that were started with this one are those of the Trainer."""
    place, strategy = here(), config.trainer.strategy
    if place is None:
        if trainer.num_nodes > 1:
            raise UserError(
                f"trainer.num_nodes={trainer.num_nodes} needs a process per device on each node: "
                "start the command with torchrun or srun (docs/scale.md)"
            )
        return
    started = f"{place.starter} started {place.size} processes"
    if place.size % place.per_node:
        raise UserError(f"{started} on {place.nodes} nodes: start as many on each")
    if strategy in ("auto", "single_device"):
        raise UserError(f"{started}, but trainer.strategy={strategy} is for one: add trainer=ddp")
    if spawns(config):
        raise UserError(f"{started}, but trainer.strategy={strategy} starts its own: use ddp")


def spawns(config: DictConfig) -> bool:
    """Return whether Lightning starts the processes of a run, as copies of this one."""
    strategy = str(config.trainer.strategy)
    return any(way in strategy for way in ("spawn", "fork", "notebook"))
