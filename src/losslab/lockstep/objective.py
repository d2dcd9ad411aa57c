"""The objectives of runs trained together: each loss on its slice of the predictions."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from losslab.lockstep.stack import Unstackable, first_line
from losslab.modules.objective import Supervision, sum_of
from losslab.rng import global_state

Values = dict[str, Tensor]


class StackedObjective:
    """Consecutive rows of a stack whose runs have the same loss, options and regularizer.

    Where the loss can be mapped by ``torch.func.vmap`` it sees all its rows at once; else it is
    called a row. The arguments of the methods are those of the whole stack, (K, *).

    Args:
        supervisions: of the rows' runs.
        first: the first row.
        mapped: whether the loss is mapped; :func:`can_be_mapped` finds out.
    """

    def __init__(self, supervisions: Sequence[Supervision], first: int, *, mapped: bool) -> None:
        self.supervisions = list(supervisions)
        self.rows = slice(first, first + len(self.supervisions))
        self.mapped = mapped

    def components(
        self,
        prediction: Tensor,
        target: Tensor,
        parameters: Mapping[str, Tensor],
        weights: Tensor | None,
    ) -> Values:
        """Return the components of the rows' objectives; see :meth:`Supervision.components`."""
        own = {}
        if self.supervisions[0].regularizer is not None:
            own = {name: value[self.rows] for name, value in parameters.items()}
        given: list[Any] = [prediction[self.rows], target[self.rows], own]
        if weights is not None:
            given.append(weights[self.rows])
        functions = [supervision.components for supervision in self.supervisions]
        return over_rows(functions, given, mapped=self.mapped)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> Values:
        """What the loss shows beside its value, each (rows,)."""
        functions = [supervision.diagnostics for supervision in self.supervisions]
        given = [prediction[self.rows], target[self.rows]]
        return over_rows(functions, given, mapped=self.mapped)

    def judged(
        self, prediction: Tensor, target: Tensor, chosen: Sequence[Mapping[str, float]]
    ) -> list[dict[str, float]]:
        """Loss, metrics and reference losses of a split, for each of the rows.

        Args:
            prediction: of all rows.
            target: of all rows.
            chosen: what each of these rows' tasks chose on validation.
        """
        judged: list[dict[str, float]] = [{} for _ in self.supervisions]
        for places in self._alike():
            index = torch.tensor(places, device=prediction.device) + self.rows.start
            given: list[Any] = [prediction[index], target[index]]
            given.append(_columns([chosen[place] for place in places], prediction))
            values = over_rows(
                [self.supervisions[place].judged for place in places],
                given,
                mapped=self.supervisions[0].task.maps_metrics,
            )
            table = torch.stack([value.detach().to("cpu").double() for value in values.values()])
            for place, column in zip(places, table.T.tolist(), strict=True):
                judged[place] = dict(zip(values, column, strict=True))
        return judged

    def _alike(self) -> list[list[int]]:
        """The rows whose tasks judge in the same way: a task may depend on its run's data."""
        alike: dict[str, list[int]] = {}
        for place, supervision in enumerate(self.supervisions):
            alike.setdefault(repr(sorted(vars(supervision.task).items())), []).append(place)
        return list(alike.values())


def can_be_mapped(
    loss: nn.Module, rows: int, evaluated: Callable[[bool], tuple[Values, Values]]
) -> bool:
    """Whether a loss gives the same mapped over its rows as it gives a row.

    Args:
        loss: of these rows.
        rows: how many they are.
        evaluated: components and diagnostics of the rows, each (rows,), mapped or not.

    Raises:
        Unstackable: if the loss raises, draws random numbers, changes what it holds, or gives more
            than a number.
    """
    state, held = global_state(), [buffer.clone() for buffer in loss.buffers()]
    try:
        expected = sum_of(evaluated(False)[0])
    except Exception as error:  # it will say so when it is trained alone
        raise Unstackable(f"the loss refuses an example: {first_line(error)}") from error
    if not torch.equal(state, global_state()):
        raise Unstackable("the loss draws random numbers")
    if any(not torch.equal(a, b) for a, b in zip(held, loss.buffers(), strict=True)):
        raise Unstackable("the loss changes its buffers")
    if expected.shape != (rows,):
        raise Unstackable("the loss is no single number")
    try:
        with warnings.catch_warnings(action="ignore"):  # of operations that run as loops
            components, diagnostics = evaluated(True)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    same = torch.allclose(sum_of(components), expected, rtol=1e-4, atol=1e-6, equal_nan=True)
    return same and all(value.shape == (rows,) for value in diagnostics.values())


def over_rows(
    functions: Sequence[Callable[..., Values]], arguments: Sequence[Any], *, mapped: bool
) -> Values:
    """The rows' values, stacked: the first function mapped over all rows, or each on its own."""
    if mapped:
        values: Values = vmap(functions[0])(*arguments)
        return values
    rows = [
        function(*(_row(argument, row) for argument in arguments))
        for row, function in enumerate(functions)
    ]
    return {name: torch.stack([values[name] for values in rows]) for name in rows[0]}


def _row(value: Any, row: int) -> Any:
    if isinstance(value, Mapping):
        return {name: entry[row] for name, entry in value.items()}
    return value[row]


def _columns(rows: Sequence[Mapping[str, float]], like: Tensor) -> Values:
    """The rows' numbers as tensors (rows,), by name."""
    return {
        name: torch.tensor([row[name] for row in rows], dtype=like.dtype, device=like.device)
        for name in rows[0]
    }
