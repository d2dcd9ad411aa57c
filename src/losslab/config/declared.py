"""What the losses and tasks of losslab declare, read from their source: importing it needs torch.

A class attribute such as ``accepts = (TargetFormat.VALUES,)`` stands in one place, the class. A
command that names a loss that does not fit is refused by what stands there, seconds before torch
would be imported; where the source does not say it that plainly, the imported class does.
"""

import ast
import functools
import sys
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

from losslab.config import groups
from losslab.config.errors import UserError
from losslab.config.source import NotInSource, definition, dotted, file_of, names_in

if TYPE_CHECKING:
    from losslab.losses.formats import TargetFormat

    Formats = tuple[TargetFormat, ...]
    Accepts = Callable[[Mapping[str, Any], str], Formats | None]
    """Formats that the loss with these options, at this key, declares; ``None`` for none."""

FORMATS = "losslab.losses.formats"


def require_fit(options: Mapping[str, Any]) -> "TargetFormat | None":
    """Return the first target format that the task provides and the loss accepts.

    Args:
        options: resolved config.

    Returns:
        The format, or ``None`` for a loss that declares none.

    Raises:
        UserError: if there is no such format.
        NotInSource: if only the imported classes say so.
    """
    provides = attribute(options["task"]["definition"]["_target_"], "provides")
    if provides is None:
        raise NotInSource
    return matching_format(options, accepted(options["loss"], _accepts), provides, _accepts)


def _accepts(options: Mapping[str, Any], key: str) -> "Formats | None":
    return attribute(options.get("_target_"), "accepts")


def matching_format(
    options: Mapping[str, Any], accepts: "Formats | None", provides: "Formats", read: "Accepts"
) -> "TargetFormat | None":
    """Return the first format that a task provides and a loss accepts; see :func:`require_fit`.

    Args:
        options: resolved config.
        accepts: formats that its loss accepts.
        provides: formats that its task provides.
        read: returns what other losses accept, which an error names.
    """
    if accepts is None:
        return None
    for target_format in provides:
        if target_format in accepts:
            return target_format
    chosen = options["choices"]
    names = [each[5:] for each in options.get("overrides", ()) if each.startswith("loss=")]
    loss_name = names[-1] if names else chosen["loss"]  # the latter may be a label
    task = groups.task_of_other_kind(loss_name, chosen["data"], chosen["task"])
    advice = f"If the targets suit it, add task={task}. " if task else ""
    raise UserError(
        f"loss={chosen['loss']} accepts {listed(accepts)}, but task={chosen['task']} provides "
        f"{listed(provides)}. {advice}Losses that fit: {fitting(provides, read)}"
    )


def accepted(options: Mapping[str, Any], read: "Accepts", key: str = "loss") -> "Formats | None":
    """Return the target formats that a loss, or the components of a sum, declare.

    Args:
        options: options of the loss.
        read: returns what a loss declares itself, as sums of any losses do not.
        key: key of the loss.

    Raises:
        UserError: if the components have none in common.
    """
    own = read(options, key)
    if own is not None or "of" not in options:
        return own
    components = {
        str(name): accepted(each["loss"], read, f"{key}.of.{name}")
        for name, each in options["of"].items()
    }
    try:
        common: Formats | None = _formats().common_formats(components)
    except ValueError as error:
        raise UserError(f"{key}: {error}") from error
    return common


def fitting(provides: "Formats", read: "Accepts") -> str:
    """Name the losses in conf/ that accept one of the target formats."""
    found = []
    for name in groups.names("loss"):
        try:
            accepts = read(groups.node("loss", name), f"loss={name}")
        except UserError:  # another loss of the user, which is invalid
            continue
        if set(accepts or ()) & set(provides):
            found.append(name)
    return ", ".join(found)


def listed(target_formats: "Formats") -> str:
    """Write formats as in a message."""
    return " or ".join(target_format.value for target_format in target_formats)


def _formats() -> Any:
    """Import the module of the formats without its package, which imports torch."""
    if FORMATS not in sys.modules:
        spec: Any = spec_from_file_location(FORMATS, file_of(FORMATS))
        sys.modules[FORMATS] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[FORMATS])
    return sys.modules[FORMATS]


# --- source ---------------------------------------------------------------------------------------


@functools.cache
def attribute(path: str, name: str) -> tuple[Any, ...] | None:
    """Return the values that are an attribute of a class; ``None`` if it has no such attribute.

    Args:
        path: dotted path of the class, as in ``_target_``.
        name: name of the attribute.

    Raises:
        NotInSource: if the source does not say so plainly.

    Example:
        >>> [each.value for each in attribute("losslab.losses.MSELoss", "accepts")]
        ['values']
        >>> attribute("torch.nn.MSELoss", "accepts") is None
        True
    """
    if str(path).partition(".")[0] == "torch":
        return None
    module, found = definition(str(path))
    if not isinstance(found, ast.ClassDef):
        raise NotInSource
    for statement in found.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=given)], value=value) if given == name:
                return _evaluated(value, module)
            case ast.AnnAssign(target=ast.Name(id=given), value=ast.expr() as value) if (
                given == name
            ):
                return _evaluated(value, module)
            case ast.FunctionDef(name=given) if given == name:
                raise NotInSource
    bases = [attribute(dotted(base, module), name) for base in found.bases]
    return next((each for each in bases if each is not None), None)


def _evaluated(value: ast.expr, module: str) -> tuple[Any, ...]:
    """Evaluate an expression of formats or texts: one, a tuple, of tuples too, or a name of it."""
    match value:
        case ast.Constant(value=str() as name):
            return (name,)
        case ast.Attribute(value=ast.Name(id="TargetFormat"), attr=name):
            return (_formats().TargetFormat[name],)
        case ast.Tuple(elts=parts):
            return tuple(each for part in parts for each in _evaluated(part, module))
        case ast.Starred(value=part):
            return _evaluated(part, module)
        case ast.Name(id=name) if isinstance(known := names_in(module).get(name), ast.expr):
            return _evaluated(known, module)
    raise NotInSource
