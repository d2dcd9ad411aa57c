"""Checkpoints from which runs go on after their stack was killed or interrupted.

They go on in a stack, since single runs give the same results up to rounding only. The runs of a
stack are saved together; those that were saved at different epochs go on in different stacks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.optim import Optimizer

from losslab.checkpoints import checkpoint_path, read_checkpoint
from losslab.components import Components, build_components
from losslab.config import schema
from losslab.config.errors import UserError
from losslab.lockstep.optimizers import RowState
from losslab.runs.config_file import read_config
from losslab.runs.record import Record, read_record
from losslab.training import resumed_checkpoint

if TYPE_CHECKING:
    from losslab.lockstep.stacked_run import StackedRun


@dataclass(frozen=True)
class SavedRun:
    """Checkpoints of a stacked run.

    Attributes:
        path: path of the last one.
        last: its content.
        best: ``state_dict`` of the module of the best one.
    """

    path: Path
    last: Mapping[str, Any]
    best: Mapping[str, Tensor]

    def restore(self, optimizer: Optimizer, scheduler: Any) -> None:
        """Restore the options of the optimizer, and the scheduler if there is one."""
        [state] = self.last["optimizer_states"]
        optimizer.load_state_dict({"state": {}, "param_groups": state["param_groups"]})
        if scheduler is not None:
            scheduler.load_state_dict(self.last["lr_schedulers"][0])


Begun = Literal["alone", "stacked"]
"""How a run was trained until its last checkpoint."""


def begun(folder: Path) -> Begun | None:
    """Return how a run was trained that can go on from its last checkpoint; ``None`` if none can.

    A run that failed begins again, unless it lacked space or memory.
    """
    try:
        if not _can_go_on(read_record(folder)):
            return None
        path = checkpoint_path(folder, "last")  # of which mmap leaves the tensors on the disk
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return "stacked" if "record" in saved else "alone"
    except Exception:  # a damaged file can raise anything
        return None


def _can_go_on(record: Record) -> bool:
    lacked = record["error"] is not None and record["error"]["kind"] in ("space", "memory")
    return record["status"] in ("running", "interrupted") or lacked


def gives_same_results(config: DictConfig, folder: Path) -> bool:
    """Return whether a config gives the results of the run in a folder, whose config is whole.

    Raises:
        FileError: if its config is damaged.
    """
    return _results(read_config(folder)) == _results(config)


def saved_run(config: DictConfig, folder: Path, like: Components) -> SavedRun | None:
    """Return the checkpoints from which a run goes on; ``None`` if it begins, or begins again.

    Args:
        config: config of the run, which must give the results of the saved one.
        folder: the run's folder.
        like: components of the run, which are not changed.
    """
    try:
        if begun(folder) != "stacked" or not gives_same_results(config, folder):
            return None
        own = build_components(config, like, starts=False)
        path = resumed_checkpoint(config, folder, own)
        if path is None:
            return None
        last, best = (read_checkpoint(folder, which, own) for which in ("last", "best"))
    except UserError:  # a damaged file
        return None
    return SavedRun(path, last, best["state_dict"])


def _results(config: Any) -> dict[str, Any]:
    """Return the options of a run that affect its results."""
    plain = OmegaConf.to_container(OmegaConf.create(config))
    options = dict(schema.flat(plain))
    kept = {key: value for key, value in options.items() if schema.meaning(key).affects_results}
    return kept | {"seed": options["seed"]}


def saved_rows(
    members: Sequence["StackedRun"], device: torch.device, group: int = 0
) -> list[RowState] | None:
    """Return the optimizer's state of the runs of a stack; ``None`` if they begin.

    Args:
        members: the runs.
        device: device of the stack.
        group: 0 for the parameters of the networks, 1 for those of the losses.
    """
    rows = [_row(member, device, group) for member in members if member.saved is not None]
    return rows or None


def _row(member: "StackedRun", device: torch.device, group: int) -> RowState:
    assert member.saved is not None
    [saved] = member.saved.last["optimizer_states"]
    names = _names(member, group)
    if not names:
        return {}
    options = saved["param_groups"][group]
    on_device = options.get("fused") or options.get("capturable")
    return {
        name: {
            key: value[None].to(device) if value.ndim else value.to(device if on_device else "cpu")
            for key, value in saved["state"].get(place, {}).items()
        }
        for name, place in zip(names, options["params"], strict=True)
    }


def _names(member: "StackedRun", group: int) -> list[str]:
    """Return the names of the parameters in a group of the run's own optimizer."""
    module = member.components.module
    part = module.loss if group else module.network
    return [name for name, value in part.named_parameters() if value.requires_grad]
