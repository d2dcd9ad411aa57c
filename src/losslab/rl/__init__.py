"""Reinforcement learning: environments, algorithms, and the modules that train with them."""

from losslab.rl.control import PolicyControl, ValueControl
from losslab.rl.environments import Environments
from losslab.rl.module import PolicyGradientModule, QLearningModule
from losslab.rl.policy_gradient import PolicyGradient
from losslab.rl.q_learning import QLearning

__all__ = [
    "Environments",
    "PolicyControl",
    "PolicyGradient",
    "PolicyGradientModule",
    "QLearning",
    "QLearningModule",
    "ValueControl",
]
