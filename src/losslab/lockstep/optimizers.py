"""One optimizer step for many runs, each with options of its own."""

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
"""Optimizers that move each number by its own gradient alone, whatever tensor it lies in."""

RowState = dict[str, dict[str, Tensor]]
"""An optimizer's state of one run: by parameter, by name."""


class RowOptimizer:
    """An element-wise optimizer of torch for K runs whose parameters are stacked.

    Row k of each parameter is run k's. Rows with equal options form one parameter group, and the
    tensors in it are slices of consecutive such rows: torch's own (fused) kernels do the
    arithmetic, so a run's step is what it would be alone, at the cost of one step of a large model.

    Args:
        parameters: by name, (K, *).
        runs: the optimizers the runs would have alone, of one class. Their options are read again
            by :meth:`regroup`, so that schedulers may act on them; their parameters play no part.

    Raises:
        ValueError: if the optimizers are of several classes or of none in :data:`ELEMENTWISE`.

    Example:
        >>> weights = {"w": torch.zeros(2, 3)}
        >>> rates = [torch.optim.SGD([torch.zeros(1)], lr=lr) for lr in (0.5, 1.0)]
        >>> RowOptimizer(weights, rates).step({"w": torch.ones(2, 3)})
        >>> weights["w"][:, 0]
        tensor([-0.5000, -1.0000])
    """

    def __init__(self, parameters: Mapping[str, Tensor], runs: Sequence[Optimizer]) -> None:
        kinds = {type(run) for run in runs}
        if len(kinds) != 1 or not kinds <= set(ELEMENTWISE):
            expected = ", ".join(kind.__name__ for kind in ELEMENTWISE)
            found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
            raise ValueError(f"runs must have optimizers of one class of {expected}, got {found}")
        self._kind: Any = kinds.pop()
        self._arrange(parameters, list(runs), None)

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Move all rows; a parameter without a gradient stays."""
        # the fused kernels walk through memory and take gradients to lie as the parameters do
        dense = {name: gradient.contiguous() for name, gradient in gradients.items()}
        for name, first, end, part in self._parts:
            part.grad = dense[name][first:end] if name in dense else None
        self._optimizer.step()

    def regroup(self) -> None:
        """Take over the options that the runs' optimizers have now."""
        if _blocks(self._runs) == self._blocks:
            for group, (first, _) in zip(self._optimizer.param_groups, self._members, strict=True):
                group.update(_options(self._runs[first]))
        else:
            self._arrange(self._parameters, self._runs, self.rows())

    def keep(self, parameters: Mapping[str, Tensor], rows: Sequence[int]) -> None:
        """Go on with some of the rows, whose parameters are given anew in this order."""
        states = self.rows()
        self._arrange(parameters, [self._runs[row] for row in rows], [states[row] for row in rows])

    def rows(self) -> list[RowState]:
        """The state of each run, as rows (1, *) of the stacked state; what has no rows as it is."""
        states: list[RowState] = [{} for _ in self._runs]
        for name, first, end, part in self._parts:
            for key, value in self._optimizer.state.get(part, {}).items():
                for row in range(first, end):
                    own = value[row - first :][:1] if value.ndim else value
                    states[row].setdefault(name, {})[key] = own
        return states

    def state_dict(self, row: int, state: RowState) -> dict[str, Any]:
        """What the run's own optimizer would give as its ``state_dict``; a copy.

        Args:
            row: the run's.
            state: its state, from :meth:`rows`.
        """
        names = list(self._parameters)
        own: dict[str, Any] = self._runs[row].state_dict()
        [group] = own["param_groups"]
        return {
            "state": {
                names.index(name): {
                    key: (value[0] if value.ndim else value).clone() for key, value in its.items()
                }
                for name, its in state.items()
            },
            "param_groups": [group | {"params": list(range(len(names)))}],
        }

    def _arrange(
        self,
        parameters: Mapping[str, Tensor],
        runs: list[Optimizer],
        states: Sequence[RowState] | None,
    ) -> None:
        self._parameters, self._runs = parameters, runs
        self._blocks = _blocks(runs)
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
            groups.append({"params": [part[3] for part in parts]} | _options(runs[ranges[0][0]]))
        self._optimizer = self._kind(groups)
        if states is not None:
            for name, first, end, part in self._parts:
                rows = [states[row].get(name, {}) for row in range(first, end)]
                self._optimizer.state[part] = {key: _joined(rows, key) for key in rows[0]}


def _options(run: Optimizer) -> dict[str, Any]:
    [group] = run.param_groups
    return {name: value for name, value in group.items() if name != "params"}


def _blocks(runs: Sequence[Optimizer]) -> list[list[tuple[int, int]]]:
    """For each setting of options the ranges of consecutive rows that have it."""
    blocks: dict[str, list[tuple[int, int]]] = {}
    for row, run in enumerate(runs):
        ranges = blocks.setdefault(repr(sorted(_options(run).items())), [])
        if ranges and ranges[-1][1] == row:
            ranges[-1] = (ranges[-1][0], row + 1)
        else:
            ranges.append((row, row + 1))
    return list(blocks.values())


def _joined(rows: Sequence[Mapping[str, Tensor]], key: str) -> Tensor:
    """The rows' state as that of a slice; what is one number for all, such as the step, once."""
    if rows[0][key].ndim == 0:
        return rows[0][key].clone()  # the slices count their steps each for itself
    return torch.cat([row[key] for row in rows])
