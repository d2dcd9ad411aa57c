"""One optimizer step for many runs, each with its own options."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

ELEMENTWISE: tuple[type[Optimizer], ...] = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.RMSprop,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
)
"""Optimizers that update each weight by its own gradient only, whatever tensor it is in."""

RowState = dict[str, dict[str, Tensor]]
"""Optimizer state of one run, by parameter and by name."""


class RowOptimizer:
    """Element-wise optimizer of torch for K runs with stacked parameters.

    Row k of each parameter belongs to run k. Rows with equal options form one parameter group,
    whose tensors are slices of consecutive such rows. torch's own (fused) kernels do the
    arithmetic, so each run takes the step it would take alone, at the cost of one step of a large
    model.

    Args:
        parameters: stacked parameters by name, (K, *).
        runs: the runs' own optimizers, of one class. Only their options are used; they are read
            again by :meth:`regroup`, so that schedulers can change them.
        states: state of each run, as from :meth:`rows`; ``None`` before the first step.
        group: index of the parameters' group in the runs' own optimizers.

    Raises:
        ValueError: if the optimizers are not of one class in :data:`ELEMENTWISE`.

    Example:
        >>> weights = {"w": torch.zeros(2, 3)}
        >>> rates = [torch.optim.SGD([torch.zeros(1)], lr=lr) for lr in (0.5, 1.0)]
        >>> RowOptimizer(weights, rates).step({"w": torch.ones(2, 3)})
        >>> weights["w"][:, 0]
        tensor([-0.5000, -1.0000])
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        runs: Sequence[Optimizer],
        states: Sequence[RowState] | None = None,
        *,
        group: int = 0,
    ) -> None:
        kinds = {type(run) for run in runs}
        if len(kinds) != 1 or not kinds <= set(ELEMENTWISE):
            expected = ", ".join(kind.__name__ for kind in ELEMENTWISE)
            found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
            raise ValueError(f"runs must have optimizers of one class of {expected}, got {found}")
        self._kind: Any = kinds.pop()
        self._group = group
        self._arrange(parameters, list(runs), states)

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Update all rows; a parameter without a gradient stays as it is."""
        # fused kernels assume that gradients have the memory layout of the parameters
        dense = {name: gradient.contiguous() for name, gradient in gradients.items()}
        for name, first, end, part in self._parts:
            part.grad = dense[name][first:end] if name in dense else None
        self._optimizer.step()

    def regroup(self) -> None:
        """Apply the current options of the runs' optimizers."""
        options = self._options(self._runs)
        if _blocks(options) == self._blocks:
            for group, (first, _) in zip(self._optimizer.param_groups, self._members, strict=True):
                group.update(options[first])
        else:
            self._arrange(self._parameters, self._runs, self.rows())

    def keep(self, parameters: Mapping[str, Tensor], rows: Sequence[int]) -> None:
        """Keep only these rows, whose parameters are given again in this order."""
        states = self.rows()
        self._arrange(parameters, [self._runs[row] for row in rows], [states[row] for row in rows])

    def rows(self) -> list[RowState]:
        """Return the state of each run: rows (1, *) of the stacked state, or scalars."""
        states: list[RowState] = [{name: {} for name in self._parameters} for _ in self._runs]
        for name, first, end, part in self._parts:
            for key, value in self._optimizer.state.get(part, {}).items():
                for row in range(first, end):
                    own = value[row - first :][:1] if value.ndim else value
                    states[row][name][key] = own
        return states

    def _arrange(
        self,
        parameters: Mapping[str, Tensor],
        runs: list[Optimizer],
        states: Sequence[RowState] | None,
    ) -> None:
        self._parameters, self._runs = parameters, runs
        options = self._options(runs)
        self._blocks = _blocks(options)
        self._parts: list[tuple[str, int, int, Tensor]] = []
        groups: list[dict[str, Any]] = []
        self._members: list[tuple[int, int]] = []
        for ranges in self._blocks:
            parts = [
                (name, first, end, stacked.detach()[first:end].requires_grad_())
                for name, stacked in parameters.items()
                for first, end in ranges
            ]
            self._parts += parts
            self._members.append(ranges[0])
            groups.append({"params": [part[3] for part in parts]} | options[ranges[0][0]])
        self._optimizer = self._kind(groups)
        if states is not None:
            for name, first, end, part in self._parts:
                rows = [states[row][name] for row in range(first, end)]
                self._optimizer.state[part] = {key: _joined(rows, key) for key in rows[0]}

    def _options(self, runs: Sequence[Optimizer]) -> list[dict[str, Any]]:
        """Return the current options of each run."""
        groups = [run.param_groups[self._group] for run in runs]
        return [{key: own for key, own in group.items() if key != "params"} for group in groups]


def state_dict_of(run: Optimizer, groups: Sequence[RowState]) -> dict[str, Any]:
    """Return a copy of a run's state in the format of its own optimizer's ``state_dict``.

    Args:
        run: the run's own optimizer, which has the options.
        groups: state of each of its parameter groups, from :meth:`RowOptimizer.rows`.
    """
    parameters = [state for group in groups for state in group.values()]
    return run.state_dict() | {
        "state": {
            index: {
                key: (value[0] if value.ndim else value).clone() for key, value in state.items()
            }
            for index, state in enumerate(parameters)
            if state
        }
    }


def _blocks(options: Sequence[Mapping[str, Any]]) -> list[list[tuple[int, int]]]:
    """Return the ranges of consecutive rows for each distinct set of options."""
    blocks: dict[str, list[tuple[int, int]]] = {}
    for row, own in enumerate(options):
        ranges = blocks.setdefault(repr(sorted(own.items())), [])
        if ranges and ranges[-1][1] == row:
            ranges[-1] = (ranges[-1][0], row + 1)
        else:
            ranges.append((row, row + 1))
    return list(blocks.values())


def _joined(rows: Sequence[Mapping[str, Tensor]], key: str) -> Tensor:
    """Join the states of rows into that of a slice; a scalar, such as the step, is kept once."""
    if rows[0][key].ndim == 0:
        return rows[0][key].clone()  # each slice counts its own steps
    return torch.cat([row[key] for row in rows])
