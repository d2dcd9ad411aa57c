"""LightningModules, which train a network with a loss on a task."""

from losslab.modules.adversarial import AdversarialModule
from losslab.modules.base import Module
from losslab.modules.step_values import Diverged
from losslab.modules.supervised import SupervisedModule

__all__ = ["AdversarialModule", "Diverged", "Module", "SupervisedModule"]
