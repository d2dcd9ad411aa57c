"""Checkpoints from which runs go on after their stack was killed or interrupted.

They go on in a stack, since single runs give the same results up to rounding only. The runs of a
stack are saved together; those that were saved at different epochs go on in different stacks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from losslab.runs.record import read_record
from losslab.training import resumed_checkpoint

if TYPE_CHECKING:
    from losslab.lockstep.stacked_run import StackedRun


@dataclass(frozen=True)
class SavedRun:
    """Checkpoints of a stacked run.

    Attributes:
        path: path of the last one.
        last: its content.
        best: weights and buffers of the network of the best one.
    """

    path: Path
    last: Mapping[str, Any]
    best: Mapping[str, Tensor]

    @property
    def weights(self) -> dict[str, Tensor]:
        """Return the last weights and buffers of the network."""
        return _of_network(self.last)

    def restore(self, optimizer: Optimizer, scheduler: Any) -> None:
        """Restore the options of the optimizer, and the scheduler if there is one."""
        [state] = self.last["optimizer_states"]
        optimizer.load_state_dict({"state": {}, "param_groups": state["param_groups"]})
        if scheduler is not None:
            scheduler.load_state_dict(self.last["lr_schedulers"][0])


def was_stacked(folder: Path) -> bool:
    """Return whether a stack has saved a run and was killed or interrupted."""
    try:
        if read_record(folder)["status"] not in ("running", "interrupted"):
            return False
        saved = torch.load(checkpoint_path(folder, "last"), map_location="cpu", weights_only=True)
        return "record" in saved
    except Exception:  # a damaged file can raise anything
        return False


def saved_run(config: DictConfig, folder: Path, like: Components) -> SavedRun | None:
    """Return the checkpoints from which a run goes on; ``None`` if it begins, or begins again.

    Args:
        config: config of the run, which must give the results of the saved one.
        folder: the run's folder.
        like: components of the run, which are not changed.
    """
    try:
        if not was_stacked(folder) or _results(read_config(folder)) != _results(config):
            return None
        own = build_components(config, like)
        path = resumed_checkpoint(config, folder, own)
        if path is None:
            return None
        last, best = (read_checkpoint(folder, which, own) for which in ("last", "best"))
    except UserError:  # a damaged file
        return None
    return SavedRun(path, last, _of_network(best))


def _results(config: Any) -> dict[str, Any]:
    """Return the options of a run that affect its results."""
    plain = OmegaConf.to_container(OmegaConf.create(config))
    options = dict(schema.flat(plain))
    kept = {key: value for key, value in options.items() if schema.meaning(key).affects_results}
    return kept | {"seed": options["seed"]}


def _of_network(saved: Mapping[str, Any]) -> dict[str, Tensor]:
    prefix = "network."
    return {
        name.removeprefix(prefix): value
        for name, value in saved["state_dict"].items()
        if name.startswith(prefix)
    }


def saved_rows(members: Sequence["StackedRun"], device: torch.device) -> list[RowState] | None:
    """Return the optimizer's state of the runs of a stack; ``None`` if they begin."""
    return [_row(member, device) for member in members if member.saved is not None] or None


def _row(member: "StackedRun", device: torch.device) -> RowState:
    assert member.saved is not None
    [saved] = member.saved.last["optimizer_states"]
    [group] = saved["param_groups"]
    names = [name for name, _ in member.components.network.named_parameters()]
    on_device = group.get("fused") or group.get("capturable")
    return {
        names[place]: {
            key: value[None].to(device) if value.ndim else value.to(device if on_device else "cpu")
            for key, value in state.items()
        }
        for place, state in saved["state"].items()
    }
