"""What an algorithm of reinforcement learning is, and what it needs to train one run or several.

A single run and a stack of runs train with the same code: an algorithm is written for K runs that
step together, with the runs on the first axis of every tensor. It collects experience, computes
targets and decides when to update; the networks and the optimizer belong to the
:class:`ParallelRuns` that it is given. For a single run that is
:class:`~losslab.rl.single_run.SingleRun`, for a stack
:class:`~losslab.lockstep.rl.StackedAgents`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from losslab.losses.base import Loss
from losslab.modules.objective import loss_components
from losslab.rl.progress import TrainingProgress
from losslab.rng import Purpose, generator

if TYPE_CHECKING:
    from losslab.rl.control import Control
    from losslab.rl.rollout import RolloutEnvironments

Tensors = Mapping[str, Tensor]


class ParallelRuns(Protocol):
    """K runs of one algorithm with the same options, which step and update together."""

    algorithms: Sequence[Any]
    """Algorithm of each run, with its counters, random numbers and replay buffer."""

    @property
    def environments(self) -> "RolloutEnvironments":
        """Training environments of all runs, those of the first run first."""

    @property
    def device(self) -> torch.device:
        """Device of the networks."""

    def outputs(self, network: str, inputs: Tensor) -> Tensor:
        """Return the outputs ``(K, B, *)`` of each run's network with this name."""

    def parameters(self, network: str) -> list[Tensor]:
        """Return the parameters of the networks with this name."""

    def update(self, outputs: Tensors, batch: Tensors, counts: Sequence[int] | None = None) -> None:
        """Take one optimizer step of each run on the sum of its objective's components.

        Args:
            outputs: outputs of the networks, ``(K, B, *)`` each.
            batch: training batch, ``(K, B, *)`` each.
            counts: number of rows of each run, the first of the B; ``None`` for all.
        """


class Algorithm:
    """Base class of the algorithms: state and objective of one run, and how runs train.

    A subclass implements :meth:`advance`, :meth:`loss_arguments` and :meth:`example`. Everything
    random depends on the seed, the purpose and the progress of the run only, so that a resumed run
    continues as an uninterrupted one would.

    Args:
        network: network that maps observations to one number per action.
        loss: loss of the algorithm.
        task: task that holds the environments.
        seed: seed of the run.
        regularizer: function of the network's named parameters, or ``None``.

    Attributes:
        networks: networks by name; ``network`` acts.
        progress: counters of the run.
    """

    trained: ClassVar[tuple[str, ...]] = ("network",)
    """Names of the networks that the optimizer trains."""

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        task: "Control",
        *,
        seed: int,
        regularizer: Callable[[Tensors], Tensor] | None = None,
    ) -> None:
        self.networks = {"network": network}
        self.loss = loss
        self.task = task
        self.seed = seed
        self.regularizer = regularizer
        self.progress = TrainingProgress()

    def rng(self, purpose: Purpose, counter: int) -> torch.Generator:
        """Create the random number generator of a purpose at one point of the run."""
        return generator(self.seed, purpose, counter)

    def evaluation_rng(self) -> torch.Generator | None:
        """Create the random numbers of test episodes with sampled actions.

        Returns:
            The generator, which starts anew each time; ``None`` if the outputs of the network are
            not the logits of a policy.
        """
        return None

    # --- all runs ------------------------------------------------------------------------------

    def advance(self, runs: ParallelRuns) -> None:
        """Take some environment steps, and update the networks if there is enough experience.

        Args:
            runs: the runs to advance, one of which has this algorithm.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement advance(runs)")

    # --- objective of one run ------------------------------------------------------------------

    def loss_arguments(self, outputs: Tensors, batch: Tensors) -> tuple[Any, Any]:
        """Return the prediction and the target for the loss.

        Args:
            outputs: outputs of the networks, ``(B, *)`` each.
            batch: training batch, ``(B, *)`` each.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement loss_arguments()")

    def extra_components(self, outputs: Tensors, batch: Tensors) -> dict[str, Tensor]:
        """Return the components that the algorithm adds to those of the loss, by name."""
        return {}

    def objective_components(
        self, outputs: Tensors, batch: Tensors, parameters: Tensors
    ) -> dict[str, Tensor]:
        """Return the components that sum to the objective; they depend on the arguments only.

        Args:
            outputs: outputs of the networks, ``(B, *)`` each.
            batch: training batch, ``(B, *)`` each.
            parameters: named parameters of the network, which a regularizer penalises.
        """
        components = loss_components(self.loss, *self.loss_arguments(outputs, batch))
        components = components | self.extra_components(outputs, batch)
        if self.regularizer is None:
            return components
        return components | {"regularizer": self.regularizer(parameters)}

    def diagnostics(self, outputs: Tensors, batch: Tensors) -> dict[str, Tensor]:
        """Return the diagnostics of the loss, by the name under which they are logged."""
        if not isinstance(self.loss, Loss):
            return {}
        diagnostics = self.loss.diagnostics(*self.loss_arguments(outputs, batch))
        return {f"fact/{name}": value for name, value in diagnostics.items()}

    def diagnostics_due(self, every: int) -> bool:
        """Return whether the diagnostics of the latest optimizer step are logged.

        Args:
            every: number of optimizer steps between diagnostics, for algorithms that take many.
        """
        return True

    def example(self, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return example outputs and a training batch of this many rows, to try a loss on."""
        raise NotImplementedError(f"{type(self).__name__} must implement example()")

    @property
    def batch_rows(self) -> int:
        """Number of rows of a training batch, the mean if batches differ."""
        raise NotImplementedError(f"{type(self).__name__} must implement batch_rows")

    # --- state of one run ----------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Return values to log with the progress of the run."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state beyond weights, progress and environments."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a checkpoint."""

    @property
    def state_numel(self) -> int:
        """Maximum number of tensor elements in :meth:`state_dict`."""
        return 0


def select_run(values: Tensors, run: int = 0, count: int | None = None) -> dict[str, Tensor]:
    """Select the entries of one run, and of its rows the first ``count``."""
    return {name: value[run, :count] for name, value in values.items()}
