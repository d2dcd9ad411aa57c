"""Learning-rate range test: a short training whose learning rate grows from step to step.

Source:
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017; the suggestions are those
    of fastai.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from losslab.analysis.rate_curves import RateCurve, smoothed
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.first_batch import try_batch
from losslab.lockstep.grouping import place
from losslab.losses.base import sum_of
from losslab.modules.supervised import SupervisedModule
from losslab.report.learning_rates import LearningRates
from losslab.rng import Purpose, derive_seed, seed_global
from losslab.training import cast_to_float64, configure_process, released


@dataclass(frozen=True)
class Span:
    """Learning rates of a range test, equally spaced on a logarithmic axis.

    Example:
        >>> [f"{rate:g}" for rate in Span(0.001, 1.0, 31).rates()[::10]]
        ['0.001', '0.01', '0.1', '1']
    """

    start: float = 1e-7
    end: float = 10.0
    steps: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.start < self.end < math.inf:
            raise UserError(f"start and end must be 0 < start < end, got {self.start}, {self.end}")
        if self.steps < 20:
            raise UserError(f"steps must be at least 20, got {self.steps}")

    def rates(self) -> list[float]:
        """Return the learning rate of each step."""
        factor = self.end / self.start
        return [self.start * factor ** (step / (self.steps - 1)) for step in range(self.steps)]


def find_rates(configs: Mapping[str, DictConfig], span: Span) -> LearningRates:
    """Make the range test of each loss, from the same weights and with the same batches.

    The training split alone is read, and the trained networks are dropped.

    Args:
        configs: resolved configs by label, of one seed and data set.
        span: the learning rates.

    Raises:
        UserError: if a config cannot run, or its task has its own training step.
    """
    curves = {label: rate_curve(config, span) for label, config in configs.items()}
    first = next(iter(configs.values()))
    return LearningRates(curves, str(first.choices.data), first.seed)


def rate_curve(config: DictConfig, span: Span) -> RateCurve:
    """Train with growing learning rates until the loss has risen far above its lowest value."""
    configure_process(config)
    components = build_components(config)
    module = components.module
    if not isinstance(module, SupervisedModule):
        raise UserError(
            f"task={config.choices.task} has its own training step, for which there is no range "
            "test: losslab tune protocol=tuned tries learning rates"
        )
    try_batch(config, components)
    cast_to_float64(config, components)
    device, _ = place(config.trainer)
    module.to(device)
    batches = _batches(components.data, module, device)
    optimizer = _optimizer(module)
    varied = _varied(config, module, optimizer)
    losses: list[float] = []
    rates = span.rates()
    for rate, batch in zip(rates, batches, strict=False):
        for group, ratio in varied:
            group["lr"] = rate * ratio
        losses.append(_step(config, module, optimizer, batch))
        if _rose(smoothed(losses)):
            break
    if not math.isfinite(losses[-1]):
        losses.pop()
    if not losses:
        raise UserError(f"loss={config.choices.loss} is not finite on the first batch")
    return RateCurve(tuple(rates[: len(losses)]), tuple(smoothed(losses)), span.steps)


def _batches(data: Any, module: SupervisedModule, device: torch.device) -> Iterator[list[Tensor]]:
    """Yield the training batches of a run, epoch after epoch, with its draws of dropout."""
    loader = data.train_dataloader()
    with released(data):
        for epoch in itertools.count():
            if hasattr(loader.sampler, "set_epoch"):
                loader.sampler.set_epoch(epoch)
            module.begin_epoch(epoch)
            for index, batch in enumerate(loader):
                seed_global(derive_seed(module.seed, Purpose.DROPOUT, 0, epoch, index), device)
                yield [_as(module, column.to(device)) for column in batch]


def _as(module: SupervisedModule, column: Tensor) -> Tensor:
    """Convert numbers to the precision of the network."""
    dtype = next(module.parameters()).dtype
    return column.to(dtype) if column.is_floating_point() else column


def _optimizer(module: SupervisedModule) -> torch.optim.Optimizer:
    made = module.configure_optimizers()
    optimizer: torch.optim.Optimizer = made["optimizer"] if isinstance(made, dict) else made
    return optimizer


def _varied(
    config: DictConfig, module: SupervisedModule, optimizer: torch.optim.Optimizer
) -> list[tuple[dict[str, Any], float]]:
    """Return the groups whose rate is varied, with the ratio of theirs to that of the first.

    Parameters of the loss, the last group, keep ``loss_lr`` if it is set.
    """
    groups = optimizer.param_groups
    if config.optimizer.get("loss_lr") is not None:
        trained = any(each.requires_grad for each in module.loss.parameters())
        groups = groups[:-1] if trained else groups
    rates = [group.get("initial_lr", group["lr"]) for group in groups]  # before its scheduler
    return [(group, rate / rates[0]) for group, rate in zip(groups, rates, strict=True)]


def _step(
    config: DictConfig,
    module: SupervisedModule,
    optimizer: torch.optim.Optimizer,
    batch: list[Tensor],
) -> float:
    """Take one step as a run does; return the loss of the batch before it."""
    inputs, target = module.task.pair(tuple(batch))
    parameters = dict(module.network.named_parameters())
    objective = sum_of(
        module.supervision.components(module.network(inputs), target, parameters, *batch[2:])
    )
    optimizer.zero_grad()
    objective.backward()
    if clip := config.trainer.get("gradient_clip_val"):
        by_value = config.trainer.get("gradient_clip_algorithm") == "value"
        (clip_grad_value_ if by_value else clip_grad_norm_)(module.parameters(), clip)
    optimizer.step()
    return float(objective.detach())


def _rose(losses: list[float]) -> bool:
    """Return whether the last of the smoothed losses is four times the lowest, or not finite.

    The lowest of a loss without a lower bound may be negative: its fall is then the measure.
    """
    lowest = min(losses)
    limit = 4 * lowest if lowest > 0 else lowest + 4 * max(losses[0] - lowest, 1.0)
    return not losses[-1] <= limit
