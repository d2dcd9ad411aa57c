"""Evaluation of policies, greedy or by sampled actions, and the figure of a run's returns."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from losslab.rl.policy_gradient import sample_actions
from losslab.rl.progress import EPISODES_IN_MEAN, TrainingProgress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.rl.vector import VectorEnvironment

BEST, FINAL = "best checkpoint", "final policy"


def episode_returns(
    outputs: Callable[[Tensor], Tensor],
    environments: "VectorEnvironment",
    seeds: Tensor,
    first_action: int,
    rngs: Sequence[torch.Generator] | None = None,
) -> Tensor:
    """Return the returns of K runs' episodes, in which the action of the highest output is taken.

    All episodes step in parallel; those that have ended are left out of the networks' batch once
    that halves it.

    Args:
        outputs: function from observations ``(K, m, *)`` to one number per action ``(K, m, A)``.
        environments: K times n environments.
        seeds: seeds of the episodes, ``(K, n)``.
        first_action: gymnasium's number of the first action, which is 0 here.
        rngs: random numbers of each run, to sample actions from the softmax of the outputs
            instead; in each step, each of the n episodes has one, whether it has ended or not.

    Returns:
        Undiscounted returns, float32 ``(K, n)``, on the CPU.
    """
    columns = np.arange(seeds.numel()).reshape(seeds.shape)  # environments in the networks' batch
    observations = environments.reset(columns.flatten(), seeds.flatten().tolist())
    observations = observations.astype(np.float32)
    returns = np.zeros(seeds.numel(), dtype=np.float32)
    actions = np.zeros(seeds.numel(), dtype=np.int64)
    acting = np.ones(seeds.numel(), dtype=np.bool_)
    while (index := np.flatnonzero(acting)).size:
        most = acting.reshape(seeds.shape).sum(axis=1).max()
        if most <= columns.shape[1] // 2:
            order = np.argsort(~acting[columns], axis=1, kind="stable")[:, :most]
            columns = np.take_along_axis(columns, order, axis=1)
        numbers = outputs(torch.from_numpy(observations[columns]))
        if rngs is None:
            chosen = numbers.argmax(dim=-1).cpu()
        else:
            # in float32, whatever Lightning makes the default: other dtypes draw other numbers
            draws = [torch.rand(len(seeds.T), generator=rng, dtype=torch.float32) for rng in rngs]
            uniform = torch.cat(draws)
            drawn = sample_actions(numbers.flatten(0, 1), uniform[columns.flatten()])
            chosen = drawn.view(columns.shape)
        actions[columns] = chosen.numpy() + first_action
        observations[index], rewards, terminated, truncated = environments.step(
            index, actions[index]
        )
        returns[index] += rewards
        acting[index] = ~(terminated | truncated)
    environments.close()
    return torch.from_numpy(returns.reshape(seeds.shape))


def returns_figure(
    progress: TrainingProgress, threshold: float | None, test: Mapping[str, Tensor]
) -> "Figure":
    """Plot the returns of the training episodes, and the distribution of those of test.

    Args:
        progress: progress of the run.
        threshold: mean return at which the environment counts as solved, or ``None``.
        test: returns of the test episodes, of the policies :data:`BEST` and :data:`FINAL`.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (imported only to draw a figure)

    from losslab.tasks.drawing import BLUE, GREY, ORANGE  # noqa: PLC0415

    figure = Figure(figsize=(9, 4), layout="constrained")
    training, ranked = figure.subplots(1, 2, width_ratios=[2, 1])
    returns, steps = torch.tensor(progress.returns), torch.tensor(progress.ended_at)
    training.plot(steps, returns, ".", color=GREY, markersize=2, label="one episode")
    if len(returns) >= EPISODES_IN_MEAN:
        means = returns.unfold(0, EPISODES_IN_MEAN, 1).mean(dim=1)
        label = f"mean of {EPISODES_IN_MEAN} episodes"
        training.plot(steps[EPISODES_IN_MEAN - 1 :], means, color=BLUE, label=label)
    if threshold is not None:
        training.axhline(threshold, color=ORANGE, linestyle="--", label="solved")
    training.set(xlabel="environment steps", ylabel="return", title="Training episodes")
    training.legend(loc="best")
    for name, color in {BEST: BLUE, FINAL: ORANGE}.items():
        if name in test:
            values = test[name].sort().values
            ranked.plot(range(1, len(values) + 1), values, color=color, label=name)
    ranked.set(xlabel="episode, by rank", ylabel="return", title="Greedy test episodes")
    if test:
        ranked.legend(loc="best")
    return figure
