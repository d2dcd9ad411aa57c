"""From a config node to the object it names. Nothing else calls Hydra's ``instantiate``."""

import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from losslab.config.errors import UserError

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it raises what it logs

_WHITELIST = "_execution_whitelist_"
_TAKES_WHITELIST = _WHITELIST in inspect.signature(instantiate).parameters  # from Hydra 1.4 on


def build(node: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call the node's ``_target_`` with its options and what is given beside them.

    Raises:
        UserError: if the target cannot be found or refuses its options; ``name`` says whose they
            are.
    """
    options = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    if _TAKES_WHITELIST:
        kwargs[_WHITELIST] = sorted(
            {name for target in _targets(options) for name in (target, _defined_as(target))}
        )
    try:
        return instantiate(options, *args, **kwargs)
    except Exception as error:  # Hydra 1.3 wraps what the target raises, 1.4 lets it through
        raise UserError(f"{name}: {_cause(error)}") from error


def _targets(options: Any) -> Iterator[str]:
    """Yield every ``_target_`` that the options name: these may be called, and nothing else."""
    if isinstance(options, Mapping):
        if isinstance(options.get("_target_"), str):
            yield options["_target_"]
        options = options.values()
    elif not isinstance(options, list | tuple):
        return
    for value in options:
        yield from _targets(value)


def _defined_as(target: str) -> str:
    """Return the name under which a target is defined, which its package may export elsewhere."""
    try:
        found = get_object(target)
    except Exception:  # an import may fail in any way; instantiating says which
        return target
    return f"{found.__module__}.{found.__qualname__}" if hasattr(found, "__qualname__") else target


def target_of(node: Mapping[str, Any], name: str) -> Any:
    """The class or function that a node names, uncalled."""
    try:
        return get_object(node["_target_"])
    except Exception as error:  # an import may fail in any way; the user sees which one did
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: cannot import {node['_target_']}: {reason}") from error


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
