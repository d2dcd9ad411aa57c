"""The LightningModule of generative adversarial networks."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from losslab.losses import AdversarialLoss
from losslab.losses.base import sum_of
from losslab.modules.base import Module
from losslab.modules.cost import LossCall
from losslab.modules.global_batch import GlobalBatch, average_over_ranks, gradients_of
from losslab.modules.step_values import StepValues, is_due
from losslab.rng import Purpose, generator
from losslab.tasks.generation import GenerationTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class AdversarialModule(Module):
    """LightningModule that trains a generator and a discriminator in alternation.

    Both have an optimizer with the same options. The curves ``train/part/real``, ``fake``,
    ``penalty`` and ``generator`` show their losses; ``train/loss`` is the sum and does not measure
    progress.

    Args:
        network: maps codes to samples, and samples to logits by ``discriminate``.
        loss: adversarial loss.
        task: computes the metrics of samples.
        optimizer: makes an optimizer from parameters.
        seed: seed of the run, from which codes are drawn.
        critic_steps: discriminator steps per generator step.
        average: decay of the averaged generator weights, which are used for evaluation.
        samples: number of samples to evaluate.
    """

    loss: AdversarialLoss

    def __init__(
        self,
        network: Any,
        loss: AdversarialLoss,
        task: GenerationTask,
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
        self._evaluated: tuple[Tensor, Tensor] | None = None

    def forward(self, codes: Tensor) -> Tensor:
        """Generate samples with the averaged generator."""
        samples: Tensor = self.averaged(codes)
        return samples

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimizers of discriminator and generator."""
        return [
            self._optimizer(self.network.discriminator.parameters()),
            self._optimizer(self.network.generator.parameters()),
        ]

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> None:
        """Train the discriminator and, every ``critic_steps`` batches, the generator."""
        real = batch[0]
        whole = GlobalBatch(real)
        optimizers: Any = self.optimizers()
        discriminator_optimizer, generator_optimizer = optimizers
        rng = generator(self.seed, Purpose.CODES, 0, self.current_epoch, batch_index)
        components = self._discriminator_components(real, whole, rng)
        self._step(discriminator_optimizer, self.network.discriminator, sum_of(components))
        trainer: Any = self.trainer
        batches = int(trainer.num_training_batches)
        self.due = is_due(self.current_epoch, batches, batch_index, trainer.log_every_n_steps)
        if self.due:
            gradients = gradients_of(self.network.discriminator.parameters())
            self.step_values.watch({"grad_norm": get_total_norm(gradients)})
        if batch_index % self.critic_steps == 0:
            fake = self.network(whole.part(self._codes(whole.count, rng)))
            logits = whole.gather(self.network.discriminate(fake))
            generator_components = self.loss.generator_components(logits)
            self._step(generator_optimizer, self.network.generator, sum_of(generator_components))
            self.averaged.update_parameters(self.network.generator)
            components |= generator_components
        self.step_values.add(sum_of(components), components)

    def _discriminator_components(
        self, real: Tensor, whole: GlobalBatch, rng: torch.Generator
    ) -> dict[str, Tensor]:
        discriminate = self.network.discriminate
        with torch.no_grad():
            fake = self.network(whole.part(self._codes(whole.count, rng)))
        logits = (whole.gather(discriminate(samples)) for samples in (real, fake))
        components = self.loss.discriminator_components(*logits)
        if self.loss.needs_penalty:
            mixing = whole.part(torch.rand(whole.count, generator=rng)).to(real)
            terms = self.loss.penalty_terms(discriminate, real, fake, mixing)
            components["penalty"] = self.loss.reduce_penalty(whole.gather(terms))
        return components

    def _step(self, optimizer: Any, network: nn.Module, objective: Tensor) -> None:
        """Take an optimizer step of one of the networks.

        Ranks average its gradients here, since DistributedDataParallel would wait for those of
        the other network.
        """
        optimizer.zero_grad()
        with self._unsynchronised():
            self.manual_backward(objective)
        average_over_ranks(gradients_of(network.parameters()))
        optimizer.step()

    def _unsynchronised(self) -> AbstractContextManager[None]:
        strategy: Any = self.trainer.strategy
        return strategy.block_backward_sync() if self.trainer.world_size > 1 else nullcontext()

    def loss_call(self) -> LossCall:
        """Return the losses of discriminator and generator, with the penalty, on one batch."""
        discriminate, needs_penalty = self.network.discriminate, self.loss.needs_penalty
        real = self.first_batch()[0]
        rng = generator(self.seed, Purpose.CODES, 0, 0, 0)
        with torch.no_grad():
            fake = self.network(self._codes(len(real), rng))
            logits = discriminate(real), discriminate(fake)
        mixing = torch.rand(len(real), generator=rng).to(real)

        def components(real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
            own = self.loss.discriminator_components(real_logits, fake_logits)
            if needs_penalty:
                own["penalty"] = self.loss.penalty(discriminate, real, fake, mixing)
            return own | self.loss.generator_components(fake_logits)

        weights = tuple(self.network.discriminator.parameters()) if needs_penalty else ()
        return LossCall(components, logits, others=(real, fake, mixing), parameters=weights)

    def _codes(self, count: int, rng: torch.Generator) -> Tensor:
        codes = torch.randn(count, self.network.latent, generator=rng)
        return codes.to(device=self.device, dtype=next(self.network.parameters()).dtype)

    def validation_step(self, batch: tuple[Tensor, ...], batch_index: int) -> None:
        """Keep the real samples of validation."""
        self._seen.setdefault(0, []).append(batch[0])

    def test_step(
        self, batch: tuple[Tensor, ...], batch_index: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the real samples of one of the splits."""
        self._seen.setdefault(dataloader_idx, []).append(batch[0])

    def on_validation_epoch_end(self) -> None:
        """Evaluate generated samples against validation."""
        self._report(("val",))

    def on_test_epoch_end(self) -> None:
        """Evaluate generated samples against each split."""
        self._report(self.splits)

    def _report(self, splits: tuple[str, ...]) -> None:
        for index, split in enumerate(splits):
            [real] = self.gathered(index, torch.cat(self._seen[index]))
            # each split has its own codes: those of the test do not choose the checkpoint
            codes = self._codes(self.samples, generator(self.seed, Purpose(f"{split} codes")))
            fake = self(codes)
            self._evaluated = (real, fake)
            values = self.task.evaluate(real, fake)
            self.report(split, values)
            if split == "test" and self.score_options is not None:
                # generated samples belong to no test sample
                sample = self.test_index[: len(real)]
                scores = self.task.scores(fake, real, None, {})
                self.scores = self.score_options.scores(sample, scores, self.task)
        self._seen = {}

    def figures(self) -> "Mapping[str, Figure | FigureData]":
        """Plot the samples that were evaluated last."""
        return {} if self._evaluated is None else self.task.sample_figures(*self._evaluated)
