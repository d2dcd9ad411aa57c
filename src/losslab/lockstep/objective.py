"""Objectives of stacked runs: each loss on its rows of the predictions."""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from losslab.components import fingerprint
from losslab.lockstep.loss_parameters import LossParameters
from losslab.lockstep.passes import Unstackable, first_line
from losslab.losses.base import sum_of
from losslab.modules.objective import Supervision
from losslab.rng import global_state
from losslab.tasks.base import Task

Values = dict[str, Tensor]


class StackedObjective:
    """Block of consecutive rows whose runs have the same loss, options and regularizer.

    A loss that ``torch.func.vmap`` can map is called once for all its rows, others once per row.
    The methods take the arguments of the whole stack, (K, *).

    Args:
        supervisions: supervision of each run.
        first: index of the first row.
        losses: parameters of their losses.
        mapped: whether the loss is mapped; see :func:`can_be_mapped`.
    """

    def __init__(
        self,
        supervisions: Sequence[Supervision],
        first: int,
        losses: LossParameters,
        *,
        mapped: bool,
    ) -> None:
        self.supervisions = list(supervisions)
        self.rows = slice(first, first + len(self.supervisions))
        self.losses = losses
        self.mapped = mapped
        self._functional = [_Functional(supervision) for supervision in self.supervisions]

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
        return self._call(Supervision.components, given)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> Values:
        """Return the diagnostics of the loss, each (rows,)."""
        return self._call(Supervision.diagnostics, [prediction[self.rows], target[self.rows]])

    def _call(self, method: Callable[..., Values], given: Sequence[Any]) -> Values:
        functions = [partial(each.call, method) for each in self._functional]
        return over_rows(functions, [self.losses.values, *given], mapped=self.mapped)

    def require_own_parameters(
        self,
        components: Values,
        prediction: Tensor,
        target: Tensor,
        parameters: Mapping[str, Tensor],
        weights: Tensor | None,
    ) -> None:
        """Check that the loss uses the parameters that it is called with, and keeps its own.

        Args:
            components: components of these rows, from :meth:`components`.
            prediction: predictions of all rows.
            target: targets of all rows.
            parameters: parameters of the networks.
            weights: sample weights of all rows.

        Raises:
            Unstackable: if it does not.
        """
        if not self.losses.values:
            return
        given: list[Any] = [prediction, target, parameters, *([] if weights is None else [weights])]
        own = list(self.supervisions[0].loss.parameters())
        before = _written(own)
        row = [_row(value, self.rows.start) for value in given]
        alone = sum_of(self.supervisions[0].components(*row))
        if _written(own) != before:
            raise Unstackable("the loss changes its parameters")
        trained = [parameter for parameter in own if parameter.requires_grad]
        together = sum_of(components).sum()
        if _reads(alone, trained) != _reads(together, [*self.losses.trained.values()]):
            raise Unstackable("the parameters of the loss are not its attributes")

    def evaluate(
        self, prediction: Tensor, target: Tensor, chosen: Sequence[Mapping[str, float]]
    ) -> list[dict[str, float]]:
        """Compute loss, metrics and reference losses of a split for each of the rows.

        Args:
            prediction: predictions of all rows.
            target: targets of all rows.
            chosen: values that the task of each row chose on validation.
        """
        metrics: list[dict[str, float]] = [{} for _ in self.supervisions]
        for places, values in self._evaluated(Supervision.evaluate, prediction, target, chosen):
            table = torch.stack([value.detach().to("cpu").double() for value in values.values()])
            for place, column in zip(places, table.T.tolist(), strict=True):
                metrics[place] = dict(zip(values, column, strict=True))
        return metrics

    def scores(
        self, prediction: Tensor, target: Tensor, chosen: Sequence[Mapping[str, float]]
    ) -> list[Values]:
        """Compute the scores of each sample of a split for each of the rows, each (n,).

        For the arguments see :meth:`evaluate`.
        """
        scores: list[Values] = [{} for _ in self.supervisions]
        for places, values in self._evaluated(Supervision.scores, prediction, target, chosen):
            for row, place in enumerate(places):
                scores[place] = {name: value[row] for name, value in values.items()}
        return scores

    def _evaluated(
        self,
        method: Callable[..., Values],
        prediction: Tensor,
        target: Tensor,
        chosen: Sequence[Mapping[str, float]],
    ) -> Iterator[tuple[list[int], Values]]:
        """Call a method of the supervisions; yield rows that are alike with their values."""
        for places in self._alike():
            index = torch.tensor(places, device=prediction.device) + self.rows.start
            own = {name: value[places] for name, value in self.losses.values.items()}
            tasks = [_tensors(self.supervisions[place].task) for place in places]
            of_tasks = {
                name: torch.stack([each[name] for each in tasks]).to(prediction.device)
                for name in tasks[0]
            }
            given: list[Any] = [own, of_tasks, prediction[index], target[index]]
            given.append(_columns([chosen[place] for place in places], prediction))
            functions = [
                partial(self._functional[place].call, partial(_evaluated_with, method))
                for place in places
            ]
            mapped = self.mapped and self.supervisions[0].maps_metrics
            yield places, over_rows(functions, given, mapped=mapped)

    def _alike(self) -> list[list[int]]:
        """Group the rows whose tasks evaluate alike: a task may depend on its run's data.

        They may differ in tensors, which are given per row.
        """
        alike: dict[str, list[int]] = {}
        for place, supervision in enumerate(self.supervisions):
            task = supervision.task
            shapes = {name: tensor.shape for name, tensor in _tensors(task).items()}
            alike.setdefault(repr(sorted((vars(task) | shapes).items())), []).append(place)
        return list(alike.values())


