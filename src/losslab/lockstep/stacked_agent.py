"""One of the reinforcement learning runs that are trained together, and their objectives."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from losslab.components import Components
from losslab.lockstep.lightning_state import checkpoint
from losslab.lockstep.objective import Values, over_rows
from losslab.lockstep.stacked_run import StackedRun, objective_of
from losslab.rl.algorithm import Algorithm, Tensors, select_run
from losslab.rl.environments import Environments
from losslab.rl.module import ReinforcementModule
from losslab.rl.progress import UpdateLog


class StackedAgent(StackedRun):
    """Stacked run of reinforcement learning.

    Its weights are in the stack and its environments in the common batch; counters, random numbers
    and replay buffer are those of its own algorithm, as if it were alone.

    Attributes:
        epoch: current epoch, counted from 0.
        batch: current batch within the epoch.
        last: ``state_dict`` of the module at the end of the training.
    """

    def __init__(self, config: DictConfig, folder: Path, components: Components) -> None:
        super().__init__(config, folder, components)
        self.module: ReinforcementModule = components.module
        self.data: Environments = components.data
        self.epoch = self.batch = 0
        self.last: Mapping[str, Tensor] = {}
        self._ends = [int(end) for (end,) in self.data.train_dataloader()]

    @property
    def sizes(self) -> str:
        """Text that is equal for runs whose steps have the same shapes, as in all groups."""
        return ""

    def end_batches(self) -> bool:
        """End the batches whose environment steps are done, up to the end of the epoch.

        Returns:
            Whether the epoch ended.

        Raises:
            Diverged: if an objective was NaN or infinite.
        """
        begun = self.epoch * self.data.steps_per_epoch
        progress, log = self.module.algorithm.progress, self.module.update_log
        while progress.env_steps >= begun + self._ends[self.batch]:
            log.end_batch()
            self.batch = (self.batch + 1) % len(self._ends)
            if self.batch == 0:
                self.schedule()
            if log.due:
                step = progress.updates
                values = log.step_values.drain(self.name, step)
                values["train/lr"] = float(self.optimizer.param_groups[0]["lr"])
                self.writer.log(self.epoch, step, values)
            if self.batch == 0:
                return True
        return False

    def end_rl_epoch(
        self,
        metrics: Mapping[str, float],
        weights: Mapping[str, Tensor],
        optimizer: Mapping[str, Any],
        environments: Mapping[str, Any],
    ) -> bool:
        """Pass the epoch to the run writer; return whether the run stops.

        Args:
            metrics: metrics with their split.
            weights: weights of all networks.
            optimizer: ``state_dict`` of the optimizer.
            environments: state of the run's environments.
        """
        step = self.module.algorithm.progress.updates
        self.draw(None, self.epoch, step)
        state = self.module.state_dict()
        content = checkpoint(
            self.epoch,
            len(self._ends),
            sum(map(len, self.data.val_dataloader())),
            weights={name: weights.get(name, value) for name, value in state.items()},
            optimizer=optimizer,
            scheduler=self.scheduler.state_dict() if self.scheduler is not None else None,
            updates=step,
        )
        content["reinforcement"] = self.module.training_state(environments)
        self.last = content["state_dict"]
        stop = self.end_epoch(self.epoch, step, metrics, content)
        self.epoch += 1
        return stop or self.epoch == self.config.trainer.max_epochs

    def _objective(self) -> str:
        return objective_of(self.config, self.components.module.loss)


class StackedAgentObjective:
    """Block of consecutive rows whose runs have the same loss, options and regularizer.

    The methods take the arguments of the whole stack, (K, *).

    Args:
        modules: module of each run.
        first: index of the first row.
        mapped: whether the loss is mapped over the rows.
    """

    def __init__(self, modules: Sequence[ReinforcementModule], first: int, *, mapped: bool) -> None:
        self.algorithms: list[Algorithm] = [module.algorithm for module in modules]
        self.logs: list[UpdateLog] = [module.update_log for module in modules]
        self.rows = slice(first, first + len(modules))
        self.mapped = mapped

    def components(
        self, outputs: Tensors, batch: Tensors, parameters: Tensors, counts: Sequence[int] | None
    ) -> Values:
        """Return the components of the rows' objectives, each (rows,)."""
        own = {} if self.algorithms[0].regularizer is None else parameters
        functions = [algorithm.objective_components for algorithm in self.algorithms]
        return self._over_rows(functions, [outputs, batch, own], counts)

    def diagnostics(self, outputs: Tensors, batch: Tensors, counts: Sequence[int] | None) -> Values:
        """Return the diagnostics of the loss, each (rows,)."""
        with torch.no_grad():
            functions = [algorithm.diagnostics for algorithm in self.algorithms]
            return self._over_rows(functions, [outputs, batch], counts)

    def _over_rows(
        self,
        functions: Sequence[Callable[..., Values]],
        arguments: Sequence[Tensors],
        counts: Sequence[int] | None,
    ) -> Values:
        given = [{name: v[self.rows] for name, v in own.items()} for own in arguments]
        if counts is None or len(set(counts)) == 1:
            return over_rows(functions, given, mapped=self.mapped)
        rows = []
        for row, (function, count) in enumerate(zip(functions, counts[self.rows], strict=True)):
            cut = [select_run(own, row, count) for own in given[:2]]
            whole = [{name: value[row] for name, value in own.items()} for own in given[2:]]
            rows.append(function(*cut, *whole))
        return {name: torch.stack([values[name] for values in rows]) for name in rows[0]}


def of_network(network: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Select the entries of one network, without its prefix."""
    prefix = f"{network}."
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
