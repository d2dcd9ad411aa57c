"""The LightningModule of a game: the generator against the discriminator."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from losslab.losses import AdversarialLoss
from losslab.modules.base import Module
from losslab.modules.objective import sum_of
from losslab.modules.step_values import StepValues, is_due
from losslab.rng import Purpose, generator
from losslab.tasks.generation import Generation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class AdversarialModule(Module):
    """Trains both players with the same optimizer settings, a step each a batch.

    The curves ``train/part/real``, ``fake``, ``penalty`` and ``generator`` show the game;
    ``train/loss`` is their sum and no measure of progress.

    Args:
        network: maps codes to samples; its ``judge`` gives logits of samples.
        loss: the game.
        task: judges the samples.
        optimizer: makes an optimizer from parameters.
        seed: the run's seed; codes are drawn from it.
        critic_steps: the discriminator's steps a generator's step.
        average: decay of the average of the generator's weights that draws the judged samples.
        samples: how many samples are judged.
    """

    def __init__(
        self,
        network: Any,
        loss: AdversarialLoss,
        task: Generation,
        *,
        optimizer: Callable[..., torch.optim.Optimizer],
        seed: int,
        critic_steps: int = 1,
        average: float = 0.99,
        samples: int = 2000,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.loss = loss
        self.task = task
        self.averaged = torch.optim.swa_utils.AveragedModel(
            network.generator, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(average)
        )
        self.seed, self.critic_steps, self.samples = seed, critic_steps, samples
        self.step_values = StepValues()
        self.due = False
        self.splits: tuple[str, ...] = ("val", "test")
        self._optimizer = optimizer
        self._seen: dict[int, list[Tensor]] = {}
        self._shown: tuple[Tensor, Tensor] | None = None

    def forward(self, codes: Tensor) -> Tensor:
        """Samples of the averaged generator."""
        samples: Tensor = self.averaged(codes)
        return samples

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer a player."""
        return [
            self._optimizer(self.network.discriminator.parameters()),
            self._optimizer(self.network.generator.parameters()),
        ]

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> None:
        """A step of the discriminator and, every so many, one of the generator."""
        real = batch[0]
        players: Any = self.optimizers()
        critic, artist = players
        stream = generator(
            self.seed, Purpose.CODES, self.global_rank, self.current_epoch, batch_index
        )
        parts = self._discriminator_parts(real, stream)
        _step(critic, self, sum_of(parts))
        trainer: Any = self.trainer
        batches = int(trainer.num_training_batches)
        self.due = is_due(self.current_epoch, batches, batch_index, trainer.log_every_n_steps)
        if self.due:
            gradients = [p.grad for p in self.network.discriminator.parameters()]
            self.step_values.watch({"grad_norm": get_total_norm(gradients)})
        if batch_index % self.critic_steps == 0:
            fake = self.network(self._codes(len(real), stream))
            paid = self.loss.generator_components(self.network.judge(fake))
            _step(artist, self, sum_of(paid))
            self.averaged.update_parameters(self.network.generator)
            parts |= paid
        self.step_values.add(sum_of(parts), parts)

    def _discriminator_parts(self, real: Tensor, stream: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.network(self._codes(len(real), stream))
        parts = self.loss.discriminator_components(
            self.network.judge(real), self.network.judge(fake)
        )
        if self.loss.needs_penalty:
            mixing = torch.rand(len(real), generator=stream).to(real)
            parts["penalty"] = self.loss.penalty(self.network.judge, real, fake, mixing)
        return parts

    def _codes(self, count: int, stream: torch.Generator) -> Tensor:
        codes = torch.randn(count, self.network.latent, generator=stream)
        return codes.to(device=self.device, dtype=next(self.network.parameters()).dtype)

    def validation_step(self, batch: tuple[Tensor, ...], batch_index: int) -> None:
        """Keep the real samples."""
        self._seen.setdefault(0, []).append(batch[0])

    def test_step(
        self, batch: tuple[Tensor, ...], batch_index: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the real samples of one of the splits."""
        self._seen.setdefault(dataloader_idx, []).append(batch[0])

    def on_validation_epoch_end(self) -> None:
        """Judge samples beside validation."""
        self._report(("val",))

    def on_test_epoch_end(self) -> None:
        """Judge samples beside each split."""
        self._report(self.splits)

    def _report(self, splits: tuple[str, ...]) -> None:
        for index, split in enumerate(splits):
            real = torch.cat(self._seen[index])
            # each split has its own codes: the checkpoint is not chosen on those that test it
            codes = self._codes(self.samples, generator(self.seed, Purpose(f"{split} codes")))
            fake = self(codes)
            self._shown = (real, fake)
            values = self.task.judge(real, fake)
            self.report(split, values)
        self._seen = {}

    def figures(self) -> "Mapping[str, Figure | FigureData]":
        """The samples judged last."""
        return {} if self._shown is None else self.task.drawn(*self._shown)


def _step(optimizer: Any, module: pl.LightningModule, objective: Tensor) -> None:
    optimizer.zero_grad()
    module.manual_backward(objective)
    optimizer.step()
