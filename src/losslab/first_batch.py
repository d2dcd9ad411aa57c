"""Check of the first batch of a run, before anything is written."""

import logging
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from losslab.components import Components, accumulates
from losslab.config.errors import UserError, described
from losslab.data_building import first_batch
from losslab.losses.base import sum_of
from losslab.target_formats import checked_prediction, require_one_number

log = logging.getLogger(__name__)


def try_batch(config: DictConfig, components: Components, processes: int = 1) -> None:
    """Compute the loss of one training batch and its gradient, as the first step will.

    Modules with their own training step are not tried: they may need a Trainer or an environment.

    Args:
        config: the resolved config.
        components: the run's components.
        processes: number of processes that train together.

    Raises:
        UserError: if the network or the loss fails on the batch.
    """
    supervision = getattr(components.module, "supervision", None)
    if supervision is None:
        return
    chosen, network = config.choices, components.network
    batch = first_batch(config, components.data)
    inputs, target = components.task.pair(batch)
    prediction = checked_prediction(config, components.task, network, inputs)
    try:
        parameters = dict(network.named_parameters())
        value = sum_of(supervision.components(prediction, target, parameters, *batch[2:]))
        require_one_number(config, value)
        value.backward()
        weights = [torch.ones_like(column) for column in batch[2:]]
        sums_ranks = processes > 1 and supervision.adds_up
        if weights or accumulates(config) or sums_ranks:
            _require_totals(config, supervision, prediction, target, *weights)
        if accumulates(config):
            _warn_of_shared_terms(config, supervision, prediction, target)
    except UserError:
        raise
    except Exception as error:  # the user's loss may raise anything
        raise UserError(
            f"loss={chosen.loss} fails on a batch of data={chosen.data}: {described(error)[:400]}"
        ) from error
    components.module.zero_grad(set_to_none=True)


def _require_totals(
    config: DictConfig, supervision: Any, prediction: Any, target: Any, *ones: Tensor
) -> None:
    """Check that a loss keeps its value when total and count make it up, with weights of 1.

    Raises:
        UserError: if it does not: its mean divides by something unknown.
    """
    with torch.no_grad():
        value = sum_of(supervision.loss_components(prediction, target))
        other = supervision.from_total(*supervision.total(prediction, target, *ones))
    if not torch.allclose(value, other, rtol=1e-4, atol=1e-6, equal_nan=True):
        purpose = "sample weights" if ones else "several batches or devices per step"
        raise UserError(
            f"loss={config.choices.loss} does not support {purpose}: it is {value:.6g}, but "
            f"{other:.6g} when its values per sample are averaged with weights of 1"
        )


def _warn_of_shared_terms(
    config: DictConfig, supervision: Any, prediction: Any, target: Any
) -> None:
    """Warn if what the loss sums depends on several samples, such as pairs."""
    half = len(prediction) // 2
    if half == 0:
        return
    with torch.no_grad():
        whole, first, second = (
            torch.stack(supervision.total(prediction[part], target[part]))
            for part in (slice(None), slice(half), slice(half, None))
        )
    if not torch.allclose(whole, first + second, rtol=1e-4, atol=1e-6, equal_nan=True):
        log.warning(
            f"loss={config.choices.loss}: terms that need samples of different batches are left "
            "out, so that those of one step are not one large batch"
        )
