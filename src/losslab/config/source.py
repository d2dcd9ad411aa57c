"""Definitions in the source of losslab and its frameworks, found without importing them.

To import torch takes seconds. What a class declares, and which options its constructor has, stands
in its file; a name is followed from there through the files that import it.
"""

import ast
import functools
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path

from losslab.config.errors import FRAMEWORKS

PACKAGE = Path(__file__).parents[1]

Definition = ast.ClassDef | ast.FunctionDef | ast.expr


class NotInSource(Exception):  # noqa: N818 (an expected outcome, not a fault)
    """Raised if only the imported object says it."""


def definition(path: str) -> tuple[str, Definition]:
    """Find the class, function or value with a dotted path, as in ``_target_``.

    Returns:
        The module that defines it, and the definition.

    Raises:
        NotInSource: if it is not plainly in the source of losslab or of its frameworks.

    Example:
        >>> definition("torch.optim.Adam")[0]
        'torch.optim.adam'
    """
    for _ in range(MOST_IMPORTS):
        module, _, name = path.rpartition(".")
        found = names_in(module).get(name)
        if found is None:
            raise NotInSource
        if not isinstance(found, str):
            return module, found
        path = found
    raise NotInSource


MOST_IMPORTS = 10
"""Most files through which a name is followed; more would be files that import each other."""


def dotted(node: ast.expr, module: str) -> str:
    """Return the path of what a name in a module stands for, such as a base class.

    Raises:
        NotInSource: if it is no name.
    """
    match node:
        case ast.Name(id=name):
            found = names_in(module).get(name)
            return found if isinstance(found, str) else f"{module}.{name}"
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value, module)}.{name}"
    raise NotInSource


@functools.cache
def names_in(module: str) -> dict[str, Definition | str]:
    """Return the classes, functions, values and imported names of a module; the last as paths.

    Raises:
        NotInSource: if it is not one of losslab or its frameworks, or cannot be read.
    """
    path = file_of(module)
    try:
        statements = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError) as error:
        raise NotInSource from error
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: dict[str, Definition | str] = {}
    for statement in statements:
        match statement:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found[name] = statement
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
            case ast.ImportFrom(module=source, names=given, level=level):
                base = resolve_name("." * level + (source or ""), package)
                found |= {each.asname or each.name: f"{base}.{each.name}" for each in given}
            case ast.Import(names=given):
                found |= {each.asname or each.name: each.name for each in given}
    return found


def file_of(module: str) -> Path:
    """Return the file of a module of losslab or of its frameworks.

    Raises:
        NotInSource: if it is not one.
    """
    top, *parts = module.split(".")
    if top not in FRAMEWORKS:
        raise NotInSource
    path = _folder(top).joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _folder(top: str) -> Path:
    """Return the folder of a package, which is not imported.

    Raises:
        NotInSource: if it is not installed.
    """
    if top == "losslab":
        return PACKAGE
    spec = PathFinder.find_spec(top)
    if spec is None or spec.origin is None:
        raise NotInSource
    return Path(spec.origin).parent
