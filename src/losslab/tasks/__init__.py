"""Tasks: the targets that a loss gets, and the metrics and figures of predictions."""

from losslab.tasks.base import Task
from losslab.tasks.classification import Classification, MultiLabel
from losslab.tasks.generation import Generation
from losslab.tasks.metric_learning import MetricLearning
from losslab.tasks.pointcloud import PointClouds
from losslab.tasks.ranking import Ranking
from losslab.tasks.reconstruction import Reconstruction
from losslab.tasks.regression import Regression
from losslab.tasks.segmentation import Segmentation
from losslab.tasks.sequences import Sequences

__all__ = [
    "Classification",
    "Generation",
    "MetricLearning",
    "MultiLabel",
    "PointClouds",
    "Ranking",
    "Reconstruction",
    "Regression",
    "Segmentation",
    "Sequences",
    "Task",
]
