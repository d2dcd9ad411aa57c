"""One of the runs that are trained together."""

import io
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from losslab.callbacks import Figures
from losslab.components import Components, fingerprint
from losslab.config.instantiate import build
from losslab.data.streaming import is_streamed
from losslab.lockstep.lightning_state import checkpoint
from losslab.lockstep.resuming import SavedRun
from losslab.modules.cost import StepTimer
from losslab.modules.scores import ScoreOptions
from losslab.recording import make_run_writer, open_record
from losslab.runs.buffered_writer import BufferedRunWriter
from losslab.runs.scores import Scores
from losslab.training import prepare_evaluation


class StackedRun:
    """Run in a stack, with its run writer, scheduler and best weights so far.

    Its own module and optimizer are not trained: the module receives weights to be drawn, measured
    or saved, and the optimizer holds the options that the scheduler changes.

    Attributes:
        objective: text that is equal for runs with the same loss, options and regularizer.
        saved: checkpoints from which it goes on, until it does; ``None`` if it begins.
        epochs: number of epochs that it has trained before.
        best: ``state_dict`` of the module in the epoch whose checkpoint counts.
        steps: number of optimizer steps taken.
        timer: time per step, in which a step of K runs counts 1/K for each.
    """

    def __init__(
        self,
        config: DictConfig,
        folder: Path,
        components: Components,
        saved: SavedRun | None = None,
    ) -> None:
        self.config, self.folder, self.components = config, folder, components
        self.name = str(config.choices.loss)
        self.objective = self._objective()
        self.writer = cast(BufferedRunWriter, make_run_writer(config, folder, BufferedRunWriter))
        made: Any = components.module.configure_optimizers()
        self.optimizer: torch.optim.Optimizer = made
        self.scheduler: Any = None
        if isinstance(made, dict):
            self.optimizer = made["optimizer"]
            self.scheduler = made["lr_scheduler"]["scheduler"]
        self.best: Mapping[str, Tensor] = {}
        self.saved = saved
        self.epochs = self.steps = 0
        if saved is not None:
            self.epochs, self.steps = saved.last["epoch"] + 1, saved.last["global_step"]
            saved.restore(self.optimizer, self.scheduler)
        self.timer = StepTimer(self.steps)
        prepare_evaluation(config, components.module)
        self.last_split: str = components.module.splits[-1]
        self._baselines = (
            components.task.baselines(components.data, components.network)
            if self.last_split == "test"
            else {}
        )
        node = config.callbacks.get("figures")
        self.figures: Figures | None = (
            build(node, "callbacks.figures", writer=self.writer) if node else None
        )

    @property
    def plateau(self) -> bool:
        """Return whether the scheduler reads a metric."""
        return isinstance(self.scheduler, ReduceLROnPlateau)

    @property
    def sizes(self) -> str:
        """Text that is equal for runs whose splits and weights have the same shapes.

        Either all of them or none read a split while they train.
        """
        data = self.components.data
        splits = [data.train, data.val, data.test]
        tensors = [tensor for split in splits for tensor in split.tensors()]
        shapes = [tuple(each.shape) for each in (*tensors, *self.components.network.parameters())]
        return repr([shapes, *map(is_streamed, splits)])

    def open(self) -> None:
        """Begin the run's folder, or resume it."""
        last = None if self.saved is None else self.saved.path
        self.saved = None  # its memory is not needed any more
        open_record(self.writer, self.config, self.components, last)
        self.writer.note({"baselines": self._baselines})

    def load_saved(self) -> None:
        """Load the weights from which the run goes on, once the module is where it trains."""
        if self.saved is not None:
            self.components.module.load_state_dict(self.saved.last["state_dict"])
            device = next(self.components.network.parameters()).device
            self.best = {name: value.to(device) for name, value in self.saved.best.items()}

    def schedule(self, metrics: Mapping[str, float] | None = None) -> None:
        """Step the scheduler after an epoch; one that reads a metric waits until it is known.

        Args:
            metrics: metrics of the epoch, once they are measured.
        """
        if self.scheduler is None or self.plateau != (metrics is not None):
            return
        with warnings.catch_warnings(action="ignore"):  # its optimizer takes no steps
            if metrics is None:
                self.scheduler.step()
            else:
                # rounded as a Trainer hands it to a scheduler
                self.scheduler.step(torch.tensor(metrics[self.writer.monitor]).float().item())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights of the network and of the loss into the run's own module."""
        for name, own in self.components.module.state_dict().items():
            if name in weights:
                own.copy_(weights[name])
        self.components.network.eval()

    def checkpoint(
        self, epoch: int, batches: int, val_batches: int, optimizer: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Build the checkpoint of the end of an epoch, with the weights that were loaded.

        Args:
            epoch: epoch, counted from 0.
            batches: number of steps per epoch.
            val_batches: number of batches of the validation split.
            optimizer: ``state_dict`` of the optimizer.
        """
        state = self.components.module.state_dict()
        return checkpoint(
            epoch,
            batches,
            val_batches,
            weights={name: value.clone() for name, value in state.items()},
            optimizer=optimizer,
            scheduler=self.scheduler.state_dict() if self.scheduler is not None else None,
        )

    def end_epoch(
        self,
        epoch: int,
        step: int,
        metrics: Mapping[str, float],
        content: dict[str, Any],
        validated: tuple[Tensor, Tensor] | None = None,
    ) -> bool:
        """Pass the epoch to the run writer; return whether the run stops.

        Args:
            epoch: epoch, counted from 0.
            step: number of optimizer steps at its end.
            metrics: metrics with their split.
            content: the checkpoint, to which the writer's state is added.
            validated: predictions and targets of the validation split, if the task has any.
        """
        self.steps = step
        self.timer.end_epoch(step)
        tie_break = None if validated is None else partial(self._tie_break, *validated)
        stop = self.writer.end_epoch(epoch, step, metrics, partial(self._save, content), tie_break)
        content["record"] = self.writer.state
        best = self.writer.record["best"]
        if best is not None and best["epoch"] == epoch:
            self.best = content["state_dict"]
        return stop

    def _save(self, content: dict[str, Any], path: Path) -> None:
        """Save a checkpoint; torch's own writer does not tell that a disk is full."""
        content.setdefault("record", self.writer.state)  # if the epoch's end was interrupted
        buffer = io.BytesIO()
        torch.save(content, buffer)
        path.write_bytes(buffer.getbuffer())

    def _tie_break(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        link = self.components.module.supervision.inverse_link
        return self.components.task.tie_break(prediction, target, link)

    def network_metrics(self) -> dict[str, float]:
        """Return the metrics that the task computes from the network itself."""
        return self.components.task.network_metrics(self.components.network)

    def chosen(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Return the values that the task chooses on validation, such as a threshold."""
        return self.components.task.choose(
            prediction, target, self.components.module.supervision.inverse_link
        )

    def draw(self, batches: Any, epoch: int, step: int) -> None:
        """Draw the validation split after an epoch if figures are due.

        Args:
            batches: batches of the split.
            epoch: epoch, counted from 0.
            step: number of optimizer steps at its end.
        """
        if self.figures is not None and self.figures.is_due(epoch):
            self.figures.draw(self.components.module, batches, "val", step)

    def scores(
        self, values: Mapping[str, Tensor], prediction: Tensor, target: Tensor
    ) -> Scores | None:
        """Return what the run keeps of its test samples.

        Args:
            values: scores of the samples.
            prediction: predictions of the test split.
            target: targets of the test split.
        """
        options: ScoreOptions | None = self.components.module.score_options
        if options is None:
            return None
        task, sample = self.components.task, self.components.data.test_index
        estimated = self.components.module.supervision.estimated(prediction)
        outputs = task.in_target_unit(estimated), task.in_target_unit(target)
        return options.scores(sample, values, task, outputs)

    def finish(
        self,
        val: Mapping[str, float],
        test: Mapping[str, float],
        batches: Any,
        scores: Scores | None = None,
    ) -> None:
        """Draw the last split with the best weights, and end the run as done.

        Args:
            val: metrics of the validation split with the best weights.
            test: metrics of the test split, if the run reads it.
            batches: batches of the last split.
            scores: what the run keeps of its test samples.
        """
        if scores is not None:
            self.writer.scores(scores)
        if self.figures is not None:
            self.figures.draw(self.components.module, batches, self.last_split, self.steps)
        self.writer.finish(test, val=val)

    def _objective(self) -> str:
        module = self.components.module
        options = objective_of(self.config, module.loss)
        own = [(p.shape, p.requires_grad) for p in module.loss.parameters()]
        link = module.supervision.inverse_link
        return f"{options} {own} {module.supervision.target_format} {link}"


def objective_of(config: DictConfig, loss: nn.Module) -> str:
    """Return a text that is equal for runs with the same loss, options, buffers and regularizer."""
    held = fingerprint(loss.buffers())
    options = [OmegaConf.to_container(config[node]) for node in ("loss", "regularizer")]
    return f"{config.choices.loss} {options} {held}"
