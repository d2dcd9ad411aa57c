"""Lockstep training of reinforcement learning runs, in one batch of environments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losslab.lockstep.gradients import clip_rows, gradients_of, norms_of_rows
from losslab.lockstep.objective import Values
from losslab.lockstep.optimizers import RowOptimizer, state_dict_of
from losslab.lockstep.passes import Unstackable
from losslab.lockstep.rows import StackedRuns
from losslab.lockstep.stack import Stack
from losslab.lockstep.stacked_agent import StackedAgent, StackedAgentObjective, of_network
from losslab.losses.base import sum_of
from losslab.modules.cost import begin_memory
from losslab.modules.step_values import Diverged
from losslab.rl.algorithm import ParallelRuns, Tensors
from losslab.rl.evaluation import BEST, episode_returns
from losslab.rl.rollout import RolloutEnvironments


class StackedAgents(StackedRuns[StackedAgent, StackedAgentObjective]):
    """Runs of one algorithm, trained in one stack and one batch of environments.

    All runs take environment steps and optimizer steps together. The epochs of each run are counted
    in its own environment steps.

    Args:
        members: the runs; those with the same objective must be adjacent.
        device: device of the networks.
        dtype: precision of the training.

    Raises:
        Unstackable: if the networks cannot be stacked.

    Attributes:
        algorithms: algorithm of each run, in the order of the rows.
        environments: training environments of all runs, in the order of the rows.
    """

    def __init__(
        self, members: Sequence[StackedAgent], device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self._place = (device, dtype)
        self.trainer = members[0].config.trainer
        for member in members:
            member.module.to(device, dtype)
            member.module.update_log.every = self.trainer.log_every_n_steps
        data, first = members[0].data, members[0].module.algorithm
        sample = torch.zeros(2, *data.input_shape, device=device, dtype=dtype)
        self._trained = first.trained
        self._stacks = {
            name: Stack([member.module.algorithm.networks[name] for member in members], sample)
            for name in first.networks
        }
        if any(stack.draws for stack in self._stacks.values()):
            raise Unstackable("the network draws random numbers")
        if any(stack.keeps_statistics for stack in self._stacks.values()):
            raise Unstackable("the network keeps running statistics")
        self.optimizer = RowOptimizer(self._weights(), [one.optimizer for one in members])
        self._finished: list[StackedAgent] = []
        self.arrange(members)
        self.environments = RolloutEnvironments(
            data.vector(len(members) * data.num_envs), self._seed_of, data.first_action
        )
        self.try_losses(self._on_example)

    def train(self) -> None:
        """Train all epochs, then test each run's best checkpoint and final policy."""
        runs: ParallelRuns = self
        begin_memory(self._place[0])
        while self.members:
            with self.timed():
                self.algorithms[0].advance(runs)
            self._end_batches()
            self.save_if_due([*self._finished, *self.members])
        if self._finished:
            self._test(self._finished)

    # --- losslab.rl.algorithm.ParallelRuns -----------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Return the device of the networks."""
        return self._place[0]

    def outputs(self, network: str, inputs: Tensor) -> Tensor:
        """Return each run's outputs (K, B, *) of the network with this name on inputs (K, B, *)."""
        return self._stacks[network](inputs.to(*self._place))

    def parameters(self, network: str) -> list[Tensor]:
        """Return the stacked weights of the networks with this name."""
        return list(self._stacks[network].parameters.values())

    def update(self, outputs: Tensors, batch: Tensors, counts: Sequence[int] | None = None) -> None:
        """Take one optimizer step of each run on its own objective."""
        parameters = self._stacks["network"].parameters
        components = [block.components(outputs, batch, parameters, counts) for block in self.blocks]
        objectives = [sum_of(own) for own in components]
        self._step(torch.cat(objectives).sum())
        for block, objective, own in zip(self.blocks, objectives, components, strict=True):
            columns = {name: part.detach().unbind() for name, part in own.items()}
            for place, value in enumerate(objective.detach().unbind()):
                at_place = {name: column[place] for name, column in columns.items()}
                block.logs[place].add(value, at_place)
            due = [log for log in block.logs if log.diagnostics_due]
            if due:
                diagnostics = block.diagnostics(outputs, batch, counts)
                for place, log in enumerate(block.logs):
                    if log in due:
                        log.step_values.watch({n: v[place] for n, v in diagnostics.items()})

    def _step(self, objective: Tensor) -> None:
        # no row's objective depends on other rows' weights: the sum's gradient is that of each row
        [gradients] = gradients_of(objective, [self._weights()])
        largest = self.members[0].module.max_grad_norm
        for name in self._trained:
            own = of_network(name, gradients)
            if name == "network":
                self._log_gradient_norm(own)
            if largest:
                clip_rows(own, norms_of_rows(own), largest)
        self.optimizer.step(gradients)

    def _log_gradient_norm(self, gradients: Tensors) -> None:
        logs = [member.module.update_log for member in self.members]
        if any(log.gradient_norm_due for log in logs):
            norms = norms_of_rows(gradients)
            for row, log in enumerate(logs):
                if log.gradient_norm_due:
                    log.step_values.watch({"grad_norm": norms[row]})

    # --- rows ----------------------------------------------------------------------------------

    def _weights(self, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the stacked weights by network and name, by default of the trained networks."""
        return {
            f"{network}.{name}": value
            for network in names or self._trained
            for name, value in self._stacks[network].parameters.items()
        }

    def _seed_of(self, index: int, episode: int) -> int:
        row, place = divmod(index, self._each)
        return self.members[row].data.training_seed(place, episode)

    def make_block(
        self, members: Sequence[StackedAgent], first: int, *, mapped: bool
    ) -> StackedAgentObjective:
        """Create the objective of these runs on their rows."""
        return StackedAgentObjective([member.module for member in members], first, mapped=mapped)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        for stack in self._stacks.values():
            stack.keep(rows)
        self.optimizer.keep(self._weights(), rows)
        every = np.arange(self.environments.size).reshape(-1, self._each)
        self.environments.keep(every[list(rows)].flatten())

    def arrange(self, members: Sequence[StackedAgent]) -> None:
        """Set the rows of the stack and the algorithms of their runs."""
        super().arrange(members)
        self.algorithms: Sequence[Any] = [member.module.algorithm for member in members]

    def _on_example(self, block: StackedAgentObjective) -> tuple[Values, Values]:
        outputs, batch = (
            {
                name: value.to(self._place[0]).expand(len(self.members), *value.shape)
                for name, value in own.items()
            }
            for own in block.algorithms[0].example(8)
        )
        components = block.components(outputs, batch, self._stacks["network"].parameters, None)
        return components, block.diagnostics(outputs, batch, None)

    # --- ends of batches and epochs ------------------------------------------------------------

    def _end_batches(self) -> None:
        """Log due values, and evaluate the runs whose epoch ended."""
        going = self.members
        while going:
            ended, leaving = [], []
            for member in going:
                try:
                    if member.end_batches():
                        ended.append(member)
                except Diverged as error:
                    member.writer.fail("diverged", str(error), error.step)
                    leaving.append(member)
            stopped = self._end_epochs(ended) if ended else []
            self._finished += stopped
            self.drop(leaving + stopped)
            going = [member for member in ended if member not in stopped]

    def _end_epochs(self, members: Sequence[StackedAgent]) -> list[StackedAgent]:
        """Evaluate these runs and end their epoch; return those that stop."""
        rows = [self.members.index(member) for member in members]
        policies = self._stacks["network"].select(rows)
        splits = self._returns(policies, members, ("choice", "val"))
        evaluated = [
            {"val/return_choice": float(choice.mean()), "val/return_mean": float(val.mean())}
            for choice, val in splits
        ]
        for member, metrics in zip(members, evaluated, strict=True):
            member.schedule(metrics)
        self.optimizer.regroup()
        states, stopped = self.optimizer.rows(), []
        for row, member, metrics in zip(rows, members, evaluated, strict=True):
            weights = {
                f"{network}.{name}": value.clone()
                for network, stack in self._stacks.items()
                for name, value in stack.row(row).items()
            }
            optimizer = state_dict_of(member.optimizer, [states[row]])
            own = slice(row * self._each, (row + 1) * self._each)
            environments = self.environments.state_dict(own)
            if member.end_rl_epoch(metrics, weights, optimizer, environments):
                stopped.append(member)
        return stopped

    def _returns(
        self,
        policies: Stack,
        members: Sequence[StackedAgent],
        splits: Sequence[str],
        rngs: Sequence[torch.Generator] | None = None,
    ) -> list[tuple[Tensor, ...]]:
        """Return the returns of each run per split; all episodes step in parallel.

        They are those of greedy episodes or, with random numbers of each run, of sampled actions.
        """
        data = members[0].data
        own = [torch.cat([getattr(member.data, split) for split in splits]) for member in members]
        seeds = torch.stack(own)
        with torch.no_grad():
            returns = episode_returns(
                lambda observations: policies(observations.to(*self._place)),
                data.vector(seeds.numel()),
                seeds,
                data.first_action,
                rngs,
            )
        sizes = [len(getattr(data, split)) for split in splits]
        return [row.split(sizes) for row in returns]

    def _test(self, members: Sequence[StackedAgent]) -> None:
        """Evaluate final policy and best checkpoint of these runs on the splits they read."""
        policies, tested = self._stacks["network"], members[0].last_split == "test"
        if tested:
            for member in members:
                member.load(member.last)
            policies.load([member.components.network for member in members])
            self._evaluate_final(policies, members)
        for member in members:
            member.load(member.best)
        policies.load([member.components.network for member in members])
        splits = ("val", "test") if tested else ("val",)
        self.arrange(sorted(members, key=lambda member: member.objective))
        self.note_costs(self._place[0], lambda row: self.members[row].module.loss_call())
        for member, (val, *test) in zip(
            members, self._returns(policies, members, splits), strict=True
        ):
            metrics = {}
            if tested:
                member.module.test_returns[BEST] = test[0]
                metrics = {"return_mean": float(test[0].mean())} | member.module.final
                member.module.keep_scores()
            member.finish({"return_mean": float(val.mean())}, metrics, None, member.module.scores)

    def _evaluate_final(self, policies: Stack, members: Sequence[StackedAgent]) -> None:
        """Evaluate the final policies, whose weights are loaded, in the test episodes."""
        greedy = self._returns(policies, members, ("test",))
        rngs = [member.module.algorithm.evaluation_rng() for member in members]
        sampled: Sequence[tuple[Tensor | None, ...]] = [(None,)] * len(members)
        if own := [rng for rng in rngs if rng is not None]:  # of all, or of none
            sampled = self._returns(policies, members, ("test",), own)
        for member, (returns,), (of_samples,) in zip(members, greedy, sampled, strict=True):
            member.module.evaluate_final(returns, of_samples)

    @property
    def _each(self) -> int:
        """Number of environments per run."""
        return self.members[0].data.num_envs
