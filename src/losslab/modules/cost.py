"""Cost of a run: time and memory of its loss, time per step, and peak memory."""

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from losslab.losses.base import sum_of
from losslab.modules.objective import Supervision
from losslab.rng import restored_state
from losslab.runs.environment import peak_memory_mb

log = logging.getLogger(__name__)

BUDGET = 0.03
"""Seconds after which no further repetition begins."""
WARM_UPS, REPETITIONS = 3, 30
MIB = 2**20


class LossCall(NamedTuple):
    """The loss of one training batch, as a function of the network's outputs."""

    components: Callable[..., Mapping[str, Tensor]]
    """Function of the outputs that returns the components of the loss."""
    outputs: tuple[Tensor, ...]
    others: tuple[Tensor, ...] = ()
    """Other tensors that exist without the loss, such as targets and class weights."""
    parameters: tuple[Tensor, ...] = ()
    """Weights that the loss has gradients of other than through the outputs."""


def loss_cost(make: Callable[[], LossCall | None]) -> dict[str, float]:
    r"""Measure the time and the memory of a loss, without drawing from the random generators.

    ``loss_ms`` is the median time of one forward and backward pass of the loss alone, from the
    network's outputs to their gradient, in milliseconds. ``loss_mb`` is what the forward pass
    keeps, in MiB, on every device alike:

    .. math:: 2^{-20} \sum_{s \in S} \mathrm{bytes}(s)

    with S the storages, each counted once, of the loss's components and of the tensors that
    autograd saves for the backward pass, except those of the outputs and of ``others``.

    Args:
        make: function that returns the loss of a batch, or ``None`` if it cannot be measured.

    Returns:
        ``loss_ms`` and ``loss_mb``; empty if the loss cannot be measured, or if it raises an
        error, which is logged.

    Example:
        >>> outputs = torch.zeros(2**18)  # 1 MiB
        >>> call = LossCall(lambda x: {"loss": x.exp().mean()}, (outputs,))
        >>> round(loss_cost(lambda: call)["loss_mb"], 3)  # exp keeps its result
        1.0
    """
    try:
        with torch.inference_mode(False), torch.enable_grad(), restored_state():
            call = make()
            if call is None:
                return {}
            leaves = tuple(output.detach().clone().requires_grad_() for output in call.outputs)
            call = call._replace(outputs=leaves)
            kept = _kept_bytes(call) / MIB
            return {"loss_ms": 1e3 * statistics.median(_seconds(call)), "loss_mb": kept}
    except Exception as error:  # a loss of the user may raise anything
        log.warning(f"the cost of the loss was not measured: {type(error).__name__}: {error}")
        return {}


def supervised_call(
    supervision: Supervision, prediction: Tensor, target: Tensor, weights: Tensor | None = None
) -> LossCall:
    """Return the loss of a supervised batch, without the regularizer.

    Args:
        supervision: the run's objective.
        prediction: outputs of the network.
        target: targets of the data.
        weights: sample weights, if the data have them.
    """
    state = [*supervision.loss.buffers(), *supervision.loss.parameters()]
    given = [target] if weights is None else [target, weights]
    return LossCall(
        lambda outputs: supervision.loss_components(outputs, target, weights),
        (prediction,),
        others=(*given, *state),
        parameters=tuple(p for p in supervision.loss.parameters() if p.requires_grad),
    )


def _seconds(call: LossCall) -> list[float]:
    """Return the times of several passes, which on a GPU end when their kernels have ended."""
    device = call.outputs[0].device
    synchronize = torch.get_device_module(device).synchronize
    times: list[float] = []
    latest = time.perf_counter() + BUDGET
    while len(times) < WARM_UPS + REPETITIONS and (not times or time.perf_counter() < latest):
        synchronize()
        began = time.perf_counter()
        objective = sum_of(call.components(*call.outputs))
        torch.autograd.grad(objective, [*call.outputs, *call.parameters], allow_unused=True)
        synchronize()
        times.append(time.perf_counter() - began)
    return times[WARM_UPS:] or times[-1:]


def _kept_bytes(call: LossCall) -> int:
    """Return the bytes of the storages that the components and the backward pass keep."""
    components = [*call.components(*call.outputs).values()]
    given = {_address(tensor) for tensor in (*call.outputs, *call.others, *call.parameters)}
    kept = {
        _address(tensor): tensor.untyped_storage().nbytes()
        for tensor in (*components, *_saved(components))
    }
    return sum(size for address, size in kept.items() if address not in given)


def _saved(components: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the tensors that the nodes of the autograd graph hold, as their attributes show them.

    Hooks on saved tensors would be simpler, but torch.func does not support them.
    """
    nodes = [component.grad_fn for component in components]
    seen = {None, *nodes}
    for node in nodes:
        following = {other for other, _ in getattr(node, "next_functions", ())} - seen
        seen |= following
        nodes += following
        names = [name for name in dir(node) if name.startswith(("_saved_", "saved_tensors"))]
        for leaf in tree_leaves([getattr(node, name) for name in names]):
            if isinstance(leaf, Tensor):
                yield leaf


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class StepTimer:
    """Time per step: the median over epochs of the seconds spent on steps per optimizer step.

    Validation, figures and checkpoints between the steps are not included.

    Args:
        steps: number of optimizer steps that were taken before.

    Example:
        >>> timer = StepTimer()
        >>> for epoch, seconds in enumerate([5.0, 1.0, 1.2]):  # the first epoch warms up
        ...     timer.add(seconds)
        ...     timer.end_epoch(steps=10 * (epoch + 1))
        >>> round(timer.cost()["step_ms"])
        120
    """

    def __init__(self, steps: int = 0) -> None:
        self._steps = steps
        self._began: float | None = None
        self._seconds = 0.0
        self._epochs: list[float] = []

    def start(self) -> None:
        """Start the clock, unless it is running."""
        if self._began is None:
            self._began = time.perf_counter()

    def stop(self) -> None:
        """Stop the clock, if it is running."""
        if self._began is not None:
            self._seconds += time.perf_counter() - self._began
            self._began = None

    def add(self, seconds: float) -> None:
        """Add a time that was measured elsewhere."""
        self._seconds += seconds

    def end_epoch(self, steps: int) -> None:
        """End an epoch.

        Args:
            steps: number of optimizer steps since the start of the run.
        """
        self.stop()
        if steps > self._steps:  # else the time counts for the steps that follow
            self._epochs.append(self._seconds / (steps - self._steps))
            self._seconds, self._steps = 0.0, steps

    def cost(self) -> dict[str, float]:
        """Return ``step_ms``, in milliseconds; empty if there was no step."""
        return {"step_ms": 1e3 * statistics.median(self._epochs)} if self._epochs else {}


def begin_memory(device: torch.device) -> None:
    """Begin to measure the peak memory of a run."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def memory_cost(device: torch.device) -> dict[str, float]:
    """Return ``run_mb``, the peak memory of the run in MiB.

    On CUDA this is the memory of tensors on the device since :func:`begin_memory`. Elsewhere it is
    that of the process with its libraries, which runs in one process share: see
    :func:`~losslab.runs.environment.peak_memory_mb`.
    """
    if device.type == "cuda":
        return {"run_mb": torch.cuda.max_memory_allocated(device) / MIB}
    peak = peak_memory_mb()
    return {} if peak is None else {"run_mb": peak}
