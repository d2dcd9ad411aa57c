"""Initial weights from a checkpoint instead of a draw: ``ckpt_path=FILE``.

A file that does not exist is refused without torch, which is imported to read it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from losslab.config.errors import UserError
from losslab.config.overrides import is_path
from losslab.runs.folder import RunFolder, find_runs, is_run
from losslab.runs.packing import unpack
from losslab.runs.record import read_record

if TYPE_CHECKING:
    from torch import nn


def start_from(network: "nn.Module", path: str) -> None:
    """Load the weights of a checkpoint that fit a network, and note which do not.

    Args:
        network: the network, which is changed; its other weights keep their initial values, as the
            last layer does in a network for other classes.
        path: checkpoint of a run or of Lightning, file of a ``state_dict``, or the folder of a
            finished run, for its best checkpoint.

    Raises:
        UserError: if the file is not a checkpoint, or nothing fits.
    """
    from losslab.models.weights import load_file  # noqa: PLC0415 (torch)

    try:
        load_file(network, checkpoint_file(Path(path)), "ckpt_path")
    except ValueError as error:
        raise UserError(str(error)) from error


def checkpoint_file(path: Path) -> Path:
    """Return the file, or the best checkpoint of a finished run.

    Raises:
        UserError: if it is neither.
    """
    name = f"ckpt_path={path}"
    if not is_path(str(path)):
        raise UserError(f"{name} does not exist")
    unpack(path)
    if path.is_file():
        return path
    if is_run(path):
        files = RunFolder(path)
        if read_record(path)["status"] == "done":
            return files.best
        raise UserError(
            f"{name} is a run that is not finished: resume={path} trains it on, and "
            f"ckpt_path={files.last} starts a new run from its weights"
        )
    runs = find_runs(path)
    holds = f": it holds runs, such as {runs[0]}" if runs else ""
    raise UserError(f"{name} must be a checkpoint or the folder of a run{holds}")
