"""Imports run one way, and no layer loads a library that it does not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "losslab"
TORCH = {"torch", "pytorch_lightning", "lightning"}
HYDRA = {"hydra", "omegaconf"}
COMMAND_LINE = {"losslab.cli", "losslab.commands"}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def modules_in(*folders):
    return sorted(
        name for name in MODULES if name.split(".")[1:2] and name.split(".")[1] in folders
    )


def imported(name):
    """Return the modules that the source of a module imports, inside of functions too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    ("folders", "without"),
    [
        (["losses"], {"pytorch_lightning", "lightning"} | HYDRA),
        (["data", "models", "metrics", "tasks"], HYDRA),
        (["config"], TORCH),
        (["runs", "analysis", "report", "engines"], TORCH | {"submitit", "ray"}),
        (["sweep"], TORCH | {"rich.syntax"}),
        (["cli"], TORCH | {"numpy", "scipy", "sklearn", "pandas", "matplotlib", "tensorboard"}),
        (["dictionary"], TORCH | HYDRA),
        ([""], TORCH | HYDRA),
    ],
    ids=lambda value: "-".join(sorted(value)),
)
def test_a_layer_loads_only_what_it_needs(folders, without):
    names = modules_in(*folders) if folders != [""] else ["losslab"]
    assert names
    program = f"import sys, {', '.join(names)}; print(sorted({without} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_run_loads_no_library_that_its_data_and_task_do_not_need(tmp_path):
    program = (
        "import gc, sys\n"
        "from losslab import cli\n"
        "assert cli.run(sys.argv[1:]) == 0\n"
        "unneeded = {'sklearn', 'pandas', 'gymnasium', 'losslab.analysis.comparison'}\n"
        "assert not unneeded & set(sys.modules), unneeded & set(sys.modules)\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 0\n"
    )
    arguments = ["loss=focal", "trainer.max_epochs=1", f"paths.log_dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_torch_is_imported_without_searching_for_garbage():
    program = (
        "import gc, sys\n"
        "from losslab.torch_import import import_torch\n"
        "searches = []\n"
        "gc.callbacks.append(lambda *told: searches.append(told))\n"
        "import_torch()\n"
        "found = len(searches), gc.isenabled(), gc.get_freeze_count() > 0\n"
        "print(found, 'pytorch_lightning' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(0, True, True) True\n"


def test_only_the_command_line_imports_the_command_line():
    library = [name for name in MODULES if name != "losslab.__main__"]
    library = [name for name in library if not name.startswith(tuple(COMMAND_LINE))]
    assert not [name for name in library if imported(name) & COMMAND_LINE]


@pytest.mark.parametrize(
    ("folder", "above"),
    [
        ("losses", ["data", "models", "metrics", "tasks", "modules", "rl", "runs", "training"]),
        ("data", ["losses", "models", "metrics", "tasks", "modules", "rl", "runs", "training"]),
        ("metrics", ["models", "tasks", "modules", "rl", "analysis", "training"]),
        ("runs", ["analysis", "report", "modules", "training", "sweep", "engines"]),
        ("engines", ["lockstep", "modules", "training", "sweep", "resume", "work"]),
        ("analysis", ["report", "gallery", "modules", "training", "sweep"]),
        ("modules", ["lockstep", "analysis", "report", "training", "sweep"]),
    ],
)
def test_imports_run_one_way(folder, above):
    for name in modules_in(folder):
        layers = {
            parts[1]
            for parts in (each.split(".") for each in imported(name))
            if parts[0] == "losslab" and parts[1:]
        }
        assert not layers & set(above), name
