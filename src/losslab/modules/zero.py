"""Gradients and states of the optimizer that are divided between processes (ZeRO, by DeepSpeed).

DeepSpeed's engine wraps the module and its optimizer. It lays the parameters of each group of the
optimizer end to end in one flat tensor. Stage 2 averages the gradients over the ranks, as
DistributedDataParallel does, but leaves each rank the gradients and the optimizer's states of one
part of the flat tensor. The rank updates this part, and then gathers those of the others, so that
weights are whole in all that comes between two steps.

Lightning's own strategy runs on CUDA only, and writes a checkpoint as a folder that needs DeepSpeed
to be read, with as many ranks. Here the optimizer's states are gathered into the checkpoint of any
other run.
"""

import logging
import math
import os
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from losslab.modules.step_values import Diverged

ZERO = "zero_2"
"""Name of the strategy."""
LARGEST_BUCKET = 200_000_000
"""Numbers whose gradients are averaged in one message, at most."""


class ZeroStrategy(DDPStrategy):
    """Strategy of Lightning that divides gradients and the optimizer's states with DeepSpeed."""

    def import_library(self) -> None:
        """Import DeepSpeed, before ranks are connected.

        Otherwise its functions, whose defaults are a group that is there, would keep connections.
        """
        _import_deepspeed(self.root_device.type)

    def setup_distributed(self) -> None:
        """Connect the ranks, for DeepSpeed too."""
        self.import_library()
        super().setup_distributed()
        os.environ.setdefault("LOCAL_RANK", str(self.local_rank))  # which DeepSpeed reads
        import deepspeed  # noqa: PLC0415 (seconds, and no dependency)

        deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)

    def configure_ddp(self) -> None:
        """Do nothing: the module is wrapped together with its optimizer."""

    def setup_optimizers(self, trainer: Any) -> None:
        """Wrap the module and divide its optimizer."""
        super().setup_optimizers(trainer)
        [optimizer] = self.optimizers
        assert self.lightning_module is not None
        divided = DividedOptimizer(
            self.lightning_module,
            optimizer,
            clip_norm=trainer.gradient_clip_val or 0.0,
            autocast=str(trainer.precision).startswith("bf16"),
            device_index=self.root_device.index,
        )
        module: Any = divided.engine
        self.model, self.optimizers = module, [divided]  # type: ignore[list-item]

    def optimizer_step(
        self, optimizer: Any, closure: Callable[[], Any], model: Any = None, **kwargs: Any
    ) -> Any:
        """Take a step.

        Raises:
            Diverged: if the norm of the gradients, which are to be clipped, is not finite.
        """
        output = super().optimizer_step(optimizer, closure, model, **kwargs)
        if not optimizer.stepped:
            module: Any = self.lightning_module
            raise Diverged(module.name, math.nan, int(module.trainer.global_step) + 1)
        return output

    def teardown(self) -> None:
        """Remove what DeepSpeed has added to the module."""
        for optimizer in self.optimizers:
            if isinstance(optimizer, DividedOptimizer):
                optimizer.release()
        self.model, self.optimizers = self.lightning_module, []
        super().teardown()


StrategyRegistry.register(ZERO, ZeroStrategy)


def _import_deepspeed(device_type: str) -> None:
    """Import DeepSpeed for a type of device."""
    os.environ["DS_ACCELERATOR"] = device_type  # which is read at the import
    import deepspeed  # noqa: PLC0415 (seconds, and no dependency)
    from deepspeed.accelerator import set_accelerator  # noqa: PLC0415

    deepspeed.utils.logger.setLevel(logging.ERROR)
    # torch advises DeepSpeed to call another function
    warnings.filterwarnings("ignore", "`torch.distributed.all_gather_into_tensor`", FutureWarning)
    if device_type == "cpu":
        set_accelerator(_cpu())


def _cpu() -> Any:
    """Return DeepSpeed's CPU, without kernels that it would compile when the ranks connect."""
    from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator  # noqa: PLC0415

    class Cpu(CPU_Accelerator):  # type: ignore[misc]
        def create_op_builder(self, op_name: str) -> None:
            return None

    return Cpu()


