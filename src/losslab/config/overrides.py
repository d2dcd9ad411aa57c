"""Overrides, ``loss.gamma=2``, in Hydra's grammar."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from losslab.config import schema
from losslab.config.errors import UserError
from losslab.runs.packs import is_packed


def parsed(overrides: Sequence[str]) -> list[Any]:
    """Parse overrides with Hydra's grammar.

    Raises:
        UserError: if one is malformed.
    """
    for override in overrides:
        if override.startswith("="):
            raise UserError(f"malformed override: {override} has no key")
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except HydraException as error:
        said = str(error).splitlines()[0]
        if said.startswith("Lexer"):
            said = f"{said.partition(': ')[2]}: quote such signs, as in \"data.separator=';'\""
        raise UserError(f"malformed override: {said}") from error
    except RecursionError as error:
        raise UserError("malformed override: its value is nested too deeply") from error


def is_given(overrides: Sequence[str], key: str) -> bool:
    """Return whether overrides set a key, with or without ``+``.

    Example:
        >>> is_given(["++loss.gamma=3"], "loss.gamma"), is_given(["loss.gamma=3"], "loss")
        (True, False)
    """
    return any(each.lstrip("+").startswith(f"{key}=") for each in overrides)


def refuse_rate(overrides: Sequence[str]) -> None:
    """Refuse the learning rate, which a range test varies.

    Raises:
        UserError: if it is given.
    """
    if is_given(overrides, "optimizer.lr"):
        raise UserError("optimizer.lr is what lr_find varies: remove it, or set start= and end=")


def require_distinct(overrides: Sequence[str]) -> None:
    """Check that no key is set twice, of which one value would be ignored.

    Raises:
        UserError: if one is.
    """
    seen: dict[str, str] = {}
    for override in parsed(overrides):
        if override.is_delete():
            continue
        key = override.get_key_element().lstrip("+")
        first = seen.setdefault(key, override.input_line)
        if first is not override.input_line:
            raise UserError(
                f"{key} is given twice, {first} and {override.input_line}: remove one, or write "
                f"-m {key}=A,B for a run of each"
            )


def replaces(group: str, overrides: Sequence[str]) -> bool:
    """Return whether overrides replace the ``_target_`` of a group's choice."""
    return is_given(overrides, f"{group}._target_")


def is_choice(override: Any) -> bool:
    """Return whether a parsed override chooses from a group."""
    key = override.key_or_group
    return key in schema.GROUPS or key.startswith("hydra/") or override.package is not None


def with_quoted_path(arguments: Sequence[str]) -> list[str]:
    """Quote an existing ``ckpt_path``, since folders of runs have ``=`` and ``,`` in their names.

    Example:
        >>> with_quoted_path(["ckpt_path=/", "loss=mse"])
        ["ckpt_path='/'", 'loss=mse']
    """
    key = "ckpt_path="
    return [
        f"{key}{quoted(path)}"
        if each.startswith(key) and is_path(path := each.removeprefix(key))
        else each
        for each in arguments
    ]


def is_path(text: str) -> bool:
    """Return whether there is a file or folder of this name, or a packed run."""
    try:
        return Path(text).exists() or is_packed(Path(text))
    except (OSError, ValueError):  # a name that is too long, or has a null byte
        return False


def quoted(value: object) -> str:
    """Quote a value for Hydra's override grammar.

    Example:
        >>> quoted("logs/a b")
        "'logs/a b'"
    """
    text = str(value).replace("'", "\\'")
    return f"'{text}'"


_PLAIN = re.compile(r"(?!(?:true|false|null|inf|nan)$)/?[a-z_][\w./-]*", re.IGNORECASE | re.ASCII)


def written(value: object) -> str:
    """Write a text in Hydra's override grammar, quoted if it has to be.

    Example:
        >>> written("/data/table.npz"), written("my data"), written("1"), written("null")
        ('/data/table.npz', "'my data'", "'1'", "'null'")
    """
    return str(value) if _PLAIN.fullmatch(str(value)) else quoted(value)
