"""Where a prediction meets its loss."""

from losslab.tasks.base import Task
from losslab.tasks.classification import Classification, MultiLabel
from losslab.tasks.regression import Regression
from losslab.tasks.steps import Diverged
from losslab.tasks.supervised import SupervisedModule

__all__ = [
    "Classification",
    "Diverged",
    "MultiLabel",
    "Regression",
    "SupervisedModule",
    "Task",
]
