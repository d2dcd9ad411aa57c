r"""Griffe extension that turns the docstrings' reStructuredText into Markdown.

The docstrings follow Google's sections with Sphinx's roles and ``.. math::`` blocks, which editors
and ``help()`` show well. The site is written in Markdown, so while Griffe reads the sources:

- ``.. math::`` blocks and ``:math:`` roles become ``\[...\]`` and ``\(...\)``;
- roles such as ``:class:`` become links if they name something in the package, code otherwise;
- an ``Example:`` section becomes ``Examples:``, the name under which Griffe knows doctests.
"""

import re
import textwrap
from typing import Any

import griffe

MATH_BLOCK = re.compile(
    r"^(?P<indent> *)\.\. math::(?P<first>[^\n]*)\n(?P<rest>(?:(?P=indent) +[^\n]*(?:\n|\Z)|\n)*)",
    re.MULTILINE,
)
MATH = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):`([^`]+)`")
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class RestToMarkdown(griffe.Extension):
    """Extension that rewrites the docstrings of a loaded package."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite the docstrings of the package and of everything in it."""
        convert_all(pkg)


def convert_all(scope: griffe.Object) -> None:
    """Rewrite the docstrings of an object and of its members, leaving imported names alone."""
    if scope.docstring:
        scope.docstring.value = to_markdown(scope.docstring.value, scope)
    for member in scope.members.values():
        if not member.is_alias:
            convert_all(member)


def to_markdown(text: str, scope: griffe.Object) -> str:
    """Convert a docstring to Markdown, resolving the names in its roles from ``scope``."""
    text = MATH_BLOCK.sub(_math_block, text + "\n")
    text = MATH.sub(lambda match: rf"\({match[1]}\)", text)
    text = ROLE.sub(lambda match: _link(match[1], scope), text)
    return EXAMPLE.sub(r"\1Examples:", text).rstrip()


def _math_block(match: re.Match[str]) -> str:
    formula = f"{match['first']}\n{textwrap.dedent(match['rest'])}".strip()
    lines = ["\\[", *filter(str.strip, formula.splitlines()), "\\]"]
    return "".join(f"{match['indent']}{line}\n" for line in lines) + "\n"


def _link(role: str, scope: griffe.Object) -> str:
    name = role.removeprefix("~")
    label = name.rpartition(".")[2] if role.startswith("~") else name
    path = _resolve(name, scope)
    if path is None:
        return f"`{label}`"
    # optional: objects without a docstring have no page to link to
    return f'<autoref identifier="{path}" optional><code>{label}</code></autoref>'


def _resolve(name: str, scope: griffe.Object) -> str | None:
    """Return the full path of a name in this package, or ``None``."""
    package = scope.package.path
    if name.startswith(f"{package}."):
        return name
    try:
        path = scope.resolve(name)
    except griffe.NameResolutionError:
        return None
    return path if path.startswith(f"{package}.") else None
