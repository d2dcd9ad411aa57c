"""From a config node to the object it names. Nothing else calls Hydra's ``instantiate``."""

import inspect
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it raises what it logs


class UserError(Exception):
    """What the user asked for cannot be run; the message is the one line that they see."""


@contextmanager
def cli_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """Around a whole command: wrong input is one line and exit status 2, an interruption 130.

    ``HYDRA_FULL_ERROR=1`` gives the trace.
    """
    try:
        yield
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        sys.exit(130)


def build(node: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call the node's ``_target_`` with its options and what is given beside them.

    Raises:
        UserError: if the target cannot be found or refuses its options; ``name`` says whose they
            are.
    """
    options = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    try:
        return instantiate(options, *args, **kwargs)
    except InstantiationException as error:
        raise UserError(f"{name}: {_cause(error)}") from error


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
