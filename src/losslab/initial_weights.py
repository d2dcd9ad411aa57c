"""Initial weights from a checkpoint instead of a draw: ``ckpt_path=FILE``."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from losslab.config.errors import UserError, unreadable
from losslab.config.overrides import is_path
from losslab.runs.folder import RunFolder, find_runs, is_run
from losslab.runs.record import read_record

State = Mapping[str, Tensor]


def load_weights(network: nn.Module, path: str) -> str | None:
    """Load the weights of a checkpoint into a network of the same architecture.

    Tensors that the file lacks, or has in another shape, keep their initial values, as the last
    layer does in a network for other classes.

    Args:
        network: the network, which is changed.
        path: checkpoint of a run or of Lightning, file of a ``state_dict``, or the folder of a
            finished run, for its best checkpoint.

    Returns:
        What did not fit, in one line; ``None`` if all did.

    Raises:
        UserError: if the file is not a checkpoint, or nothing fits.
    """
    name, own = f"ckpt_path={path}", network.state_dict()
    saved = _of_network(_read(_file(Path(path), name), name), own)
    fitting = {key: value for key, value in saved.items() if _fits(key, value, own)}
    if not fitting:
        raise UserError(
            f"{name}: none of its tensors fits the network: it has {_listed(_shapes(saved))}, and "
            f"the network {_listed(_shapes(own))}"
        )
    network.load_state_dict(fitting, strict=False)
    if len(fitting) == len(own) == len(saved):
        return None
    other = [
        f"{key} {tuple(value.shape)} for {tuple(own[key].shape)}"
        for key, value in saved.items()
        if key in own and key not in fitting
    ]
    misfits = {
        "of another shape": other,
        "not in the file": [key for key in own if key not in saved],
        "not in the network": [key for key in saved if key not in own],
    }
    lists = "; ".join(f"{what}: {_listed(keys)}" for what, keys in misfits.items() if keys)
    return f"{name}: {len(fitting)} of {len(own)} tensors loaded; {lists}"


def _file(path: Path, name: str) -> Path:
    """Return the file, or the best checkpoint of a finished run."""
    if not is_path(str(path)):
        raise UserError(f"{name} does not exist")
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


def _read(file: Path, name: str) -> State:
    """Return the tensors of a checkpoint by name; nothing in it is run."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about files of other programs
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # another file can raise anything
        raise UserError(
            f"{name} is not a checkpoint that can be read without running code, such as that of "
            f"torch.save(network.state_dict(), FILE): {unreadable(error)}"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{name} has no state_dict")
    return tensors


def _of_network(saved: State, own: State) -> State:
    """Return the tensors of the network: those below the prefix with which most names are ours.

    It is ``network.`` in our checkpoints, and in others ``net.``, ``module.`` ...
    """
    parts = (key.split(".") for key in saved)
    prefixes = {"".join(f"{part}." for part in each[:end]) for each in parts for end in range(8)}
    best = max(
        sorted(prefixes, key=len), key=lambda prefix: sum(prefix + key in saved for key in own)
    )
    return {key.removeprefix(best): value for key, value in saved.items() if key.startswith(best)}


def _fits(key: str, value: Tensor, own: State) -> bool:
    return key in own and own[key].shape == value.shape


def _shapes(state: State) -> list[str]:
    return [f"{key} {tuple(value.shape)}" for key, value in state.items()]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
