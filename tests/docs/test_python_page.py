"""The first example of the guide to Python, and that of README.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(import losslab\n.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_example_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [example] = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    exec(example.replace("seeds=8", "seeds=2"), {})
    assert capsys.readouterr().out.startswith("On arrays, ")
