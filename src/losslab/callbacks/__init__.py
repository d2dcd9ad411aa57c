"""Lightning's side of a run: the keeper's driver, pictures, progress."""

from losslab.callbacks.figures import Figures
from losslab.callbacks.progress import Progress
from losslab.callbacks.run_writer import RunKeeping

__all__ = ["Figures", "Progress", "RunKeeping"]
