"""The mutants of scripts/mutation_testing.py: which changes are made, one at a time."""

import ast

import pytest

from load_script import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("mutation_testing")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a == b == c", {"x = a != b == c"}),
        ("x = a + b + 1", {"x = a + b - 1", "x = a - b + 1", "x = a + b + 2"}),
        ("x -= y", {"x += y"}),
        ("x = -y", {"x = +y"}),
        ("x = not y", {"x = y"}),
        ("x = a and b", {"x = a or b"}),
        ("x = 'word'", {"x = 'wordXX'"}),
        ("x = True", {"x = False"}),
        ("x = min(a, b).any()", {"x = max(a, b).any()", "x = min(a, b).all()"}),
        ("x = a if b else c", {"x = a if not b else c"}),
        ("check(x)", {"pass"}),
        ("x: Literal['word'] = None", set()),
        ("raise ValueError('word')", set()),
        ("'word'", set()),
        ("x = f'{y:.2f}'", set()),
    ],
)
def test_each_change_is_a_mutant(script, line, expected):
    found = [script.mutant(line, each) for each in script.changes(ast.parse(line))]
    assert sorted(ast.unparse(tree) for tree, _ in found) == sorted(expected)
    assert all(text.startswith(f"1: {line}: ") for _, text in found)


def test_the_modules_and_their_tests_exist(script):
    for module, tests in script.TESTS.items():
        assert script.changes(ast.parse(script.source_of(module)))
        for test in tests.split():
            assert (script.ROOT / "tests" / test).is_file(), test


def test_the_seed_determines_the_sample(script):
    modules = ["data.splits", "analysis.subsets"]
    first, again, other = (
        [(module, change.place) for module, change in script.sampled(modules, seed)]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert sorted(first) == sorted(other)
    assert {module for module, _ in first[:2]} == set(modules)
