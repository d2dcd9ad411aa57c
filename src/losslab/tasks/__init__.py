"""Where a prediction meets its loss."""

from losslab.tasks.adversarial import AdversarialModule
from losslab.tasks.base import Task
from losslab.tasks.classification import Classification, MultiLabel
from losslab.tasks.generation import Generation
from losslab.tasks.metric_learning import MetricLearning
from losslab.tasks.pointcloud import PointClouds
from losslab.tasks.policy_gradient import PolicyGradient
from losslab.tasks.q_learning import QLearning
from losslab.tasks.ranking import Ranking
from losslab.tasks.reconstruction import Reconstruction
from losslab.tasks.regression import Regression
from losslab.tasks.reinforcement import PolicyControl, ValueControl
from losslab.tasks.segmentation import Segmentation
from losslab.tasks.sequence import Sequences
from losslab.tasks.steps import Diverged
from losslab.tasks.supervised import SupervisedModule

__all__ = [
    "AdversarialModule",
    "Classification",
    "Diverged",
    "Generation",
    "MetricLearning",
    "MultiLabel",
    "PointClouds",
    "PolicyControl",
    "PolicyGradient",
    "QLearning",
    "Ranking",
    "Reconstruction",
    "Regression",
    "Segmentation",
    "Sequences",
    "SupervisedModule",
    "Task",
    "ValueControl",
]
