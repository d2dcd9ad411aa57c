"""Signatures of what a config calls, read from source: options that nothing has are refused early.

A Trainer or an optimizer says what was wrong with its options seconds after the import of torch has
begun. Whether there is such an option stands in the source. What is not plainly there, such as the
signature of the user's own class, is left to the call itself.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from inspect import Parameter, Signature
from typing import Any

from losslab.config import schema
from losslab.config.errors import UserError
from losslab.config.instantiate import unknown_option
from losslab.config.source import NotInSource, definition, dotted
from losslab.config.values import is_ours

KEEPS_SIGNATURE = {"_defaults_from_env_vars"}
"""Decorators, here of Lightning's Trainer, after which a function has the same arguments."""


def require_known_options(options: Mapping[str, Any]) -> None:
    """Check that what a config calls has the options that were added to it.

    Options that conf/ sets are known, and others can only be typed as ``+key=value``.

    Args:
        options: resolved config.

    Raises:
        UserError: if one does not exist; the message names the nearest ones.
    """
    added = [each.lstrip("+") for each in options["overrides"] if each.startswith("+")]
    for group in ("scheduler", "regularizer"):
        chosen = options["choices"].get(group)
        unread = [each for each in added if each.startswith(f"{group}.")]
        if unread and "_target_" not in (options[group] or ()):
            key = unread[0].partition("=")[0]
            raise UserError(f"unknown key {key}: {group}={chosen} has no options")
    for key, name, node, args in _calls(options):
        if not any(each.startswith(f"{key}.") for each in added):
            continue
        try:
            signature = signature_of(str(node["_target_"]))
        except NotInSource:  # the call itself says it
            continue
        title = str(node["_target_"]).rpartition(".")[2]
        given = [each for each in node if each[:1] != "_"]
        if refusal := unknown_option(signature, title, args, given):
            raise UserError(f"{name}: {refusal}")


def _calls(options: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], int]]:
    """Yield what a config calls: its key, its name in errors, its options, what it gets besides."""
    task = options["task"]
    nodes: dict[str, tuple[str, Any, int]] = {
        "data": ("data", options["data"], 0),
        "trainer": ("trainer", options["trainer"], 0),
        "optimizer": ("optimizer", options["optimizer"], 1),
        "scheduler": ("scheduler", options["scheduler"], 1),
        "regularizer": ("regularizer", options["regularizer"], 0),
        "model": (f"model={options['choices']['model']}", options["model"], 0),
        "task.definition": ("task", task["definition"], 1),
        "task.module": ("task", task["module"], 3),
        "loss": ("loss", options["loss"], 0),
    }
    for name, node in options["callbacks"].items():
        nodes[f"callbacks.{name}"] = (f"callbacks.{name}", node, 0)
    for name, node in options["logger"]["extra"].items():
        nodes[f"logger.extra.{name}"] = (f"logger.extra.{name}", node, 0)
    for key, (name, node, args) in nodes.items():
        if not node or "_target_" not in node or "of" in node:  # components of a sum are checked
            continue
        if key in ("data", "loss") and not is_ours(str(node["_target_"])):
            continue  # which losslab may call with options that it takes out, or adapt
        yield key, name, _without_ours(key, node), args


def _without_ours(key: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the options that losslab applies to any choice of a group itself."""
    return {k: v for k, v in node.items() if f"{key}.{k}" not in schema.OF_EVERY_CHOICE}


# --- source ---------------------------------------------------------------------------------------


@functools.cache
def signature_of(path: str) -> Signature:
    """Return the signature of a class or function, without annotations and values of defaults.

    Args:
        path: dotted path, as in ``_target_``.

    Raises:
        NotInSource: if the source does not say it plainly.

    Example:
        >>> str(signature_of("losslab.models.CNN"))
        '(input_shape, outputs, channels=..., hidden=..., dropout=...)'
    """
    module, found = definition(path)
    if isinstance(found, ast.FunctionDef):
        return Signature(_parameters(found, module))
    if not isinstance(found, ast.ClassDef) or found.keywords or found.decorator_list:
        raise NotInSource  # a metaclass or a decorator may change what a call takes
    own = {each.name: each for each in found.body if isinstance(each, ast.FunctionDef)}
    if "__new__" in own:
        raise NotInSource
    if "__init__" in own:
        return Signature(_parameters(own["__init__"], module)[1:])
    if len(found.bases) != 1:
        raise NotInSource
    return signature_of(dotted(found.bases[0], module))


def _parameters(function: ast.FunctionDef, module: str) -> list[Parameter]:
    """Return the parameters of a function, those of ``**options: Unpack[Options]`` by name."""
    decorators = {each.id for each in function.decorator_list if isinstance(each, ast.Name)}
    if len(decorators) < len(function.decorator_list) or decorators - KEEPS_SIGNATURE:
        raise NotInSource
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    without = len(positional) - len(given.defaults)
    found = []
    for number, each in enumerate(positional):
        by_name = number >= len(given.posonlyargs)
        kind = Parameter.POSITIONAL_OR_KEYWORD if by_name else Parameter.POSITIONAL_ONLY
        found.append(_parameter(each.arg, kind, required=number < without))
    if given.vararg:
        found.append(Parameter(given.vararg.arg, Parameter.VAR_POSITIONAL))
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found.append(_parameter(each.arg, Parameter.KEYWORD_ONLY, required=default is None))
    match given.kwarg:
        case ast.arg(annotation=ast.Subscript(value=ast.Name(id="Unpack"), slice=options)):
            names = _fields(dotted(options, module))
            found += [_parameter(name, Parameter.KEYWORD_ONLY, required=False) for name in names]
        case ast.arg(arg=name):
            found.append(Parameter(name, Parameter.VAR_KEYWORD))
    return found


def _parameter(name: str, kind: Any, *, required: bool) -> Parameter:
    return Parameter(name, kind, default=Parameter.empty if required else ...)


def _fields(path: str) -> list[str]:
    """Return the keys of a class of options, a ``TypedDict``."""
    if path == "typing.TypedDict":
        return []
    module, found = definition(path)
    if not isinstance(found, ast.ClassDef):
        raise NotInSource
    inherited = [name for base in found.bases for name in _fields(dotted(base, module))]
    own = [each.target for each in found.body if isinstance(each, ast.AnnAssign)]
    return inherited + [each.id for each in own if isinstance(each, ast.Name)]
