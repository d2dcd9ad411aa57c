"""Training of a single run, with Lightning's optimizer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from losslab.losses.base import sum_of
from losslab.rl.algorithm import Tensors, select_run

if TYPE_CHECKING:
    from losslab.rl.module import ReinforcementModule
    from losslab.rl.rollout import RolloutEnvironments


class SingleRun:
    """Implementation of :class:`~losslab.rl.algorithm.ParallelRuns` for one run.

    Args:
        module: LightningModule of the run.
    """

    def __init__(self, module: "ReinforcementModule") -> None:
        self.algorithms: Sequence[Any] = [module.algorithm]
        self._module = module
        self._environments: RolloutEnvironments | None = None

    @property
    def environments(self) -> "RolloutEnvironments":
        """Training environments, created when they are first needed."""
        if self._environments is None:
            self._environments = self._module.task.environments.rollout_environments()
        return self._environments

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return self._module.device

    def outputs(self, network: str, inputs: Tensor) -> Tensor:
        """Return the outputs ``(1, B, *)`` of the network with this name."""
        dtype: Any = self._module.dtype
        [observations] = inputs
        outputs: Tensor = self._module.algorithm.networks[network](
            observations.to(self.device, dtype)
        )
        return outputs[None]

    def parameters(self, network: str) -> list[Tensor]:
        """Return the parameters of the network with this name."""
        return list(self._module.algorithm.networks[network].parameters())

    def update(self, outputs: Tensors, batch: Tensors, counts: Sequence[int] | None = None) -> None:
        """Take one optimizer step on the sum of the objective's components."""
        module, algorithm, log = self._module, self._module.algorithm, self._module.update_log
        outputs, batch = select_run(outputs), select_run(batch)
        network = algorithm.networks["network"]
        penalised = algorithm.regularizer is not None
        parameters = dict(network.named_parameters()) if penalised else {}
        components = algorithm.objective_components(outputs, batch, parameters)
        objective = sum_of(components)
        optimizer: Any = module.optimizers()
        optimizer.zero_grad()
        module.manual_backward(objective)
        if log.gradient_norm_due:
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            log.step_values.watch({"grad_norm": get_total_norm(gradients)})
        if module.max_grad_norm is not None:
            for name in algorithm.trained:
                clip_grad_norm_(algorithm.networks[name].parameters(), module.max_grad_norm)
        optimizer.step()
        log.add(objective, components)
        if log.diagnostics_due:
            with torch.no_grad():
                log.step_values.watch(algorithm.diagnostics(outputs, batch))
