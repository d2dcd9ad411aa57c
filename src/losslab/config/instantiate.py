"""Instantiation of config nodes; the only module that calls Hydra's ``instantiate``."""

import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from losslab.config.errors import UserError

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # its errors are also raised

_WHITELIST = "_execution_whitelist_"
_TAKES_WHITELIST = _WHITELIST in inspect.signature(instantiate).parameters  # from Hydra 1.4 on


def build(node: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call the node's ``_target_`` with its options and the given arguments.

    Args:
        node: options with a ``_target_``.
        name: name of the component, for the error.
        args: further positional arguments.
        kwargs: further keyword arguments.

    Raises:
        UserError: if the target cannot be imported or raises an error.
    """
    options = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    if _TAKES_WHITELIST:
        kwargs[_WHITELIST] = sorted(
            {name for target in _targets(options) for name in (target, _defined_as(target))}
        )
    try:
        return instantiate(options, *args, **kwargs)
    except Exception as error:  # Hydra 1.3 wraps the target's error, 1.4 does not
        raise UserError(f"{name}: {_cause(error)}") from error


def _targets(options: Any) -> Iterator[str]:
    """Yield every ``_target_`` in the options; Hydra 1.4 may call nothing else."""
    if isinstance(options, Mapping):
        if isinstance(options.get("_target_"), str):
            yield options["_target_"]
        options = options.values()
    elif not isinstance(options, list | tuple):
        return
    for value in options:
        yield from _targets(value)


def _defined_as(target: str) -> str:
    """Return the full name under which a target is defined, e.g. if its package re-exports it."""
    try:
        found = get_object(target)
    except Exception:  # an import may raise anything; instantiation reports it
        return target
    return f"{found.__module__}.{found.__qualname__}" if hasattr(found, "__qualname__") else target


def target_of(node: Mapping[str, Any], name: str) -> Any:
    """Import the class or function that is a node's ``_target_``.

    Raises:
        UserError: if it cannot be imported.
    """
    try:
        return get_object(node["_target_"])
    except Exception as error:  # an import may raise anything
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: cannot import {node['_target_']}: {reason}") from error


def accepted(function: Any, offered: dict[str, Any]) -> dict[str, Any]:
    """Select the offered arguments that the function takes by name."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in names}


def _cause(error: BaseException) -> str:
    """Return the message of the innermost error, which the target raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return text.removeprefix("Error locating target ")
