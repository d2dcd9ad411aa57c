"""Lightning's side of a run: the writer's driver, pictures, progress."""

from losslab.callbacks.figures import Figures
from losslab.callbacks.progress import Progress
from losslab.callbacks.run_writer import RunWriterCallback

__all__ = ["Figures", "Progress", "RunWriterCallback"]
