"""Where measured tables and plots go: a page with markers around each table."""

from pathlib import Path


def put(page: Path, name: str, lines: list[str]) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises:
        ValueError: if the page lacks the markers.
    """
    text = page.read_text()
    first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    if first not in text or last not in text:
        raise ValueError(f"{page} must hold the lines {first.strip()} and {last.strip()}")
    before, rest = text.split(first, 1)
    after = rest.split(last, 1)[1]
    page.write_text(before + first + "\n".join(lines) + "\n" + last + after)
