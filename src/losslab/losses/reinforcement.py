"""Reinforcement learning losses. Every per-step quantity has the shape ``(B,)``."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    full_precision,
    require_at_least,
    require_between,
    require_choice,
    require_elements,
)
from losslab.losses.functional.reinforcement import clipped_surrogate, standardized, td_target


class PolicyPrediction(NamedTuple):
    """Outputs of a policy for a loss with an entropy bonus."""

    log_probs: Tensor
    """``(B,)``, log pi(a|s) of the actions taken."""
    entropy: Tensor
    """``(B,)``, the entropy of pi(.|s), differentiable."""


class PolicyTarget(NamedTuple):
    """Target of the policy gradient loss."""

    advantages: Tensor
    """``(B,)``, returns or advantages of the actions taken; not differentiated."""
    old_log_probs: Tensor | None = None
    """``(B,)``, log pi(a|s) of the policy that acted; required for the clipped surrogate."""


class TransitionTarget(NamedTuple):
    """Transitions (s, a, r, s') with the values of s' to bootstrap from."""

    actions: Tensor
    """int64 ``(B,)``, the actions taken."""
    rewards: Tensor
    """``(B,)``."""
    terminated: Tensor
    """``(B,)``, bool or 0/1: whether s' is terminal. An episode truncated by a time limit is not
    terminated: pass the values of its final observation."""
    next_q_target: Tensor
    """``(B, A)``, the target network's values of s'; ignored for terminated transitions."""
    next_q_online: Tensor | None = None
    """``(B, A)``, the online network's values of s'; required for double Q-learning."""


class PolicyGradientLoss(Loss):
    r"""Policy gradient loss: increases the probability of actions with a high advantage.

    .. math:: \ell_i = -A_i \log \pi(a_i | s_i) - \beta H_i

    or, for ``clip`` = c, the clipped surrogate of PPO, with
    :math:`r_i = \pi(a_i|s_i) / \pi_{\mathrm{old}}(a_i|s_i)`:

    .. math:: \ell_i = -\min(r_i A_i, \operatorname{clamp}(r_i, 1-c, 1+c) A_i) - \beta H_i

    The value does not measure progress; only its gradient is meaningful.

    Args:
        entropy_bonus: beta, the weight of the policy's entropy H.
        normalize: whether to standardize the advantages over the batch first; if all are equal, or
            there is only one, they become 0.
        clip: c, between 0 and 1; ``None`` for the unclipped loss.
        reduction: ``"mean"`` over the steps, ``"sum"``, or ``"none"``.

    Shape:
        prediction: log-probabilities ``(B,)``, or a :class:`PolicyPrediction`;
        target: a :class:`PolicyTarget`.

    Raises:
        ValueError: if an option is out of range, a shape is not ``(B,)``, or the entropy or the old
            log-probabilities are missing although an option requires them.

    Source:
        Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist
        Reinforcement Learning", 1992; Schulman et al., "Proximal Policy Optimization
        Algorithms", 2017.

    Example:
        >>> log_probs = torch.tensor([0.5, 0.25]).log()
        >>> target = PolicyTarget(torch.tensor([1.0, 0.0]), old_log_probs=log_probs)
        >>> PolicyGradientLoss(normalize=False)(log_probs, target).item()  # log(2) / 2
        0.3465735912322998
        >>> PolicyGradientLoss(normalize=False, clip=0.2)(log_probs, target).item()  # ratio 1
        -0.5
    """

    accepts = (TargetFormat.ADVANTAGES,)

    def __init__(
        self,
        entropy_bonus: float = 0.0,
        normalize: bool = True,
        clip: float | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_at_least("entropy_bonus", entropy_bonus, 0)
        if clip is not None and not 0 < clip < 1:
            raise ValueError(f"clip must be between 0 and 1, or None, got {clip!r}")
        self.entropy_bonus = entropy_bonus
        self.normalize = normalize
        self.clip = clip

    def forward(self, prediction: Tensor | PolicyPrediction, target: PolicyTarget) -> Tensor:
        """Compute the loss of a batch."""
        components = self.components(prediction, target)
        policy = components["policy"]
        return policy + components["entropy"] if "entropy" in components else policy

    def components(  # type: ignore[override]
        self, prediction: Tensor | PolicyPrediction, target: PolicyTarget
    ) -> dict[str, Tensor]:
        """Compute ``policy`` and, if there is a bonus, ``entropy``."""
        log_probs = self._checked(prediction, target)
        advantages = target.advantages.detach()
        if self.normalize:
            advantages = standardized(advantages)
        advantages = advantages.to(log_probs.dtype)
        if self.clip is None or target.old_log_probs is None:
            gain = log_probs * advantages
        else:
            log_ratio = log_probs - target.old_log_probs.detach()
            gain = clipped_surrogate(log_ratio, advantages, self.clip)
        components = {"policy": self.reduce(-gain)}
        if self.entropy_bonus > 0 and isinstance(prediction, PolicyPrediction):
            (entropy,) = full_precision(prediction.entropy)
            components["entropy"] = -self.entropy_bonus * self.reduce(entropy)
        return components

    def diagnostics(  # type: ignore[override]
        self, prediction: Tensor | PolicyPrediction, target: PolicyTarget
    ) -> dict[str, Tensor]:
        """Compute ``clipped_share`` and ``ratio``, the mean of r, if ``clip`` is set."""
        log_probs = self._checked(prediction, target)
        if self.clip is None or target.old_log_probs is None:
            return {}
        ratio = (log_probs - target.old_log_probs).detach().exp()
        outside = (ratio - 1).abs() > self.clip
        return {"clipped_share": outside.to(ratio.dtype).mean(), "ratio": ratio.mean()}

    def _checked(self, prediction: Tensor | PolicyPrediction, target: PolicyTarget) -> Tensor:
        """Check the arguments and return the log-probabilities, float32 at least."""
        log_probs, entropy = (
            prediction if isinstance(prediction, PolicyPrediction) else (prediction, None)
        )
        require_steps("log_probs", log_probs, log_probs)
        require_steps("advantages", target.advantages, log_probs)
        if self.entropy_bonus > 0:
            if entropy is None:
                raise ValueError(
                    "prediction must be a PolicyPrediction(log_probs, entropy) for an "
                    "entropy_bonus, got log-probabilities only"
                )
            require_steps("entropy", entropy, log_probs)
        if self.clip is not None:
            if target.old_log_probs is None:
                raise ValueError("target must hold old_log_probs for clip, got None")
            require_steps("old_log_probs", target.old_log_probs, log_probs)
        return full_precision(log_probs)[0]


class QLearningLoss(Loss):
    r"""Q-learning loss: error between Q(s, a) and the reward plus the discounted best next value.

    .. math::
        \ell_i = \rho\bigl(Q(s_i, a_i) - y_i\bigr), \qquad
        y_i = r_i + \gamma\,(1 - \mathrm{terminated}_i) \max_a Q_{\mathrm{target}}(s'_i, a)

    with :math:`\rho` the Huber loss (delta 1) or the square. With ``double``, the online network
    selects the action and the target network evaluates it. No gradient flows through y. Only
    terminated transitions are not bootstrapped; for an episode truncated by a time limit, the
    caller provides the values of its final observation.

    Args:
        discount: gamma, between 0 and 1.
        double: whether to use double Q-learning.
        td: ``"huber"`` or ``"mse"`` (the square, without 1/2).
        reduction: ``"mean"`` over the transitions, ``"sum"``, or ``"none"``.

    Shape:
        prediction: the values Q(s, .), ``(B, A)``; target: a :class:`TransitionTarget`.

    Raises:
        ValueError: if an option is out of range, a shape does not match, or the online values are
            missing for ``double``.

    Source:
        Mnih et al., "Human-level control through deep reinforcement learning", 2015; van Hasselt,
        Guez and Silver, "Deep Reinforcement Learning with Double Q-learning", 2016.

    Example:
        >>> values, next_values = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 4.0]])
        >>> step = torch.tensor([0]), torch.tensor([1.0])
        >>> loss = QLearningLoss(discount=0.5, td="mse")
        >>> loss(values, TransitionTarget(*step, torch.tensor([True]), next_values)).item()
        0.0
        >>> loss(values, TransitionTarget(*step, torch.tensor([False]), next_values)).item()
        4.0
    """

    accepts = (TargetFormat.ACTION_VALUES,)
    minimum = 0.0

    def __init__(
        self,
        discount: float = 0.99,
        double: bool = False,
        td: Literal["huber", "mse"] = "huber",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_between("discount", discount, 0, 1)
        require_choice("td", td, ("huber", "mse"))
        self.discount = discount
        self.double_q = double  # `double` is a method of every module
        self.td = td

    def forward(self, prediction: Tensor, target: TransitionTarget) -> Tensor:
        """Compute the loss of a batch."""
        taken, expected = self._taken_and_expected(prediction, target)
        error = F.huber_loss if self.td == "huber" else F.mse_loss
        return self.reduce(error(taken, expected, reduction="none"))

    def diagnostics(  # type: ignore[override]
        self, prediction: Tensor, target: TransitionTarget
    ) -> dict[str, Tensor]:
        """Compute ``td_error``, the mean absolute error, and ``q``, the mean Q-value."""
        taken, expected = self._taken_and_expected(prediction.detach(), target)
        require_elements(taken)
        return {"td_error": (taken - expected).abs().mean(), "q": taken.mean()}

    def _taken_and_expected(
        self, prediction: Tensor, target: TransitionTarget
    ) -> tuple[Tensor, Tensor]:
        """Return Q(s, a) of the actions taken, and its target y."""
        self._check(prediction, target)
        values, rewards, next_values = full_precision(
            prediction, target.rewards, target.next_q_target
        )
        expected = td_target(
            rewards,
            target.terminated.bool(),
            next_values,
            target.next_q_online if self.double_q else None,
            self.discount,
        )
        taken = values.gather(1, target.actions[:, None]).squeeze(1)
        return taken, expected.to(taken.dtype)

    def _check(self, prediction: Tensor, target: TransitionTarget) -> None:
        if prediction.dim() != 2:
            raise ValueError(
                "prediction must hold one value per action, (B, A), got shape "
                f"{tuple(prediction.shape)}"
            )
        if target.actions.dtype != torch.int64:
            raise ValueError(f"actions must be int64, got {target.actions.dtype}")
        for name in ("actions", "rewards", "terminated"):
            require_steps(name, getattr(target, name), prediction[:, 0])
        for name in ("next_q_target", "next_q_online"):
            values = getattr(target, name)
            if values is not None and values.shape != prediction.shape:
                raise ValueError(
                    f"{name} must have the shape of prediction, {tuple(prediction.shape)}, got "
                    f"{tuple(values.shape)}"
                )
        if self.double_q and target.next_q_online is None:
            raise ValueError("target must hold next_q_online for double=True, got None")


def require_steps(name: str, values: Tensor, like: Tensor) -> None:
    """Raise ``ValueError`` unless there is one value per step, in the shape of ``like``."""
    if values.dim() != 1 or values.shape != like.shape:
        expected = f"({like.shape[0]},)" if like.dim() == 1 else "(B,)"
        raise ValueError(
            f"{name} must hold one value per step, shape {expected}, got {tuple(values.shape)}"
        )
