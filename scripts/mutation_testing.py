"""Change the code in small ways, and show the changes that its tests do not notice.

python scripts/mutation_testing.py --minutes 25 --seed 0 [MODULE ...]

A mutant is a module with one change: another operator, number, word, condition or function, or a
call left out. Each is tested by the quick tests of its module (``TESTS``), in a fork of this
process, which has imported what takes long to import. Modules take turns until the time is over.
A mutant that survives has no effect that can be observed, or shows that a test is missing.
"""

import argparse
import ast
import copy
import doctest
import importlib
import itertools
import math
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SLOW_IMPORTS = (
    *("torch", "torchmetrics", "pytorch_lightning", "torchvision", "scipy.stats", "scipy.optimize"),
    *("sklearn.metrics", "pandas", "matplotlib.pyplot", "hypothesis", "hydra", "pytest"),
)
MEMORY = 8 * 2**30
"""Bytes of data that the tests of a mutant may use."""

TESTS = {
    "losses.functional.adversarial": "losses/test_adversarial.py",
    "losses.functional.boxes": "losses/test_boxes.py",
    "losses.functional.classification": "losses/test_classification.py losses/test_fused.py",
    "losses.functional.fused": "losses/test_fused.py",
    "losses.functional.information": "losses/test_information.py losses/test_regularization.py",
    "losses.functional.metric": "losses/test_metric.py",
    "losses.functional.points": "losses/test_points.py",
    "losses.functional.ranking": "losses/test_ranking.py",
    "losses.functional.regression": (
        "losses/test_regression.py losses/test_reconstruction.py losses/test_fused.py"
    ),
    "losses.functional.reinforcement": "losses/test_reinforcement.py",
    "losses.functional.segmentation": "losses/test_segmentation.py losses/test_fused.py",
    "losses.functional.sequence": "losses/test_sequence.py",
    "losses.functional.transport": "losses/test_points.py",
    "tasks.assignment": "tasks/test_assignment.py",
    "analysis.statistics": "analysis/test_statistics.py analysis/test_subsets.py",
    "analysis.subsets": "analysis/test_subsets.py",
    "analysis.conclusions": "analysis/test_conclusions.py analysis/test_looks.py",
    "analysis.answer": "analysis/test_answer.py",
    "data.splits": "data/test_splits.py data/test_test_split.py",
    "lockstep.optimizers": "lockstep/test_optimizers.py",
    "lockstep.memory": "lockstep/test_memory.py",
}
"""Tests of each module, beside its examples. What they miss, the conformance suite may notice."""

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.USub: ast.UAdd},
}
NAMES = {
    "min": "max",
    "any": "all",
    "amin": "amax",
    "floor": "ceil",
    "log": "log1p",
    "exp": "expm1",
}
NAMES |= {new: old for old, new in NAMES.items()}


@dataclass(frozen=True)
class Change:
    """One change of a module.

    Attributes:
        place: place of the changed node among the nodes of the syntax tree.
        new: the node instead of it.
    """

    place: int
    new: ast.AST


def changes(tree: ast.Module) -> list[Change]:
    """Return all changes of a module but those of annotations, docstrings and error messages."""
    left_out = {id(node) for node in _left_out(tree)}
    return [
        Change(place, new)
        for place, node in enumerate(ast.walk(tree))
        if id(node) not in left_out
        for new in _instead_of(node)
    ]


