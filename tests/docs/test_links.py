"""Links and images of the documentation lead somewhere, in the repository and in the built site."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
IN_ROOT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md")
PAGES = [ROOT / name for name in IN_ROOT] + sorted((ROOT / "docs").rglob("*.md"))
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\)"  # [text](target "title"), ![text](target)
    r"|^\[[^\]]+\]:\s*(\S+)"  # [label]: target
    r"|(?:href|src)=[\"']([^\"']+)[\"']",
    re.MULTILINE,
)


def links(markdown):
    text = CODE.sub("", markdown)
    return [next(filter(None, found)) for found in LINK.findall(text)]


def missing(page, targets):
    """Return the relative targets that do not exist beside the page."""
    parts = [(target, urlsplit(target)) for target in targets]
    return [
        target
        for target, url in parts
        if not url.scheme and not url.netloc and url.path
        if not (page.parent / unquote(url.path)).exists()
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_and_images_exist(page):
    assert missing(page, links(page.read_text(encoding="utf-8"))) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.touch()
    text = """
[itself](page.md#top) [gone](gone.md) ![image](images/gone.png "title")
`[code](ignored.md)` [elsewhere](https://example.org/x) [below](#below)

```markdown
[fenced](ignored.md)
```

[label]: gone_too.md
<img src="gone.svg">
"""
    assert missing(page, links(text)) == ["gone.md", "images/gone.png", "gone_too.md", "gone.svg"]


# --- the built site


class Resources(HTMLParser):
    """Collects what a page links to, and what a browser loads to show it."""

    def __init__(self):
        super().__init__()
        self.links, self.loaded = [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        target = given.get("src") or given.get("href")
        if not target:
            return
        self.links.append(target)
        if "src" in given or given.get("rel") in ("stylesheet", "preload", "modulepreload", "icon"):
            self.loaded.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    needed = ("mkdocs", "material", "mkdocstrings", "griffe", "latex2mathml")
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}; pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    outcome = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return folder


@pytest.fixture(scope="module")
def built_pages(site):
    return {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(built_pages):
    broken = {}
    for path, text in built_pages.items():
        if path.name != "404.html":  # served at any depth, so its links start at the root
            resources = Resources()
            resources.feed(text)
            if found := missing(path, resources.links):
                broken[path.name] = found
    assert broken == {}


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(built_pages):
    for text in built_pages.values():
        resources = Resources()
        resources.feed(text)
        assert [target for target in resources.loaded if urlsplit(target).netloc] == []


@pytest.mark.slow
def test_docstrings_are_markdown_and_formulas_are_mathml(site, built_pages):
    sphinx = re.compile(r":(?:attr|class|data|exc|func|math|meth|mod|obj):|\.\. math::|\\[\[(]")
    left = [
        path.relative_to(site).as_posix()
        for path, text in built_pages.items()
        if sphinx.search(re.sub(r"<(script|code|pre)\b.*?</\1>", "", text, flags=re.DOTALL))
    ]
    assert left == []
    assert any("<math" in text for text in built_pages.values())


@pytest.mark.slow
def test_every_module_has_an_api_page(site):
    source = ROOT / "src" / "losslab"
    for path in source.rglob("*.py"):
        relative = path.relative_to(source.parent).with_suffix("")
        if path.name == "__init__.py":
            assert (site / "api" / relative.parent / "index.html").exists(), path
        elif not path.name.startswith("_"):
            assert (site / "api" / relative).with_suffix(".html").exists(), path
