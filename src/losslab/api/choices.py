"""What stands for a model or a loss that is given in Python: options of the command line."""

import copy
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import starmap
from typing import Any

from torch import nn

from losslab import given
from losslab.config import groups
from losslab.config.errors import UserError

Losses = Mapping[str, Any] | Sequence[Any]


def named_options(group: str, text: str) -> list[str]:
    """Return the options that choose from a group: ``"huber loss.delta=2"``.

    Raises:
        UserError: if conf/ has no such choice.
    """
    name, *options = text.split() or [""]
    groups.require_known(group, name)
    return [f"{group}={name}", *options]


def model_options(model: Any) -> list[str]:
    """Return the options that choose a model: a name in conf/, a class or a function.

    Raises:
        UserError: if it is a network, which seeds would share.
    """
    if model is None:
        return []
    if isinstance(model, str):
        return named_options("model", model)
    if isinstance(model, nn.Module):
        name = type(model).__name__
        raise UserError(
            f"model must be made anew for each seed, got a ready {name}: give the class, or a "
            f"function such as lambda: {name}(...)"
        )
    if not callable(model):
        raise UserError(f"model must be a name, a class or a function, got {model!r:.60}")
    return [f"model._target_={_target(_name_of(model, 'model'), model)}"]


def loss_options(losses: Losses, base: str) -> dict[str, list[str]]:
    """Return the options of each loss, by label.

    Args:
        losses: losses by label, or a list of them, which are called after their name or class:
            names in conf/, with options ``"huber loss.delta=2"`` or ``("huber", {"delta": 2})``,
            classes, functions and modules.
        base: name in conf/ whose defaults apply to losses without a file.

    Raises:
        UserError: if a loss is none, or two have the same label.
    """
    if isinstance(losses, str) or not isinstance(losses, Mapping | Sequence):
        raise UserError(f"losses must be a list, or a mapping by label, got {losses!r:.60}")
    labelled = losses.items() if isinstance(losses, Mapping) else [(None, each) for each in losses]
    found: dict[str, list[str]] = {}
    for label, loss in labelled:
        name, options = _loss(label, loss, base)
        if name in found:
            raise UserError(f"two losses are called {name}: give them as a mapping by label")
        found[name] = options
    if not found:
        raise UserError("losses must have at least one loss, got none")
    return found


def _loss(label: Any, loss: Any, base: str) -> tuple[str, list[str]]:
    if isinstance(loss, str | tuple):
        name, *options = _named_loss(loss)
        natural = name.removeprefix("loss=")
    elif callable(loss):
        natural = _name_of(loss, "loss")
        name, options = f"loss={base}", []
    else:
        raise UserError(f"a loss must be a name, a class, a function or a module, got {loss!r:.60}")
    label = natural if label is None else str(label)
    if not label.isidentifier():
        raise UserError(f"a label must be of letters, digits and _, got {label!r}")
    if callable(loss):
        path = _target(label, loss)
        natural, options = path.rpartition(".")[2], [f"loss._target_={path}"]
    return label, [name, *options, *([f"label={label}"] if label != natural else [])]


def _named_loss(loss: str | tuple[Any, ...]) -> list[str]:
    """Return the options of a loss of conf/, ``"huber loss.delta=2"``, or with a mapping."""
    if isinstance(loss, str):
        return named_options("loss", loss)
    match loss:
        case (str(name), Mapping() as options):
            return [*named_options("loss", name), *starmap(_option, options.items())]
    raise UserError(f'a loss with options must be like ("huber", {{"delta": 2}}), got {loss!r:.60}')


def _option(name: str, value: Any) -> str:
    try:
        return f"loss.{name}={_written(value)}"
    except TypeError as error:
        got = f"{name}={value!r:.40}"
        raise UserError(f"an option of a loss must be a plain value, got {got}") from error


def _written(value: Any) -> str:
    """Write a plain value in Hydra's grammar.

    Raises:
        TypeError: if it is another.
    """
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_written(each)}' for key, each in value.items())}}}"
    if isinstance(value, float):
        return repr(float(value))  # inf and nan, where JSON has Infinity and NaN
    return json.dumps(value, ensure_ascii=False)


def _name_of(value: Any, otherwise: str) -> str:
    while isinstance(value, partial):
        value = value.func
    named = type(value) if isinstance(value, nn.Module) else value
    name = str(getattr(named, "__name__", otherwise))
    return name if name.isidentifier() else otherwise  # not <lambda>


def _target(name: str, value: Any) -> str:
    """Return a ``_target_`` of this name for a class, a function or a module."""
    if isinstance(value, nn.Module):
        return given.keep(name, Copies(value))
    module, own = (getattr(value, each, "") for each in ("__module__", "__qualname__"))
    if _is_importable(module, own, value):
        return f"{module}.{own}"
    return given.keep(name, value)


def _is_importable(module: str, name: str, value: Any) -> bool:
    """Return whether another process finds the same object in a module, which is in a file."""
    found = sys.modules.get(module)
    in_file = module != "__main__" and getattr(found, "__file__", None) is not None
    return in_file and getattr(found, name, None) is value


class Copies:
    """Function that returns copies of a loss."""

    def __init__(self, loss: nn.Module) -> None:
        self.loss = copy.deepcopy(loss)  # which may be changed before it is extended
        self.__name__ = type(loss).__name__
        self.__signature__ = inspect.Signature()
        if hasattr(loss, "accepts"):
            self.accepts = loss.accepts

    def __call__(self) -> nn.Module:
        """Copy the loss."""
        return copy.deepcopy(self.loss)
