"""Objects of a comparison that were given in Python: found in its options, and given again."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from losslab import given
from losslab.api.choices import Copies
from losslab.api.datasets import Again
from losslab.config.errors import UserError
from losslab.runs.folder import label_of


def give_again(
    options: Iterable[str], model: Any, losses: Mapping[str, Any], data: Any = None
) -> None:
    """Keep objects for options that another process wrote.

    Args:
        options: options of the runs.
        model: the model that it was given; ``None`` if it has a name.
        losses: the losses that it was given, by label.
        data: the Dataset or LightningDataModule that it was given.

    Raises:
        UserError: if it was given no model, no data, or no such loss.
    """
    paths = given.paths_in(options)
    models = {label: model for group, label in paths if group == "model"}
    datas = {
        label: None if data is None else Again(data) for group, label in paths if group == "data"
    }
    labels = [label for group, label in paths if group == "loss"]
    named = [label for each in options if (label := label_of([each]))]
    unknown = [f"losses has {label}" for label in losses if label not in (*labels, *named)]
    if model is not None and not models:
        unknown.append("model is given")
    if data is not None and not datas:
        unknown.append("data are given")
    if unknown:
        listed = f"the losses {', '.join(labels)}" if labels else "no loss"
        more = " and a model" if models else " and no model"
        raise UserError(f"{unknown[0]}, but this comparison was given {listed}{more} in Python")
    for (group, label), path in paths.items():
        value = {"model": models, "data": datas}.get(group, losses).get(label)
        if value is not None:
            given.put(path, Copies(value) if isinstance(value, nn.Module) else value)


def require_given(options: Iterable[str]) -> None:
    """Check that this process has the objects that options name.

    Raises:
        UserError: if it has not; the message says how to give them again.
    """
    lost = [name for name, path in given.paths_in(options).items() if not given.has(path)]
    if lost:
        named = [_name(group, label) for group, label in lost]
        again = [f"{group}=..." for group in ("model", "data") if group in named]
        again += ["losses={...}"] if any(group == "loss" for group, _ in lost) else []
        raise UserError(
            f"{', '.join(dict.fromkeys(named))} of these runs was given in Python, by a process "
            f"that has ended: give it again: losslab.load(folder, {', '.join(again)})"
        )


def require_typable(options: Iterable[str]) -> None:
    """Check that options can be typed in a shell.

    Raises:
        UserError: if one names what was given in Python.
    """
    for group, label in given.paths_in(options):
        raise UserError(
            f"{_name(group, label)} was given in Python: define it in a module that can be "
            "imported, or repeat the call in Python"
        )


def _name(group: str, label: str) -> str:
    return group if group in ("model", "data") else label
