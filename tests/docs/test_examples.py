"""The examples in the docstrings run, of all modules but the losses, which have their own test."""

import doctest
import importlib
import pkgutil

import pytest

import losslab

MODULES = [
    module.name
    for module in pkgutil.walk_packages(losslab.__path__, "losslab.")
    if not module.name.startswith("losslab.losses") and not module.name.endswith("__main__")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    found = importlib.import_module(module)
    assert doctest.testmod(found, optionflags=doctest.ELLIPSIS).failed == 0
