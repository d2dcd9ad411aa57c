"""Lightning callbacks of a run: run writer, figures and progress."""

from losslab.callbacks.figures import Figures
from losslab.callbacks.progress import Progress
from losslab.callbacks.run_writer import RunWriterCallback

__all__ = ["Figures", "Progress", "RunWriterCallback"]
