"""Read the checkpoints of a run, and check that they are whole and fit its components."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer

from losslab.components import Components
from losslab.config.errors import UserError, described
from losslab.modules.base import forget_copies
from losslab.runs.files import FileError

Checkpoint = dict[str, Any]


def read_checkpoint(folder: Path, which: str, components: Components) -> Checkpoint:
    """Read a checkpoint of a run, whose weights must fit the network.

    Args:
        folder: the run's folder.
        which: ``best`` or ``last``.
        components: components of the run.

    Raises:
        UserError: if it does not exist, is damaged, or has another architecture.
    """
    path = checkpoint_path(folder, which)
    if not path.exists():
        raise UserError(f"{path} does not exist: the run ended before its first validation")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise FileError(path, f"is not a whole checkpoint: {described(error)[:200]}") from error
    if not isinstance(saved, dict) or not isinstance(weights := saved.get("state_dict"), dict):
        raise FileError(path, "is not a whole checkpoint: it has no state_dict")
    forget_copies(saved)
    own = components.module.state_dict()
    for name in sorted(weights.keys() | own.keys(), key=str):
        there, here = _shape(weights, name), _shape(own, name)
        if there != here:
            raise UserError(
                f"{path} has another architecture than this network: {name} is {there} in the "
                f"checkpoint, but {here} in the network"
            )
    return saved


def checkpoint_path(folder: Path, which: str) -> Path:
    """Return the path of a checkpoint, ``best`` or ``last``."""
    return folder / "checkpoints" / f"{which}.ckpt"


def _shape(state: Mapping[str, Any], name: str) -> Any:
    if name not in state:
        return "missing"
    value = state[name]
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__


def require_resumable(
    path: Path, saved: Checkpoint, components: Components, trainer: pl.Trainer
) -> None:
    """Check that a checkpoint has what a resumed run needs, since Lightning skips what is missing.

    Args:
        path: path of the checkpoint, for the error.
        saved: its content.
        components: components of the run, whose weights are overwritten.
        trainer: Trainer of the run, which has begun nothing.

    Raises:
        FileError: if the state of a loop, an optimizer or a scheduler is missing or does not fit.
    """
    loops = {"fit_loop": trainer.fit_loop.state_dict()}
    expected: dict[str, Any] = {"epoch": 0, "global_step": 0, "loops": loops}
    expected |= {name: {} for name in getattr(components.module, "saved_entries", ())}
    if "record" in saved:  # of a run that was trained in a stack
        epoch = {"epoch": 0, "metrics": {}}
        expected["record"] = {"epochs": 0, "steps": 0, "best": epoch, "final": epoch}
    wrong = next(_unlike(expected, saved, ""), None) or _wrong_optimizer(components.module, saved)
    if wrong:
        raise FileError(path, f"is not a whole checkpoint: {wrong} is missing or does not fit")


def _unlike(expected: Any, saved: Any, name: str) -> Iterator[str]:
    """Yield the names of entries that are missing, or have another type."""
    if not isinstance(expected, Mapping):
        if type(expected) is not type(saved) or (isinstance(saved, int) and saved < 0):
            yield name
    elif not isinstance(saved, Mapping):
        yield name
    else:
        for key, value in expected.items():
            place = f"{name}.{key}" if name else str(key)
            if key not in saved:
                yield place
            else:
                yield from _unlike(value, saved[key], place)


# --- optimizers and schedulers --------------------------------------------------------------------


def _wrong_optimizer(module: Any, saved: Checkpoint) -> str | None:
    """Return what of the state of optimizers and schedulers does not fit those of a module."""
    made = module.configure_optimizers()
    scheduled = isinstance(made, Mapping) and "lr_scheduler" in made
    optimizers = made["optimizer"] if isinstance(made, Mapping) else made
    optimizers = optimizers if isinstance(optimizers, list | tuple) else [optimizers]
    if not all(isinstance(each, Optimizer) for each in optimizers):
        return None  # a module of your own may return them in other ways
    states, schedulers = saved.get("optimizer_states"), saved.get("lr_schedulers")
    if not isinstance(schedulers, list) or len(schedulers) != int(scheduled):
        return "lr_schedulers"
    if any(next(_unlike({"last_epoch": 0}, each, ""), None) for each in schedulers):
        return "lr_schedulers"
    if not isinstance(states, list) or len(states) != len(optimizers):
        return "optimizer_states"
    fit = (
        _fits(optimizer, state, saved["global_step"])
        for optimizer, state in zip(optimizers, states, strict=True)
    )
    return None if all(fit) else "optimizer_states"


def _fits(optimizer: Optimizer, saved: Any, steps: int) -> bool:
    """Return whether a saved state has the parameters of an optimizer, and tensors of its shapes.

    Parameters that never got a gradient have no state.
    """
    whole = next(_unlike({"state": {}}, saved, ""), None) is None
    if not whole or _sizes(optimizer.state_dict()) != _sizes(saved):
        return False
    needed = _after_a_step(optimizer)
    if steps and needed and not saved["state"]:
        return False
    return all(
        place in needed and _shapes(state) == _shapes(needed[place])
        for place, state in saved["state"].items()
        if needed
    )


def _sizes(state: Mapping[str, Any]) -> list[int] | None:
    """Return the number of parameters of each group; ``None`` if the groups are damaged."""
    try:
        groups = state["param_groups"]
        return [len(group["params"]) for group in groups if group["lr"] is not None]
    except (KeyError, TypeError):
        return None


def _after_a_step(optimizer: Optimizer) -> dict[Any, Any]:
    """Return the state that an optimizer has after a step; empty if it cannot step like this."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    with suppress(Exception):  # your own optimizer may need more
        optimizer.step()
    for parameter in parameters:
        parameter.grad = None
    return dict(optimizer.state_dict()["state"])


def _shapes(state: Any) -> Any:
    if not isinstance(state, Mapping):
        return None
    return {name: getattr(value, "shape", None) for name, value in state.items()}