def _left_out(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = [
            getattr(node, "annotation", None),
            getattr(node, "returns", None),
            getattr(node, "format_spec", None),
            *getattr(node, "decorator_list", []),
        ]
        if isinstance(node, ast.Raise) or _is_text(getattr(node, "value", None), node):
            parts.append(node)
        for part in filter(None, parts):
            yield from ast.walk(part)


def _is_text(value: object, statement: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)


def _instead_of(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that a node is changed to."""
    match node:
        case ast.Constant(value=str() | int() | float() as value):
            yield ast.Constant(_other(value))
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Compare(ops=[operator, *others]):
            yield _with(node, ops=[OPERATORS[type(operator)](), *others])
        case ast.BinOp() | ast.BoolOp() | ast.UnaryOp() | ast.AugAssign():
            if type(node.op) in OPERATORS:
                yield _with(node, op=OPERATORS[type(node.op)]())
        case ast.Name() if node.id in NAMES:
            yield _with(node, id=NAMES[node.id])
        case ast.Attribute() if node.attr in NAMES:
            yield _with(node, attr=NAMES[node.attr])
        case (
            ast.If(test=ast.Name() | ast.Attribute() | ast.Call())
            | ast.IfExp(test=ast.Name() | ast.Attribute() | ast.Call())
        ):
            yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    changed.__dict__.update(fields)
    return changed


def _other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    return f"{value}XX" if isinstance(value, str) else value + 1  # type: ignore[operator]


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def mutant(source: str, change: Change) -> tuple[ast.Module, str]:
    """Return the changed module and its difference from the source, in one line."""
    tree = ast.parse(source)
    old: Any = list(ast.walk(tree))[change.place]
    line = source.splitlines()[old.lineno - 1].strip()
    changed = ast.fix_missing_locations(_Replace(old, change.new).visit(tree))
    return changed, f"{old.lineno}: {line}: {_short(old)} -> {_short(change.new)}"


def _short(node: ast.AST) -> str:
    return " ".join(ast.unparse(ast.fix_missing_locations(node)).split())[:70]


# --- running tests --------------------------------------------------------------------------------


def survives(module: str, tree: ast.Module | None, seconds: float) -> bool:
    """Run the tests of a module in a child process that may use so many seconds of CPU time.

    Args:
        module: name of the module.
        tree: the changed module; ``None`` for the module as it is.
        seconds: limit.
    """
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os._exit(_run_tests(module, tree))
    return os.waitpid(child, 0)[1] == 0


def _run_tests(module: str, tree: ast.Module | None) -> int:
    import hypothesis  # noqa: PLC0415 (see SLOW_IMPORTS)
    import pytest  # noqa: PLC0415

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    # the same examples for each mutant, and none kept
    hypothesis.settings.register_profile("mutant", derandomize=True, database=None)
    hypothesis.settings.load_profile("mutant")
    if tree is not None:
        _load_instead(f"losslab.{module}", compile(tree, module, "exec"))
    changed = importlib.import_module(f"losslab.{module}")
    if doctest.testmod(changed, optionflags=doctest.ELLIPSIS).failed:
        return 1
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
    tests = [str(ROOT / "tests" / test) for test in TESTS[module].split()]
    return int(pytest.main([*options, "--timeout=120", *tests]))


def _load_instead(name: str, code: object) -> None:
    """Let a module that is not imported yet have this code."""
    found = SourceFileLoader.get_code
    SourceFileLoader.get_code = (  # type: ignore[method-assign, assignment]
        lambda self, fullname: code if fullname == name else found(self, fullname)
    )


# --- the report -----------------------------------------------------------------------------------


def sampled(modules: Sequence[str], seed: int) -> Iterator[tuple[str, Change]]:
    """Yield changes in random order, of each module in turn."""
    rng = random.Random(seed)
    drawn = []
    for module in modules:
        found = changes(ast.parse(source_of(module)))
        drawn.append([(module, change) for change in rng.sample(found, len(found))])
    for turn in itertools.zip_longest(*drawn):
        yield from filter(None, turn)


def source_of(module: str) -> str:
    """Return the source of a module."""
    return (ROOT / "src" / "losslab" / f"{module.replace('.', '/')}.py").read_text()


def timed(module: str) -> float:
    """Run the tests of a module as it is, and return the CPU time that they take."""
    before = os.times()
    if not survives(module, None, 600):
        sys.exit(f"the tests of {module} must pass before it is changed, but they fail")
    after = os.times()
    spent = after.children_user + after.children_system
    return spent - before.children_user - before.children_system


def main() -> None:
    """Test a sample of mutants for some minutes, and print those that survive."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--minutes", type=float, default=25, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the sample; default: %(default)s")
    arguments = parser.parse_args()
    modules = arguments.modules or list(TESTS)
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    sys.path.insert(0, str(ROOT / "src"))
    until = time.monotonic() + 60 * arguments.minutes
    tried, survived = Counter[str](), Counter[str]()
    seconds: dict[str, float] = {}
    for module, change in sampled(modules, arguments.seed):
        if time.monotonic() > until:
            break
        if module not in seconds:
            seconds[module] = timed(module)
        tree, text = mutant(source_of(module), change)
        tried[module] += 1
        if survives(module, tree, 3 * seconds[module] + 5):
            survived[module] += 1
            print(f"{module}:{text}", flush=True)
    for module in modules:
        print(f"{module}: {survived[module]} of {tried[module]} survived")
    print(f"in total: {survived.total()} of {tried.total()} survived")


if __name__ == "__main__":
    main()
