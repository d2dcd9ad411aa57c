"""Overrides, ``loss.gamma=2``, in Hydra's grammar."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from losslab.config.errors import UserError


def parsed(overrides: Sequence[str]) -> list[Any]:
    """Parse overrides with Hydra's grammar.

    Raises:
        UserError: if one is malformed.
    """
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except HydraException as error:
        lines = str(error).splitlines()
        raise UserError(f"malformed override: {lines[0]}") from error


def is_given(overrides: Sequence[str], key: str) -> bool:
    """Return whether overrides set a key, with or without ``+``.

    Example:
        >>> is_given(["++loss.gamma=3"], "loss.gamma"), is_given(["loss.gamma=3"], "loss")
        (True, False)
    """
    return any(each.lstrip("+").startswith(f"{key}=") for each in overrides)
