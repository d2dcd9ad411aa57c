"""The examples in the docstrings run, and the losses need nothing but torch."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import losslab.losses

MODULES = [
    module.name for module in pkgutil.walk_packages(losslab.losses.__path__, "losslab.losses.")
]
PUBLIC = [
    name
    for name in losslab.losses.__all__
    if inspect.isclass(getattr(losslab.losses, name)) and name.endswith(("Loss", "Regularizer"))
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"Loss", "Regularizer"}))
def test_every_public_class_has_an_example(name):
    assert ">>> " in inspect.getdoc(getattr(losslab.losses, name))
