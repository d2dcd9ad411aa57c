"""Instantiation of config nodes; the only module that calls Hydra's ``instantiate``."""

import importlib
import inspect
import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from losslab.config import groups, schema, secrets
from losslab.config.errors import FRAMEWORKS, UserError, described, is_own, raised_at, shown
from losslab.config.extras import is_installed, not_installed
from losslab.config.user_code import SAVED_CODE, config_dirs

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
    options = _options(node, name)
    target = target_of(options, name)
    for nested in schema.targets(options):
        target_of({"_target_": nested}, name)
    given = {key: value for key, value in {**options, **kwargs}.items() if key[:1] != "_"}
    called: dict[str, Any] = {}
    if _TAKES_WHITELIST:  # Hydra may call nothing else
        called[_WHITELIST] = sorted(
            {name for target in schema.targets(options) for name in (target, _defined_as(target))}
        )
    try:
        if options.get("_partial_"):
            return instantiate(options, *args, **kwargs, **called)
        # Hydra would make a config of a dataclass among the arguments, such as an inverse link
        return instantiate(options, **called, _partial_=True)(*args, **kwargs)
    except Exception as error:  # Hydra 1.3 wraps the target's error, 1.4 does not
        refusal = "" if "_args_" in options else refused_options(target, args, given, name)
        raise UserError(f"{name}: {refusal or _cause(error)}") from error


