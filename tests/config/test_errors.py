"""Errors name the user's line, not one of losslab or of what it is built on."""

from pathlib import Path

import pytest

from losslab.config import errors


@pytest.mark.parametrize("folder", ["/opt/site-packages", "/opt/target", "/home/me/src"])
@pytest.mark.parametrize("module", ["hydra._internal.instantiate", "torch.nn", "losslab.data"])
def test_frameworks_are_passed_over_wherever_they_are_installed(module, folder):
    framework = {"__name__": module}
    path = f"{folder}/{module.replace('.', '/')}.py"
    exec(compile("def fail():\n    raise ValueError('no')", path, "exec"), framework)
    with pytest.raises(ValueError, match="no") as caught:
        framework["fail"]()
    assert errors.raised_at(caught.value).startswith(f"{errors.shown(Path(__file__))}:")


def test_another_library_is_named_if_no_line_is_the_users():
    library = {"__name__": "sklearn.base"}
    path = "/opt/site-packages/sklearn/base.py"
    exec(compile("def fail():\n    raise ValueError('no')", path, "exec"), library)
    with pytest.raises(ValueError, match="no") as caught:
        library["fail"]()
    caught.value.__traceback__ = caught.value.__traceback__.tb_next  # without this file
    assert errors.raised_at(caught.value) == "sklearn/base.py:2"
