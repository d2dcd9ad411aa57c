"""Check whether a run can be trained by the processes that its Trainer asks for."""

from collections.abc import Callable

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from losslab.components import Components
from losslab.config.errors import UserError
from losslab.config.extras import is_installed, not_installed
from losslab.models.freezing import normalizes_batches
from losslab.modules.sharding import FULLY_SHARD
from losslab.modules.zero import ZERO
from losslab.ranks.place import here
from losslab.runtime import cores

DIVIDES_WEIGHTS = ("fsdp", "deepspeed", "model_parallel")
"""Beginnings of the names of Lightning's own strategies that divide weights."""
PER_CORE = 4
"""Processes per core that a run may start on the CPU; more run out of memory first."""
IN_FLOAT32 = ("32", "32-true", "bf16", "bf16-mixed")
"""Precisions with weights in float32."""
BY_NUMBER = ("torch.optim.adam", "torch.optim.adamw", "torch.optim.sgd")
"""Optimizers that update each number of a weight by itself, in lower case."""
REFUSED: dict[str, tuple[str, dict[str, Callable[[str], bool]]]] = {
    FULLY_SHARD: (
        "fsdp",
        {
            "compile": lambda value: value == "true",
            # autograd.grad finds no gradients of parts
            "component_gradients": lambda value: value == "true",
            # whose scaler was not tried with them
            "trainer.precision": lambda value: value.startswith("16"),
        },
    ),
    ZERO: (
        "deepspeed",
        {
            "compile": lambda value: value == "true",
            # DeepSpeed keeps the weights that it updates in float32
            "trainer.precision": lambda value: value not in IN_FLOAT32,
            # gradients are already divided when the factor of their sum is known
            "trainer.accumulate_grad_batches": lambda value: value != "1",
            "trainer.gradient_clip_algorithm": lambda value: value == "value",
            # it updates flat tensors, and each group in a step of its own
            "optimizer._target_": lambda value: value not in BY_NUMBER,
        },
    ),
}
"""What does not work with a strategy that divides, by its name: its choice in conf/, and keys."""


def require_strategy(config: DictConfig) -> None:
    """Check that a Trainer's strategy leaves weights and gradients where runs read them.

    Raises:
        UserError: if it divides them in a way of Lightning's own.
    """
    strategy = str(config.trainer.strategy)
    if strategy.startswith(DIVIDES_WEIGHTS):
        raise UserError(
            f"trainer.strategy={strategy} divides weights or gradients, which has not been tried "
            "with the curves and checkpoints of runs: use trainer=fsdp or trainer=deepspeed to "
            "divide them, or trainer=ddp"
        )


def require_processes(config: DictConfig, trainer: pl.Trainer, components: Components) -> None:
    """Check that a run can be trained by the processes of a Trainer.

    Raises:
        UserError: if it cannot.
    """
    _require_place(config, trainer)
    many = f"{trainer.world_size} processes"
    if trainer.world_size > 1 and not getattr(components.module, "shares_batches", True):
        raise UserError(
            f"task={config.choices.task} trains in one process, got {many}: use trainer=auto"
        )
    _require_divisible(config, components)
    if trainer.world_size == 1:
        return
    if normalizes_batches(components.network) and not config.trainer.get("sync_batchnorm"):
        on_gpus = trainer.strategy.root_device.type == "cuda"
        advice = "add +trainer.sync_batchnorm=true" if on_gpus else "use GPUs or trainer=auto"
        raise UserError(
            f"model={config.choices.model} has batch normalization, which {many} would apply to "
            f"parts of a batch: {advice}"
        )


def _require_divisible(config: DictConfig, components: Components) -> None:
    """Check that a run can be trained with divided weights or states, if the Trainer divides them.

    Raises:
        UserError: if it cannot.
    """
    if config.trainer.strategy not in REFUSED:
        return
    name, refused = REFUSED[config.trainer.strategy]
    if name == "deepspeed" and not is_installed("deepspeed"):
        raise UserError(f"trainer=deepspeed: {not_installed('deepspeed')}, or use trainer=fsdp")
    if not getattr(components.module, "divides_weights", False):
        other = "ddp" if getattr(components.module, "shares_batches", True) else "auto"
        raise UserError(
            f"task={config.choices.task} has its own training step, which does not work with "
            f"trainer={name}: use trainer={other}"
        )
    if name == "fsdp" and normalizes_batches(components.network):
        raise UserError(
            f"model={config.choices.model} has batch normalization, which trainer=fsdp would apply "
            "to parts of a batch: use trainer=ddp +trainer.sync_batchnorm=true on GPUs"
        )
    for key, is_refused in refused.items():
        value = str(OmegaConf.select(config, key)).lower()
        if is_refused(value):
            raise UserError(f"{key}={value} does not work with trainer={name}: use trainer=ddp")


def _require_place(config: DictConfig, trainer: pl.Trainer) -> None:
    """Check that the processes that were started with this one are those of the Trainer."""
    place, strategy = here(), config.trainer.strategy
    if place is None:
        if trainer.num_nodes > 1:
            raise UserError(
                f"trainer.num_nodes={trainer.num_nodes} needs a process per device on each node: "
                "start the command with torchrun or srun (docs/scale.md)"
            )
        most, on_cpu = PER_CORE * cores(), trainer.strategy.root_device.type == "cpu"
        if on_cpu and trainer.world_size > most:
            raise UserError(
                f"trainer.devices={config.trainer.devices} would start {trainer.world_size} "
                f"processes on {cores()} cores: give at most {most}"
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