def _options(node: Any, name: str) -> Any:
    """Return the options of a node as plain values.

    Raises:
        UserError: if an environment variable is not set, or if a secret was not saved.
    """
    if not isinstance(node, DictConfig):
        return node
    try:
        options: Any = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{name}: {str(error).splitlines()[0]}") from error
    for key, value in schema.flat(options):
        if value == secrets.MASK:
            option = f"{name.partition('=')[0]}.{key}"
            raise UserError(
                f"{option} is a secret, which is not saved: type it again, or "
                f"'{option}=${{oc.env:NAME}}', which is saved as it is written"
            )
    return options


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
        UserError: if it cannot be imported, or cannot be called.
    """
    target = node.get("_target_")
    parts = str(target).split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        got = ", ".join(map(str, node)) if target is None else target
        raise UserError(
            f"{name}: expected _target_: MODULE.NAME, such as torch.nn.MSELoss, "
            f"got {got or 'nothing'}"
        )
    try:
        found = _imported(parts)
    except UserError as error:
        raise UserError(f"{name}: cannot import {target}: {error}") from error
    if inspect.ismodule(found):
        raise UserError(f"{name}: {target} is a module: add the name of a class or function in it")
    if not callable(found):
        raise UserError(f"{name}: {target} must be a class or a function, got {found!r:.60}")
    return found


def require_installed(options: Mapping[str, Any]) -> None:
    """Check that the packages exist whose classes and functions a config names.

    Args:
        options: resolved config.

    Raises:
        UserError: if one does not.
    """
    for key, target in schema.flat(options):
        top = str(target).partition(".")[0]
        if not key.endswith("._target_") or top in (*FRAMEWORKS, *sys.modules):
            continue
        if top.isidentifier() and not is_installed(top):
            # named as by what would build it
            name = re.sub(r"(\.of\.[^.]+)\.loss\b", r"\1", key.removesuffix("._target_"))
            name = name.replace("logger.extra.", "logger.")
            target_of({"_target_": target}, re.sub(r"^task\..*", "task", name))


def _imported(parts: Sequence[str]) -> Any:
    """Import an object by the parts of its dotted name.

    Raises:
        UserError: if there is no such object, or if the import of its module fails.
    """
    found: Any = _module(parts[0])
    for number, part in enumerate(parts[1:], 1):
        if hasattr(found, part):
            found = getattr(found, part)
            continue
        path = f"{found.__name__}.{part}"  # of a package, which may have been imported by another
        if not hasattr(found, "__path__") or not is_installed(path):
            raise UserError(_lacks(found, ".".join(parts[:number]), part))
        found = _module(path)
    return found


def _module(path: str) -> Any:
    """Import a module.

    Raises:
        UserError: if it does not exist or raises an error; the message names the line.
    """
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        missing = str(error.name or "").partition(".")[0]
        if path == error.name:
            reason = _not_found(path)
        elif not missing or is_installed(missing):
            reason = described(error)  # a part of a package that is installed
        else:
            reason = f"{_place(error)}{not_installed(missing)}"
        raise UserError(reason) from error
    except SyntaxError as error:
        file = shown(Path(error.filename)) if error.filename else path
        code = f": {error.text.strip()}" if error.text else ""
        reason = f"{file}:{error.lineno}: {type(error).__name__}: {error.msg}{code}"
        raise UserError(reason) from error
    except SystemExit as error:
        raise UserError(
            f"{_place(error)}it exits when it is imported: put what it runs as a script below "
            "if __name__ == '__main__':"
        ) from error
    except Exception as error:  # an import may raise anything
        raise UserError(described(error)) from error


def _not_found(module: str) -> str:
    """Say where a module was looked for, and where it was if a saved run used it."""
    folders = dict.fromkeys([Path.cwd(), *(each.parent for each in config_dirs())])
    where = " or ".join(map(str, folders))
    if module in SAVED_CODE:
        return (
            f"{module} was in {SAVED_CODE[module]} and is no longer there, nor in {where}: "
            f"run the command in the folder in which {module} is now"
        )
    return f"there is no {module}.py in {where}, and {not_installed(module)}"


def _place(error: BaseException) -> str:
    place = raised_at(error)
    return f"{place}: " if place else ""


def _lacks(found: Any, path: str, name: str) -> str:
    """Say that a module or class does not have a name, and what it has."""
    file = Path(getattr(found, "__file__", None) or "")
    own = inspect.ismodule(found) and is_own(file)
    public = [each for each in dir(found) if not each.startswith("_")]
    if own:  # what it defines itself, if anything
        public = [
            each
            for each in public
            if getattr(getattr(found, each), "__module__", None) == found.__name__
        ]
    close = groups.did_you_mean(name, public).rstrip(".")
    text = f"{shown(file) if own else path} has no {name!r}{close}"
    if own and not close:
        text += f"; it has: {', '.join(public) or 'no class or function'}"
    shadowed = Path.cwd() / f"{path}.py"
    if inspect.ismodule(found) and shadowed.is_file() and file.absolute() != shadowed:
        text += f"; {path} is {shown(file)}: give your {path}.py another name"
    return text


def refused_options(
    target: Any, args: Sequence[Any], options: Mapping[str, Any], name: str
) -> str | None:
    """Say which option a class or function does not have or needs; ``None`` if the call fits.

    Args:
        target: the class or function.
        args: positional arguments of the call.
        options: its keyword arguments.
        name: name of the component, such as ``loss`` or ``model=cnn``.
    """
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):  # C functions may have none
        return None
    try:
        signature.bind(*args, **options)
    except TypeError:
        pass
    else:
        return None
    title = getattr(target, "__name__", repr(target))
    if unknown := unknown_option(signature, title, len(args), options):
        return unknown
    has = _by_name(signature, len(args))
    lacking = [each.name for each in has if each.default is each.empty and each.name not in options]
    if lacking:
        group = name.partition("=")[0]
        return f"{title} needs the option {lacking[0]!r}: add ++{group}.{lacking[0]}=..."
    return None


def unknown_option(
    signature: inspect.Signature, title: str, args: int, options: Iterable[str]
) -> str | None:
    """Say which option a class or function does not have; ``None`` if it has all of them.

    Args:
        signature: signature of the class or function.
        title: its name.
        args: number of positional arguments of the call.
        options: names of its keyword arguments.
    """
    names = [each.name for each in _by_name(signature, args)]
    unknown = [each for each in options if each not in names]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    if not unknown or takes_any:
        return None
    close = groups.did_you_mean(unknown[0], names)
    listed = f"It has: {', '.join(names)}" if names else "It has none"
    return f"{title} has no option {unknown[0]!r}{close} {listed}"


def _by_name(signature: inspect.Signature, args: int) -> list[inspect.Parameter]:
    """Return the parameters that a call can give by name, after some positional arguments."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each for each in signature.parameters.values() if each.kind in by_name][args:]


def accepted(function: Any, offered: dict[str, Any]) -> dict[str, Any]:
    """Select the offered arguments that the function takes by name."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in names}


def _cause(error: BaseException) -> str:
    """Describe the innermost error, which the target raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    return described(error).removeprefix("Error locating target ")