def _tensors(task: Task) -> Values:
    """Return the tensors among the attributes of a task, by name."""
    return {name: value for name, value in vars(task).items() if isinstance(value, Tensor)}


def _evaluated_with(
    method: Callable[..., Values], supervision: Supervision, tensors: Values, *arguments: Any
) -> Values:
    """Call a method of a supervision whose task has these tensors in place of its own."""
    supervision, task = copy.copy(supervision), copy.copy(supervision.task)
    vars(task).update(tensors)
    supervision.task = task
    return method(supervision, *arguments)


class _Functional(nn.Module):
    """Supervision whose methods can be called with other parameters of the loss than its own."""

    def __init__(self, supervision: Supervision) -> None:
        super().__init__()
        self.supervision = supervision
        # its copies with another reduction share its parameters
        self.loss = supervision.loss

    def call(
        self, method: Callable[..., Values], parameters: Mapping[str, Tensor], *arguments: Any
    ) -> Values:
        """Call a method of the supervision with these parameters of the loss, by name."""
        if not parameters:
            return method(self.supervision, *arguments)
        named = {f"loss.{name}": value for name, value in parameters.items()}
        values: Values = functional_call(self, named, (method, *arguments))
        return values

    def forward(self, method: Callable[..., Values], *arguments: Any) -> Values:
        """Call a method of the supervision with the current parameters."""
        return method(self.supervision, *arguments)


def can_be_mapped(
    loss: nn.Module, rows: int, evaluated: Callable[[bool], tuple[Values, Values]]
) -> bool:
    """Return whether a loss gives the same values mapped over its rows as row by row.

    Args:
        loss: loss of the rows.
        rows: number of rows.
        evaluated: function that returns components and diagnostics of the rows, each (rows,),
            mapped or not.

    Raises:
        Unstackable: if the loss raises, draws random numbers, changes its buffers, or is not a
            scalar.
    """
    state, held = global_state(), [buffer.clone() for buffer in loss.buffers()]
    try:
        expected = sum_of(evaluated(False)[0])
    except Unstackable:
        raise
    except Exception as error:  # it will raise again when it is trained alone
        raise Unstackable(f"the loss raises on an example: {first_line(error)}") from error
    if not torch.equal(state, global_state()):
        raise Unstackable("the loss draws random numbers")
    if any(not torch.equal(a, b) for a, b in zip(held, loss.buffers(), strict=True)):
        raise Unstackable("the loss changes its buffers")
    if expected.shape != (rows,):
        raise Unstackable("the loss is not a scalar")
    try:
        with warnings.catch_warnings(action="ignore"):  # about operations that run as loops
            components, diagnostics = evaluated(True)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    same = torch.allclose(sum_of(components), expected, rtol=1e-4, atol=1e-6, equal_nan=True)
    return same and all(value.shape == (rows,) for value in diagnostics.values())


def over_rows(
    functions: Sequence[Callable[..., Values]], arguments: Sequence[Any], *, mapped: bool
) -> Values:
    """Stack the values of the rows, by mapping the first function or by calling each function."""
    if mapped:
        values: Values = vmap(functions[0])(*arguments)
        return values
    rows = [
        function(*(_row(argument, row) for argument in arguments))
        for row, function in enumerate(functions)
    ]
    return {name: torch.stack([values[name] for values in rows]) for name in rows[0]}


def _reads(objective: Tensor, parameters: Sequence[Tensor]) -> list[bool]:
    """Return whether an objective depends on each of the parameters."""
    if not (parameters and objective.requires_grad):
        return [False] * len(parameters)
    found = torch.autograd.grad(objective, parameters, allow_unused=True)
    return [gradient is not None for gradient in found]


def _written(parameters: Sequence[Tensor]) -> list[Any]:
    """Return what differs after parameters were written to, even if they have the same values."""
    places = [(parameter.data_ptr(), parameter._version) for parameter in parameters]
    return [fingerprint(parameters), *places]


def _row(value: Any, row: int) -> Any:
    if isinstance(value, Mapping):
        return {name: entry[row] for name, entry in value.items()}
    return value[row]


def _columns(rows: Sequence[Mapping[str, float]], like: Tensor) -> Values:
    """Return the numbers of the rows as tensors (rows,), by name."""
    return {
        name: torch.tensor([row[name] for row in rows], dtype=like.dtype, device=like.device)
        for name in rows[0]
    }
