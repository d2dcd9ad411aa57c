"""Reinforcement learning: environments, algorithms and the module that runs them."""

from losslab.rl.environments import Environments
from losslab.rl.module import PolicyControl, ValueControl
from losslab.rl.policy_gradient import PolicyGradient
from losslab.rl.q_learning import QLearning

__all__ = ["Environments", "PolicyControl", "PolicyGradient", "QLearning", "ValueControl"]
