"""Hydra finds the launcher and the sweeper: 1.3 in its namespace, 1.4 by entry points."""

from importlib.metadata import entry_points

import pytest
from hydra.plugins.plugin import Plugin


@pytest.mark.parametrize("name", ["job_sweeper", "lockstep_launcher"])
def test_plugins_are_entry_points(name):
    [found] = [each for each in entry_points(group="hydra.plugins") if each.name == name]
    assert issubclass(found.load(), Plugin)