class DividedOptimizer:
    """Optimizer of which each rank has a part, with the state of a whole one.

    Args:
        module: LightningModule that is trained.
        optimizer: optimizer of its whole parameters, whose rule is the same for each number.
        clip_norm: norm to which gradients are clipped; 0 for none.
        autocast: whether the module computes in bfloat16 where that is safe.
        device_index: index of the device, ``None`` for the CPU.

    Attributes:
        engine: DeepSpeed's engine, a module that wraps the LightningModule.
        stepped: whether the last step was taken.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        *,
        clip_norm: float,
        autocast: bool,
        device_index: int | None,
    ) -> None:
        import deepspeed  # noqa: PLC0415

        self._parameters = [list(group["params"]) for group in optimizer.param_groups]
        self._own = optimizer
        largest = sum(each.numel() for group in self._parameters for each in group)
        options = {
            "train_micro_batch_size_per_gpu": 1,  # of its messages only
            "gradient_clipping": clip_norm,
            "zero_allow_untested_optimizer": True,
            "zero_optimization": {
                "stage": 2,
                "reduce_bucket_size": min(largest, LARGEST_BUCKET),
                # without it, steps with infinite gradients are taken as by any other optimizer
                "compute_grad_norm": clip_norm > 0,
            },
            "torch_autocast": {
                "enabled": autocast,
                "dtype": "bfloat16",
                "lower_precision_safe_modules": [],  # gradients are averaged in float32
            },
        }
        device = {} if device_index is None else {"device_rank": device_index}
        self.engine, *_ = deepspeed.initialize(
            args=Namespace(**device), model=module, optimizer=optimizer, config=options
        )
        self.stepped = True

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of the optimizer, each with this rank's part of a flat tensor."""
        return self._own.param_groups

    @property
    def state(self) -> Mapping[Any, Any]:
        """States of this rank's parts."""
        return self._own.state

    @property
    def defaults(self) -> dict[str, Any]:
        """Default options of the groups."""
        return self._own.defaults

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing: DeepSpeed removes gradients after each step."""

    def step(self, closure: Callable[[], Any]) -> Any:
        """Compute gradients, and update the weights of all ranks."""
        output = closure()
        self.engine.step()
        self.stepped = self.engine.was_step_applied()
        return output

    def gradient_norm(self) -> Tensor:
        """Compute the norm of all gradients, before a step; called by all ranks."""
        from deepspeed.utils import safe_get_full_grad  # noqa: PLC0415

        whole = (safe_get_full_grad(each) for group in self._parameters for each in group)
        return get_total_norm([get_total_norm([each]) for each in whole if each is not None])

    def release(self) -> None:
        """Remove what DeepSpeed has added to the module."""
        self.engine.destroy()
        for hook in (self.engine.module_forward_pre_hook, self.engine.module_forward_post_hook):
            hook.remove()

    # --- states -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Gather the state of the whole optimizer on the first rank; called by all."""
        own, place = self._own.state_dict(), 0
        states: dict[int, dict[str, Any]] = {}
        groups = []
        for parameters, flat, group in self._parts(own["param_groups"]):
            places = range(place, place + len(parameters))
            place += len(parameters)
            groups.append(group | {"params": list(places)})
            of_part = self.state.get(flat, {})
            states |= {each: {} for each in places if of_part}
            for name, value in of_part.items():
                gathered = _whole(name, value, flat, parameters)
                for each, whole in zip(places, gathered, strict=True):
                    states[each][name] = whole
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load this rank's part of the state of a whole optimizer."""
        own = self._own.state_dict()
        groups: list[dict[str, Any]] = []
        states: dict[int, dict[str, Any]] = {}
        for parameters, flat, group in self._parts(saved["param_groups"]):
            [place] = own["param_groups"][len(groups)]["params"]
            groups.append(group | {"params": [place]})
            of_group = [saved["state"].get(each, {}) for each in group["params"]]
            names = dict.fromkeys(name for each in of_group for name in each)
            states[place] = {
                name: _part(name, [each.get(name) for each in of_group], flat, parameters)
                for name in names
            }
        self._own.load_state_dict({"state": states, "param_groups": groups})

    def _parts(
        self, groups: Sequence[dict[str, Any]]
    ) -> Iterator[tuple[list[nn.Parameter], Tensor, dict[str, Any]]]:
        """Yield the parameters of each group, this rank's part of them, and a saved group."""
        for parameters, own, group in zip(
            self._parameters, self._own.param_groups, groups, strict=True
        ):
            [flat] = own["params"]
            yield parameters, flat, group


def _whole(name: str, value: Any, flat: Tensor, parameters: Sequence[nn.Parameter]) -> list[Any]:
    """Gather the value of a state on the first rank, for each parameter."""
    from deepspeed.utils import safe_get_full_fp32_param  # noqa: PLC0415

    if name == "step":  # one number for all
        return [value.clone() for _ in parameters]
    first = torch.distributed.get_rank() == 0
    with _in_place_of_weights(flat):
        flat.copy_(value)
        return [
            whole.cpu() if first else None for whole in map(safe_get_full_fp32_param, parameters)
        ]


def _part(
    name: str, values: Sequence[Any], flat: Tensor, parameters: Sequence[nn.Parameter]
) -> Tensor:
    """Return this rank's part of the values of a state; parameters never trained have none."""
    from deepspeed.utils import safe_set_full_fp32_param  # noqa: PLC0415

    if name == "step":
        step: Tensor = next(each for each in values if each is not None)
        return step
    with _in_place_of_weights(flat):
        flat.zero_()
        for parameter, value in zip(parameters, values, strict=True):
            if value is not None:
                safe_set_full_fp32_param(parameter, value.to(flat))
        return flat.clone()


@contextmanager
def _in_place_of_weights(flat: Tensor) -> Iterator[None]:
    """Let a flat part hold something else than weights, of which DeepSpeed knows what is where."""
    with torch.no_grad():
        weights = flat.clone()
        try:
            yield
        finally:
            flat.copy_(weights)
