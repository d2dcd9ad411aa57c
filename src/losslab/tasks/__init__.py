"""Tasks: the targets that a loss gets, and the metrics and figures of predictions."""

from losslab.tasks.base import Task
from losslab.tasks.classification import ClassificationTask, MultiLabelTask
from losslab.tasks.detection import DetectionTask
from losslab.tasks.generation import GenerationTask
from losslab.tasks.image_text import ImageTextTask
from losslab.tasks.localization import LocalizationTask
from losslab.tasks.metric_learning import MetricLearningTask
from losslab.tasks.pointcloud import PointCloudTask
from losslab.tasks.ranking import RankingTask
from losslab.tasks.recommendation import RecommendationTask
from losslab.tasks.reconstruction import ReconstructionTask
from losslab.tasks.regression import RegressionTask
from losslab.tasks.segmentation import SegmentationTask
from losslab.tasks.sequences import SequenceTask

__all__ = [
    "ClassificationTask",
    "DetectionTask",
    "GenerationTask",
    "ImageTextTask",
    "LocalizationTask",
    "MetricLearningTask",
    "MultiLabelTask",
    "PointCloudTask",
    "RankingTask",
    "RecommendationTask",
    "ReconstructionTask",
    "RegressionTask",
    "SegmentationTask",
    "SequenceTask",
    "Task",
]
