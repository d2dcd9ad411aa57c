"""Generalized advantage estimation."""

import torch
from torch import Tensor


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ended: Tensor,
    *,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    r"""Estimate the advantages of the actions in T steps of N environments.

    .. math::
        \delta_t = r_t + \gamma (1 - \mathrm{terminated}_t) V(s_{t+1}) - V(s_t), \qquad
        A_t = \delta_t + \gamma\lambda (1 - \mathrm{ended}_t) A_{t+1}

    With :math:`\lambda = 1` the advantage is the discounted return minus the value, the Monte Carlo
    estimate, bootstrapped if the steps stop before the episode. With :math:`\lambda = 0` it is the
    error of a one-step prediction. An episode that a time limit cut has ended but is not
    terminated: the value of its final observation counts, but nothing of the next episode.

    Args:
        rewards: ``(T, N)``.
        values: ``(T, N)``, V of the observations before the actions.
        next_values: ``(T, N)``, V of the observations after the actions, at the end of an episode
            of its final observation; not read if the step terminated the episode.
        terminated: bool ``(T, N)``.
        ended: bool ``(T, N)``, terminated or cut by a time limit.
        discount: gamma, between 0 and 1.
        gae_lambda: lambda, between 0 and 1.

    Returns:
        Advantages ``(T, N)``; plus ``values`` they are the targets of the value function.

    Raises:
        ValueError: if the shapes differ.

    Source:
        Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage
        Estimation", 2016.

    Example:
        >>> ones, never = torch.ones(3, 1), torch.zeros(3, 1, dtype=torch.bool)
        >>> last = torch.tensor([[False], [False], [True]])
        >>> generalized_advantages(
        ...     ones, 0 * ones, 0 * ones, last, last, discount=0.5, gae_lambda=1.0
        ... ).squeeze(1).tolist()
        [1.75, 1.5, 1.0]
    """
    for name, tensor in {
        "values": values,
        "next_values": next_values,
        "terminated": terminated,
        "ended": ended,
    }.items():
        if tensor.shape != rewards.shape:
            raise ValueError(
                f"{name} must have the shape of rewards, {tuple(rewards.shape)}, "
                f"got {tuple(tensor.shape)}"
            )
    errors = rewards + discount * torch.where(terminated, 0, next_values) - values
    carried = discount * gae_lambda * (~ended).to(errors.dtype)
    advantages = torch.empty_like(errors)
    following = torch.zeros_like(errors[:1].sum(dim=0))
    for step in reversed(range(len(errors))):
        following = errors[step] + carried[step] * following
        advantages[step] = following
    return advantages
