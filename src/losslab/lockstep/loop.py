"""Training loop of a run batch: runs that are trained together in lockstep.

The weights of K runs of one architecture are stacked into tensors whose first dimension is the run.
A step computes all predictions at once, then the objective of each run from its own predictions.
No run's objective depends on another run's weights, so one backward pass of the sum of objectives
gives each run its own gradient. Rows with the same loss, options and regularizer are adjacent and
form a block, whose loss is mapped over its rows with ``vmap`` if that gives the same values.

Everything random depends only on a run's seed and on counters, so a run that ends early leaves the
stack without affecting the others, and all runs give the same results as when trained alone.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from losslab.config.interruption import uninterrupted
from losslab.lockstep.batches import StackedBatches
from losslab.lockstep.capture import captured
from losslab.lockstep.gradients import StackedGradients
from losslab.lockstep.loss_parameters import LossParameters
from losslab.lockstep.objective import StackedObjective, Values
from losslab.lockstep.optimizers import RowOptimizer, state_dict_of
from losslab.lockstep.resuming import saved_rows
from losslab.lockstep.rows import StackedRuns
from losslab.lockstep.stack import Stack
from losslab.lockstep.stacked_run import StackedRun
from losslab.losses.base import sum_of
from losslab.modules.cost import LossCall, begin_memory, supervised_call
from losslab.modules.step_values import Diverged, StepValues, divergence, is_due
from losslab.tasks.base import Task

Batch = tuple[Tensor, ...]


class StepResult(NamedTuple):
    """Values of one step of K runs before the update, in memory that the next step may reuse."""

    objectives: Tensor
    """Objective of each run, (K,)."""
    components: list[Values]
    """Per block, the components of its objectives if there are several, each (rows,)."""
    watched: list[Values]
    """Per block, diagnostics and gradient norms if they are due, each (rows,)."""
    gradients: StackedGradients
    """Gradients of networks and losses, clipped."""


class RunBatch(StackedRuns[StackedRun, StackedObjective]):
    """Runs that are trained in one stack, from initial weights to test metrics.

    Args:
        members: the runs; those with the same objective must be adjacent.
        device: device of the training.
        dtype: precision of the training.
        capture: whether steps are captured and replayed if the device supports it; see
            :mod:`losslab.lockstep.capture`.

    Raises:
        Unstackable: if the network cannot be stacked.
    """

    def __init__(
        self,
        members: Sequence[StackedRun],
        device: torch.device,
        dtype: torch.dtype,
        *,
        capture: bool = True,
    ) -> None:
        super().__init__()
        self.values: list[StepValues] = []
        self._losses: dict[str, LossParameters] = {}
        self._place = (device, dtype)
        self._captures = capture
        self.task: Task = members[0].components.task
        self.trainer = members[0].config.trainer
        for member in members:
            member.components.module.to(device, dtype)
            member.load_saved()
        self.streams = StackedBatches([member.components.data for member in members], device, dtype)
        batch = self.streams.first()
        networks = [member.components.network for member in members]
        self.stack = Stack(networks, self.task.pair(batch)[0][0])
        self._captures &= not self.stack.keeps_statistics  # which trial passes would change
        self.optimizer = RowOptimizer(
            self.stack.parameters, [one.optimizer for one in members], saved_rows(members, device)
        )
        self.arrange(members)
        self._try_losses(batch)

    def train(self) -> None:
        """Train all epochs that are left, then test each run's best checkpoint."""
        try:
            self._train()
        finally:
            self.streams.close()

    def _train(self) -> None:
        finished = [member for member in self.members if member.writer.record["stopped"]]
        self.drop(finished)
        begin_memory(self._place[0])
        for epoch in range((finished + self.members)[0].epochs, self.trainer.max_epochs):
            if not self.members:
                break
            with self.timed():
                self._train_epoch(epoch)
            if self.members:
                stopped = self._end_epoch(epoch)
                finished += stopped
                self.drop(stopped)
            self.save_if_due(finished + self.members)
        self._test(finished + self.members)

    # --- rows -------------------------------------------------------------------------------

    def make_block(
        self, members: Sequence[StackedRun], first: int, *, mapped: bool
    ) -> StackedObjective:
        """Create the objective of these runs on their rows."""
        supervisions = [member.components.module.supervision for member in members]
        key = members[0].objective
        if key not in self._losses:
            own = [supervision.loss for supervision in supervisions]
            optimizers = [member.optimizer for member in members]
            states = saved_rows(members, self._place[0], group=1)
            self._losses[key] = LossParameters(own, optimizers, states)
        losses = self._losses[key]
        return StackedObjective(supervisions, first, losses, mapped=mapped)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        self.stack.keep(rows)
        self.streams.keep(rows)
        self.optimizer.keep(self.stack.parameters, rows)
        for block in self.blocks:
            first, end = block.rows.start, block.rows.stop
            if kept := [row - first for row in rows if first <= row < end]:
                block.losses.keep(kept)
            else:
                del self._losses[self.members[first].objective]

    def arrange(self, members: Sequence[StackedRun]) -> None:
        """Set the rows of the stack; runs that stay keep the values of their steps."""
        before = {
            self.members[block.rows.start].objective: (self.members[block.rows], values)
            for block, values in zip(self.blocks, self.values, strict=True)
        }
        super().arrange(members)
        self.values = []
        for block in self.blocks:
            own = self.members[block.rows]
            alike, values = before.get(own[0].objective, ([], StepValues()))
            self.values.append(values.select([alike.index(one) for one in own if one in alike]))
        # recordings refer to the memory of the old rows
        self._computed = captured(self._compute, self._place[0] if self._captures else None)

    def _try_losses(self, batch: Batch) -> None:
        inputs, target = self.task.pair(batch)
        with torch.no_grad():
            prediction = self.stack(inputs)
        given = (prediction, target, self.stack.parameters, _weights(batch))

        def evaluate(block: StackedObjective) -> tuple[Values, Values]:
            components = block.components(*given)
            block.require_own_parameters(components, *given)
            return components, block.diagnostics(prediction, target)

        self.try_losses(evaluate)

    # --- steps ------------------------------------------------------------------------------

    def _train_epoch(self, epoch: int) -> None:
        for member in self.members:
            member.components.module.begin_epoch(epoch)
        count = self.streams.count("train")
        batches = self._batches_from(epoch, 0)
        for index in range(count):
            due = is_due(epoch, count, index, self.trainer.log_every_n_steps)
            while not self._step(epoch, index, next(batches), due=due):
                if not self.members:
                    return
                batches = self._batches_from(epoch, index)
            if index + 1 == count:
                self._schedule()
            if due and self._drain(epoch, count * epoch + index + 1):
                if not self.members:
                    return
                # a run was dropped: continue the epoch with the remaining rows
                batches = self._batches_from(epoch, index + 1)

    def _batches_from(self, epoch: int, index: int) -> Iterator[Batch]:
        return self.streams.batches("train", epoch, index)

    def _step(self, epoch: int, index: int, batch: Batch, *, due: bool) -> bool:
        """Take a step; return False if it must be repeated without runs that have diverged."""
        inputs = self.task.pair(batch)[0]
        seeds = [member.config.seed for member in self.members]
        masks, statistics = self.stack.masks(seeds, epoch, index, inputs), self.stack.statistics()
        try:
            found: StepResult = self._computed(due, len(batch), *batch, *masks.values())
        except Exception as error:  # a loss may raise anything on NaN
            step = self.streams.count("train") * epoch + index + 1
            prediction = self.stack(inputs, masks)
            self.stack.restore(statistics)
            self._drop_diverged(prediction, step, error)
            return False
        objectives = found.objectives.clone()
        for number, (block, values) in enumerate(zip(self.blocks, self.values, strict=True)):
            values.add(objectives[block.rows], _copies(found.components[number]))
            if due:
                values.watch(_copies(found.watched[number]))
        self.optimizer.step(found.gradients.network)
        for block, gradients in zip(self.blocks, found.gradients.losses, strict=True):
            block.losses.step(gradients)
        return True

    def _compute(self, due: bool, columns: int, *tensors: Tensor) -> StepResult:
        """Compute a step from the batch, the dropout masks and the stacked weights.

        Args:
            due: whether to compute diagnostics.
            columns: number of tensors of the batch; the others are masks.
            tensors: tensors (K, B, *).
        """
        batch = tensors[:columns]
        masks = dict(zip(self.stack.masked, tensors[columns:], strict=True))
        inputs, target = self.task.pair(batch)
        parameters, prediction = self.stack.parameters, self.stack(inputs, masks)
        given = (prediction, target, parameters, _weights(batch))
        components = [block.components(*given) for block in self.blocks]
        # no row's objective depends on other rows' weights: the sum's gradient is that of each row
        objectives = torch.cat([sum_of(own) for own in components])
        blocks = [block.rows for block in self.blocks]
        trained = [block.losses.trained for block in self.blocks]
        gradients = StackedGradients(objectives.sum(), parameters, trained, blocks)
        watched = self._watched(prediction.detach(), target, gradients) if due else []
        if self.trainer.gradient_clip_val:
            gradients.clip(self.trainer.gradient_clip_val)
        several = [_detached(own) if len(own) > 1 else {} for own in components]
        return StepResult(objectives.detach(), several, watched, gradients)

    def _watched(
        self, prediction: Tensor, target: Tensor, gradients: StackedGradients
    ) -> list[Values]:
        norms = gradients.norms()
        return [
            block.diagnostics(prediction, target) | {"grad_norm": norms[block.rows]}
            for block in self.blocks
        ]

    def _drop_diverged(self, prediction: Tensor, step: int, error: Exception) -> None:
        """End the runs whose predictions are not finite, after a loss or a metric raised.

        Raises:
            Exception: the error, if all predictions are finite.
        """
        finite = prediction.detach().flatten(1).isfinite().all(dim=1).tolist()
        diverged = [one for one, fine in zip(self.members, finite, strict=True) if not fine]
        if not diverged:
            raise error
        for member in diverged:
            member.writer.fail("diverged", str(Diverged(member.name, math.nan, step)), step)
        self.drop(diverged)

    def _schedule(self) -> None:
        for member in self.members:
            member.schedule()
        self._regroup()

    def _regroup(self) -> None:
        self.optimizer.regroup()
        for block in self.blocks:
            block.losses.regroup()

    def _drain(self, epoch: int, step: int) -> bool:
        """Log the values of the steps; return whether a run diverged and was dropped."""
        diverged = []
        for block, values in zip(self.blocks, self.values, strict=True):
            objectives, table = values.take()
            columns = {tag: value.tolist() for tag, value in table.items()}
            for place, member in enumerate(self.members[block.rows]):
                error = divergence(objectives[:, place], member.name, step)
                if error is not None:
                    member.writer.fail("diverged", str(error), error.step)
                    diverged.append(member)
                    continue
                point = {tag: column[place] for tag, column in columns.items()}
                point["train/lr"] = float(member.optimizer.param_groups[0]["lr"])
                member.writer.log(epoch, step, point)
        self.drop(diverged)
        return bool(diverged)

    # --- ends of epochs ---------------------------------------------------------------------

    def _end_epoch(self, epoch: int) -> list[StackedRun]:
        """Evaluate on validation and end the epoch of each run; return the runs that stop."""
        counts = self.streams.count("train"), self.streams.count("val")
        step = counts[0] * (epoch + 1)
        prediction, target = self._predict("val")
        try:
            evaluated = self._evaluate(prediction, target, [{} for _ in self.members])
        except Exception as error:  # a metric may raise anything on NaN
            self._drop_diverged(prediction, step, error)
            return self._end_epoch(epoch) if self.members else []
        self._load_modules()
        metrics = [
            {f"val/{name}": value for name, value in (own | member.network_metrics()).items()}
            for member, own in zip(self.members, evaluated, strict=True)
        ]
        for row, member in enumerate(self.members):
            member.schedule(metrics[row])
        self._regroup()
        states, stopped = self._optimizer_states(), []
        for member in self.members:
            member.draw(self.streams.of(member.components.data, "val"), epoch, step)
        with uninterrupted():  # runs that are saved at different epochs go on in different stacks
            for row, member in enumerate(self.members):
                content = member.checkpoint(epoch, *counts, states[row])
                validated = prediction[row], target[row]
                if member.end_epoch(epoch, step, metrics[row], content, validated):
                    stopped.append(member)
        return stopped

    def _load_modules(self) -> None:
        """Load the weights of each row into the module of its run."""
        losses = itertools.chain(*(block.losses.rows() for block in self.blocks))
        for row, (member, loss) in enumerate(zip(self.members, losses, strict=True)):
            named = {"network": self.stack.row(row), "loss": loss}
            member.load({f"{part}.{n}": v for part, own in named.items() for n, v in own.items()})

    def _optimizer_states(self) -> list[dict[str, Any]]:
        """Return a copy of the state of each run's optimizer."""
        losses = itertools.chain(*(block.losses.states() for block in self.blocks))
        return [
            state_dict_of(member.optimizer, groups)
            for member, *groups in zip(self.members, self.optimizer.rows(), losses, strict=True)
        ]

    def _predict(self, split: str) -> tuple[Tensor, Tensor]:
        """Return predictions and targets of a split, (K, n, *)."""
        seen = []
        with torch.no_grad():
            for batch in self.streams.batches(split):
                inputs, target = self.task.pair(batch)
                seen.append((self.stack(inputs), target))
        predictions, targets = zip(*seen, strict=True)
        return torch.cat(predictions, dim=1), torch.cat(targets, dim=1)

    def _evaluate(
        self, prediction: Tensor, target: Tensor, chosen: Sequence[Mapping[str, float]]
    ) -> list[dict[str, float]]:
        with torch.no_grad():
            rows = [block.evaluate(prediction, target, chosen[block.rows]) for block in self.blocks]
        return list(itertools.chain(*rows))

    def _scores(
        self, prediction: Tensor, target: Tensor, chosen: Sequence[Mapping[str, float]]
    ) -> list[Values] | None:
        """Compute the scores of each test sample of each run, if they are kept."""
        if self.members[0].components.module.score_options is None:
            return None
        with torch.no_grad():
            rows = [block.scores(prediction, target, chosen[block.rows]) for block in self.blocks]
        return list(itertools.chain(*rows))

    def _test(self, members: Sequence[StackedRun]) -> None:
        """Evaluate the best checkpoint of these runs on the splits they read, and end them."""
        if not members:
            return
        for member in members:
            member.load(member.best)
        self._losses = {}  # the losses have their best parameters now
        self.arrange(sorted(members, key=lambda member: member.objective))
        self.streams.close()
        self.streams = StackedBatches([one.components.data for one in self.members], *self._place)
        self.stack.load([member.components.network for member in self.members])
        val, last = self._predict("val"), self.members[0].last_split
        chosen = [
            member.chosen(val[0][row], val[1][row]) for row, member in enumerate(self.members)
        ]
        on_val = self._evaluate(*val, chosen)
        test = self._predict("test") if last == "test" else None
        on_test = None if test is None else self._evaluate(*test, chosen)
        values = None if test is None else self._scores(*test, chosen)
        self._note_costs()
        for row, member in enumerate(self.members):
            line = member.network_metrics()
            metrics = {} if on_test is None else on_test[row] | line
            scores = None
            if test is not None and values is not None:
                scores = member.scores(values[row], test[0][row], test[1][row])
            batches = self.streams.of(member.components.data, last)
            member.finish(on_val[row] | line, metrics, batches, scores)

    def _note_costs(self) -> None:
        """Record the cost of the runs, with that of their losses on the first training batch."""
        batch = self.streams.first()
        (inputs, target), weights = self.task.pair(batch), _weights(batch)
        with torch.no_grad():
            prediction = self.stack(inputs)

        def call(row: int) -> LossCall:
            supervision = self.members[row].components.module.supervision
            own = None if weights is None else weights[row]
            return supervised_call(supervision, prediction[row], target[row], own)

        self.note_costs(self._place[0], call)


def _detached(values: Values) -> Values:
    return {name: value.detach() for name, value in values.items()}


def _copies(values: Values) -> Values:
    return {name: value.clone() for name, value in values.items()}


def _weights(batch: Batch) -> Tensor | None:
    return batch[2] if len(batch) > 2 else None
