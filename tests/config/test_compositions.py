"""Hydra composes no config of which everything is known already."""

import hydra
import pytest

from losslab.config import compose as compose_module
from losslab.config.compose import launcher_of
from losslab.config.errors import UserError
from losslab.config.jobs import compose_jobs


@pytest.fixture
def compositions(monkeypatch):
    """Return the overrides of each config that Hydra has composed."""
    found, compose = [], hydra.compose

    def counted(name, overrides, **options):
        found.append(overrides)
        return compose(name, overrides, **options)

    compose_module._defaults.cache_clear()  # which other tests may have filled
    monkeypatch.setattr("losslab.config.compose.hydra.compose", counted)
    return found


@pytest.mark.parametrize(
    ("given", "times"),
    [
        ([], 1),
        (["model=mlp", "threads=2", "label=own", "test=false"], 1),
        (["optimizer.lr=0.125"], 2),  # whose type is compared with that of the default
    ],
)
def test_a_sweep_composes_each_loss_and_its_launcher_once(compositions, given, times):
    seeds = range(1000, 1003)  # no other test has composed these
    jobs = [[f"loss={loss}", *given, f"seed={k}"] for loss in ("mae", "huber") for k in seeds]
    compose_jobs(jobs)
    assert launcher_of(jobs[0])[0] == "lockstep"
    assert len(compositions) == 2 * times


@pytest.mark.parametrize("given", ["threads=0", "label=[1]", "test=1", "tags=3", "++seed=x"])
def test_their_values_are_checked_all_the_same(given):
    with pytest.raises(UserError, match="must be"):
        compose_jobs([["loss=mae", given]])
