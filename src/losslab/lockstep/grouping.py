"""Group the jobs of a sweep that can be trained together, according to their configs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from losslab.config import schema
from losslab.config.instantiate import target_of
from losslab.lockstep.optimizers import ELEMENTWISE
from losslab.lockstep.resuming import Begun, begun
from losslab.modules.supervised import SupervisedModule
from losslab.rl.module import PolicyGradientModule, QLearningModule
from losslab.trainer import is_double


@dataclass(frozen=True)
class Job:
    """Job of a sweep: its finished config and its folder."""

    config: DictConfig
    folder: Path


def reason_against(config: DictConfig) -> str | None:
    """Return why a config cannot be trained with others; ``None`` if the config permits it."""
    reason = _reason_of_task(config) or _reason_of_network(config)
    if reason is not None:
        return reason
    if target_of(config.optimizer, "optimizer") not in ELEMENTWISE:
        return f"optimizer={config.choices.optimizer} does not update each weight independently"
    for name in config.logger.extra:
        return f"logger={config.choices.get('logger')} ({name}) supports only single runs"
    for name, node in config.callbacks.items():
        if node and not _stackable(f"callbacks.{name!s}._target_", node):
            return f"callbacks.{name} needs a Trainer"
    return _reason_of_trainer(config.trainer)


def _reason_of_task(config: DictConfig) -> str | None:
    module, options = target_of(config.task.module, "task"), config.task.module
    if module is SupervisedModule:
        return None
    if module not in (PolicyGradientModule, QLearningModule):
        return f"task={config.choices.task} has its own training step"
    if module is PolicyGradientModule and options.rollout is None and options.minibatches > 1:
        return "rollouts of whole episodes can differ in the number of minibatches"
    return None


def _reason_to_go_on_alone(config: DictConfig, how: Begun | None) -> str | None:
    """Return why a run that began in this way, if it did, does not go on in a stack."""
    if how == "alone":
        return "they began alone"
    if how == "stacked" and target_of(config.task.module, "task") is not SupervisedModule:
        return "a stack of reinforcement learning cannot go on"
    return None


def _reason_of_network(config: DictConfig) -> str | None:
    for key in ("model.channels_last", "optimizer.layer_decay"):
        if not _stackable(key, value := OmegaConf.select(config, key)):
            return f"{key}={value} supports only single networks"
    return "compile=true supports only single networks" if config.compile else None


def _reason_of_trainer(trainer: DictConfig) -> str | None:
    for name, value in trainer.items():
        if not _stackable(f"trainer.{name!s}", value):
            return f"trainer.{name!s}={value} needs a Trainer"
    if not isinstance(trainer.max_epochs, int) or trainer.max_epochs < 1:
        return f"trainer.max_epochs={trainer.max_epochs} needs a Trainer"
    if place(trainer)[0].type == "mps":
        return "MPS is not supported"
    return None


def _stackable(key: str, value: Any) -> bool:
    """Return whether the loop supports this value of a key."""
    values = schema.meaning(key).stackable
    # 1 is one batch and 1.0 all of them
    return values is None or any(type(value) is type(v) and value == v for v in values)


def place(trainer: DictConfig) -> tuple[torch.device, torch.dtype]:
    """Return the device and the precision that the Trainer's options request."""
    kind = "cpu"
    if trainer.accelerator in ("auto", "gpu", "cuda"):
        kind = "cuda" if torch.cuda.is_available() else kind
        if kind == "cpu" and torch.backends.mps.is_available():
            kind = "mps"
    return torch.device(kind), torch.float64 if is_double(trainer) else torch.float32


def group_jobs(jobs: Sequence[Job]) -> tuple[list[list[Job]], list[tuple[Job, str]]]:
    """Group jobs that can be trained together.

    Returns:
        Groups of at least two jobs, or of one that a stack has begun, and the other jobs with the
        reason.
    """
    groups: dict[str, list[Job]] = {}
    left: list[tuple[Job, str]] = []
    stacked: set[Path] = set()
    for job in jobs:
        how = begun(job.folder)
        if how == "stacked":
            stacked.add(job.folder)
        reason = reason_against(job.config) or _reason_to_go_on_alone(job.config, how)
        if reason is None:
            groups.setdefault(_shape(job.config), []).append(job)
        else:
            left.append((job, reason))
    for members in groups.values():
        if len(members) == 1 and members[0].folder not in stacked:
            left.append((members[0], "no other job has the same data, model and optimizer"))
            members.clear()
    return [members for members in groups.values() if members], left


def stack_key(config: DictConfig) -> str | None:
    """Return a text that is equal for configs that can be stacked; ``None`` if this one cannot."""
    return _shape(config) if reason_against(config) is None else None


def _shape(config: DictConfig) -> str:
    """Return a text that is equal for jobs that can be in the same group."""
    plain: Any = OmegaConf.to_container(config)
    common = {key: value for key, value in schema.flat(plain) if not schema.meaning(key).free}
    data = plain["data"]
    if "batch_size" not in data:  # an environment; the sizes of splits are compared once read
        common |= {f"data.{name}": value for name, value in data.items() if name != "seed"}
    return repr(common)


def split(jobs: Sequence[Job], parts: int) -> list[list[Job]]:
    """Split a group's jobs into equal parts, keeping jobs with the same loss together."""
    order = sorted(jobs, key=lambda job: _loss(job.config))
    ends = [round(len(order) * part / parts) for part in range(parts + 1)]
    shares = [order[first:end] for first, end in zip(ends[:-1], ends[1:], strict=True)]
    return [share for share in shares if share]


def _loss(config: DictConfig) -> str:
    return repr(OmegaConf.to_container(config.loss))
