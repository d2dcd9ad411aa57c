"""From a config node to the object it names. Nothing else calls Hydra's ``instantiate``."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from losslab.config.errors import UserError


def build(node: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call the node's ``_target_`` with its options and what is given beside them.

    Raises:
        UserError: if the target cannot be found or refuses its options; ``name`` says whose they
            are.
    """
    options = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    try:
        return instantiate(options, *args, **_whitelist(options), **kwargs)
    except InstantiationException as error:
        raise UserError(f"{name}: {_cause(error)}") from error


def _whitelist(options: Any) -> dict[str, Any]:
    """Return what Hydra 1.4 asks for: the names that this call may import, those it is given."""
    if "_execution_whitelist_" not in inspect.signature(instantiate).parameters:
        return {}  # Hydra 1.3
    return {"_execution_whitelist_": sorted(set(_targets(options)))}


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _targets(value)


def target_of(node: Mapping[str, Any], name: str) -> Any:
    """The class or function that a node names, uncalled."""
    try:
        return get_object(node["_target_"])
    except Exception as error:  # an import may fail in any way; the user sees which one did
        raise UserError(f"{name}: cannot import {node['_target_']}: {error}") from error


def accepted(function: Any, offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the offered arguments that the function's signature names."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in names}


def _cause(error: BaseException) -> str:
    """The innermost message: what the target itself said."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return text.removeprefix("Error locating target ")
