"""Tasks of reinforcement learning: what the outputs of the network mean."""

from typing import TYPE_CHECKING

from torch import Tensor

from losslab.config.errors import UserError
from losslab.config.specs import TASKS
from losslab.losses.base import TargetFormat
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from losslab.rl.environments import Environments


class Control(Task):
    """Task without targets: the module creates its training data by acting in environments."""

    def __init__(self, data: "Environments") -> None:
        super().__init__(data)
        self.environments = data

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Refuse a loss that does not declare its target format, since no batch can be tried.

        Raises:
            UserError: always.
        """
        raise UserError(
            "reinforcement learning has no targets to try a loss on: the loss must declare "
            f"{self.provides[0].value} in its attribute accepts"
        )


class PolicyControl(Control):
    """Task whose network outputs one logit per action, trained by advantages."""

    spec = TASKS["PolicyControl"]
    provides = (TargetFormat.ADVANTAGES,)


class ValueControl(Control):
    """Task whose network outputs one value per action, trained by transitions."""

    spec = TASKS["ValueControl"]
    provides = (TargetFormat.ACTION_VALUES,)
