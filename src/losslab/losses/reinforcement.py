"""Losses of reinforcement learning. Every quantity of a step has the shape ``(B,)``."""

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
    """What the policy gives, where the loss rewards its entropy."""

    log_probs: Tensor
    """``(B,)``, log pi(a|s) of the actions taken."""
    entropy: Tensor
    """``(B,)``, the entropy of pi(.|s), with its gradient."""


class PolicyTarget(NamedTuple):
    """What a policy is judged by."""

    advantages: Tensor
    """``(B,)``, returns or advantages of the actions taken; a constant for the gradient."""
    old_log_probs: Tensor | None = None
    """``(B,)``, log pi(a|s) of the policy that acted; the clipped surrogate needs it."""


class TransitionTarget(NamedTuple):
    """Transitions (s, a, r, s'), with the values of s' that stand for what comes after."""

    actions: Tensor
    """int64 ``(B,)``, the actions taken."""
    rewards: Tensor
    """``(B,)``."""
    terminated: Tensor
    """``(B,)``, bool or 0/1: s' ends the task. An episode cut by a time limit is not terminated:
    give the values of its final observation."""
    next_q_target: Tensor
    """``(B, A)``, the target network's values of s'; what stands in terminated rows is not read."""
    next_q_online: Tensor | None = None
    """``(B, A)``, the online network's values of s'; double Q-learning needs it."""


class PolicyGradientLoss(Loss):
    r"""Policy gradient: makes actions more likely the better they turned out.

    .. math:: \ell_i = -A_i \log \pi(a_i | s_i) - \beta H_i

    or, with ``clip`` = c, the clipped surrogate of PPO, with
    :math:`r_i = \pi(a_i|s_i) / \pi_{\mathrm{old}}(a_i|s_i)`:

    .. math:: \ell_i = -\min(r_i A_i, \operatorname{clamp}(r_i, 1-c, 1+c) A_i) - \beta H_i

    The value is no measure of progress: only its gradient means something.

    Args:
        entropy_bonus: beta, the weight of the policy's entropy H.
        normalize: advantages are brought to mean 0 and variance 1 over the batch first; where all
            are equal, or there is one only, they become 0.
        clip: c, between 0 and 1; ``None`` for the plain form.
        reduction: ``"mean"`` over the steps, ``"sum"``, or ``"none"``.

    Shape:
        prediction: log-probabilities ``(B,)``, or a :class:`PolicyPrediction`;
        target: a :class:`PolicyTarget`.

    Raises:
        ValueError: if an option is out of range, a shape is not ``(B,)``, or what the options
            need (entropy, old log-probabilities) is missing.

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
        """The loss; see the class."""
        terms = self.components(prediction, target)
        return terms["policy"] + terms["entropy"] if "entropy" in terms else terms["policy"]

    def components(  # type: ignore[override]
        self, prediction: Tensor | PolicyPrediction, target: PolicyTarget
    ) -> dict[str, Tensor]:
        """``policy``, and ``entropy`` where there is a bonus."""
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
        parts = {"policy": self.reduce(-gain)}
        if self.entropy_bonus > 0 and isinstance(prediction, PolicyPrediction):
            (entropy,) = full_precision(prediction.entropy)
            parts["entropy"] = -self.entropy_bonus * self.reduce(entropy)
        return parts

    def diagnostics(  # type: ignore[override]
        self, prediction: Tensor | PolicyPrediction, target: PolicyTarget
    ) -> dict[str, Tensor]:
        """``clipped_share`` and ``ratio``, the mean of r, where the surrogate is clipped."""
        log_probs = self._checked(prediction, target)
        if self.clip is None or target.old_log_probs is None:
            return {}
        ratio = (log_probs - target.old_log_probs).detach().exp()
        outside = (ratio - 1).abs() > self.clip
        return {"clipped_share": outside.to(ratio.dtype).mean(), "ratio": ratio.mean()}

    def _checked(self, prediction: Tensor | PolicyPrediction, target: PolicyTarget) -> Tensor:
        """The log-probabilities, float32 at least, if all that is needed is there."""
        log_probs, entropy = (
            prediction if isinstance(prediction, PolicyPrediction) else (prediction, None)
        )
        require_steps("log_probs", log_probs, log_probs)
        require_steps("advantages", target.advantages, log_probs)
        if self.entropy_bonus > 0:
            if entropy is None:
                raise ValueError(
                    "prediction must be a PolicyPrediction(log_probs, entropy) for an "
                    "entropy_bonus, got log-probabilities alone"
                )
            require_steps("entropy", entropy, log_probs)
        if self.clip is not None:
            if target.old_log_probs is None:
                raise ValueError("target must hold old_log_probs for clip, got None")
            require_steps("old_log_probs", target.old_log_probs, log_probs)
        return full_precision(log_probs)[0]


class QLearningLoss(Loss):
    r"""Q-learning: moves the value of the action taken towards reward plus discounted best value.

    .. math::
        \ell_i = \rho\bigl(Q(s_i, a_i) - y_i\bigr), \qquad
        y_i = r_i + \gamma\,(1 - \mathrm{terminated}_i) \max_a Q_{\mathrm{target}}(s'_i, a)

    with :math:`\rho` Huber's loss (delta 1) or the square. With ``double``, the online network
    chooses the action and the target network values it. Targets are constants for the gradient.
    Only ``terminated`` stops the sum: an episode cut by a time limit goes on, from its final
    observation, which the caller provides.

    Args:
        discount: gamma, between 0 and 1.
        double: double Q-learning.
        td: ``"huber"`` or ``"mse"`` (the square, without 1/2).
        reduction: ``"mean"`` over the transitions, ``"sum"``, or ``"none"``.

    Shape:
        prediction: the values Q(s, .), ``(B, A)``; target: a :class:`TransitionTarget`.

    Raises:
        ValueError: if an option is out of range, a shape does not fit, or the online values are
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
        """The loss; see the class."""
        taken, wanted = self._taken_and_wanted(prediction, target)
        measure = F.huber_loss if self.td == "huber" else F.mse_loss
        return self.reduce(measure(taken, wanted, reduction="none"))

    def diagnostics(  # type: ignore[override]
        self, prediction: Tensor, target: TransitionTarget
    ) -> dict[str, Tensor]:
        """``td_error``, the mean absolute one, and ``q``, the mean value of the actions taken."""
        taken, wanted = self._taken_and_wanted(prediction.detach(), target)
        require_elements(taken)
        return {"td_error": (taken - wanted).abs().mean(), "q": taken.mean()}

    def _taken_and_wanted(
        self, prediction: Tensor, target: TransitionTarget
    ) -> tuple[Tensor, Tensor]:
        """Q(s, a) of the actions taken, and what it should be."""
        self._check(prediction, target)
        values, rewards, next_values = full_precision(
            prediction, target.rewards, target.next_q_target
        )
        wanted = td_target(
            rewards,
            target.terminated.bool(),
            next_values,
            target.next_q_online if self.double_q else None,
            self.discount,
        )
        taken = values.gather(1, target.actions[:, None]).squeeze(1)
        return taken, wanted.to(taken.dtype)

    def _check(self, prediction: Tensor, target: TransitionTarget) -> None:
        if prediction.dim() != 2:
            raise ValueError(
                "prediction must hold one value an action, (B, A), got shape "
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
    """Raise ``ValueError`` unless there is one value a step, as in ``like``."""
    if values.dim() != 1 or values.shape != like.shape:
        expected = f"({like.shape[0]},)" if like.dim() == 1 else "(B,)"
        raise ValueError(
            f"{name} must hold one value a step, shape {expected}, got {tuple(values.shape)}"
        )
