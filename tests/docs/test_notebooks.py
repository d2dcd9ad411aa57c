"""The notebooks of docs/notebooks run, and print what they show.

After a change that alters it: ``jupyter execute --inplace docs/notebooks/*.ipynb``.
"""

import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))
UNSTABLE = re.compile(r"[-\d.,]+")
"""Numbers: other processors round differently, which training amplifies."""

for package in ("nbclient", "ipykernel"):
    pytest.importorskip(package, reason=f"needs {package}: pip install -e .[dev]")


def outputs(cell):
    """Return the kinds of a cell's outputs and the text that is not numbers."""
    found = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stderr":
            continue  # how long it took
        data = output.get("data", {"text/plain": output.get("text", "")})
        text = data["text/plain"].partition("\n")[0]
        found.append((sorted(data), UNSTABLE.sub("#", text)))
    return found


def kernel(folder):
    """Return the name of a kernel in this environment, which need not have one installed."""
    from ipykernel.kernelspec import write_kernel_spec

    path = folder / "kernels" / "this"
    write_kernel_spec(path)
    return path.name


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_shows(path, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    saved, run = nbformat.read(path, 4), nbformat.read(path, 4)
    NotebookClient(
        run,
        timeout=300,
        kernel_name=kernel(tmp_path),
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    for before, after in zip(saved.cells, run.cells, strict=True):
        assert outputs(after) == outputs(before), before.source
    shown = [kinds for cell in run.cells for kinds, _ in outputs(cell)]
    assert sum("image/png" in kinds for kinds in shown) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_executed_and_names_no_folder_of_its_author(path):
    import nbformat

    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not re.search(r"/home/|/tmp/|/work/", path.read_text())
