r"""MkDocs hooks: pages and navigation that are derived from the repository.

Nothing here names a module of ``src/losslab`` or a page of ``docs/gallery``, so moving, adding or
removing one needs no edit:

- README, CONTRIBUTING, CHANGELOG and CODE_OF_CONDUCT become pages of the site;
- each module of the package gets an API page, each package a list of what it exports;
- pages of ``docs/`` that ``mkdocs.yml`` does not list follow those that it lists;
- formulas become MathML, so that the site needs no script and no network to show them.
"""

import html
import re
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PACKAGE = "losslab"
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
}
ROOT_FILES = {"LICENSE": "LICENSE.txt", "CITATION.cff": "CITATION.cff"}
MOVED = ROOT_PAGES | ROOT_FILES
LINK = re.compile(r"(?<=\]\()([^)#\s]+)")
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_config(config: Any) -> Any:
    """Complete the navigation of ``mkdocs.yml`` with the pages found in the repository."""
    docs = Path(config.docs_dir)
    listed = _pages_in(config.nav)
    for section in config.nav:
        if isinstance(section, dict) and "Guides" in section:
            section["Guides"] += [
                page.name for page in sorted(docs.glob("*.md")) if page.name not in listed
            ]
    gallery = sorted(page.name for page in docs.glob("gallery/*.md") if page.name != "README.md")
    config.nav.append({"Gallery": ["gallery/README.md", *(f"gallery/{page}" for page in gallery)]})
    config.nav.append({"API": _api_nav(_package())})
    config.nav.append({"Project": [page for page in ROOT_PAGES.values() if page != "index.md"]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for source, uri in (ROOT_PAGES | ROOT_FILES).items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, uri, content=_with_links_from_docs(text)))
    for module in _modules(_package()):
        files.append(File.generated(config, _uri(module), content=_api_page(module)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point the links of docs/ to files in the root at their pages of the site."""
    return LINK.sub(lambda match: MOVED.get(match[1].removeprefix("../"), match[1]), markdown)


def on_page_content(html: str, **_: Any) -> str:  # MkDocs passes the content under this name
    """Replace the formulas of a page by MathML."""
    return FORMULA.sub(_mathml, html)


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match["tag"] == "div" else "inline"
    return convert(html.unescape(match["tex"]).strip(), display=display)


def _with_links_from_docs(text: str) -> str:
    """Rewrite the links of a file in the root as they read on a page in ``docs/``."""
    return LINK.sub(lambda match: MOVED.get(match[1], match[1].removeprefix("docs/")), text)


def _pages_in(nav: Any) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    entries = nav.values() if isinstance(nav, dict) else nav
    return set().union(*map(_pages_in, entries))


def _package() -> griffe.Module:
    """Load the package, again for each build, since the sources may have changed."""
    extensions = griffe.load_extensions(str(Path(__file__).with_name("docstrings.py")))
    return griffe.load(
        PACKAGE, search_paths=[ROOT / "src"], extensions=extensions, allow_inspection=False
    )


def _submodules(module: griffe.Module) -> list[griffe.Module]:
    """Return the public modules of a package, packages first."""
    found = [
        member
        for name, member in module.members.items()
        if not member.is_alias and member.is_module and not name.startswith("_")
    ]
    return sorted(found, key=lambda member: (not _is_package(member), member.name))


def _modules(module: griffe.Module) -> list[griffe.Module]:
    below = [found for child in _submodules(module) for found in _modules(child)]
    return [module, *below]


def _is_package(module: griffe.Module) -> bool:
    return module.is_package or module.is_subpackage


def _uri(module: griffe.Module) -> str:
    path = module.path.replace(".", "/")
    return f"api/{path}/index.md" if _is_package(module) else f"api/{path}.md"


def _api_nav(module: griffe.Module) -> list[Any]:
    """Return a package's navigation: its own page, then its packages and modules."""
    entries: list[Any] = [_uri(module)]
    for child in _submodules(module):
        below = _api_nav(child) if _is_package(child) else _uri(child)
        entries.append({child.name: below})
    return entries


def _api_page(module: griffe.Module) -> str:
    """Return the Markdown of a module's page; a package lists its exports and modules."""
    lines = [f"::: {module.path}", "    options:", "      heading_level: 1"]
    if not _is_package(module):
        return "\n".join([*lines, ""])
    # exported names are only listed, since they are documented where they are defined
    own = [name for name, member in module.members.items() if _is_defined_here(name, member)]
    lines.append(f"      members: {own or 'false'}")
    children = _submodules(module)
    exported = [
        module.members[name]
        for name in sorted(map(str, module.exports or []))
        if name in module.members and module.members[name].is_alias
    ]
    if exported:
        lines += ["", f"## Exported by `{module.path}`", ""]
        lines += [_entry(alias.name, alias.target_path, module) for alias in exported]
    if children:
        lines += ["", "## Modules", ""]
        lines += [_entry(child.name, child.path, module) for child in children]
    return "\n".join([*lines, ""])


def _is_defined_here(name: str, member: griffe.Object | griffe.Alias) -> bool:
    return not (member.is_alias or member.is_module or name.startswith("_"))


def _entry(name: str, path: str, module: griffe.Module) -> str:
    """Return a list item with a linked name and the first line of its docstring."""
    package = module.package
    link = f'<autoref identifier="{path}" optional><code>{name}</code></autoref>'
    try:
        docstring = package[path.removeprefix(f"{package.path}.")].docstring
    except (KeyError, griffe.AliasResolutionError):
        docstring = None
    summary = docstring.value.split("\n\n")[0].replace("\n", " ") if docstring else ""
    return f"- {link}" + (f": {summary}" if summary else "")
