"""Hydra composes no config of which everything is known already."""

import hydra
import pytest
from omegaconf import OmegaConf

from losslab.config import compose as compose_module
from losslab.config.compose import compose, defaults_of, launcher_of
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
    "given",
    [
        [],
        ["model=mlp", "threads=2", "label=own", "test=false"],
        ["optimizer.lr=0.125"],  # whose type is compared with that of the default
    ],
)
def test_a_sweep_composes_each_loss_and_its_launcher_once(compositions, given):
    seeds = range(1000, 1003)  # no other test has composed these
    jobs = [[f"loss={loss}", *given, f"seed={k}"] for loss in ("mae", "huber") for k in seeds]
    compose_jobs(jobs)
    assert launcher_of(jobs[0])[0] == "lockstep"
    assert len(compositions) == 2


@pytest.mark.parametrize("given", ["threads=0", "label=[1]", "test=1", "tags=3", "++seed=x"])
def test_their_values_are_checked_all_the_same(given):
    with pytest.raises(UserError, match="must be"):
        compose_jobs([["loss=mae", given]])


@pytest.fixture
def own_configs(tmp_path, monkeypatch):
    """Return a file of a user's loss in a folder of configs that is in use."""
    file = tmp_path / "loss" / "own.yaml"
    file.parent.mkdir()
    file.write_text("_target_: torch.nn.L1Loss\n")
    monkeypatch.setenv("LOSSLAB_CONFIG_DIRS", str(tmp_path))
    return file


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["model=mlp", "model.hidden=[3,4]", "seed=7", "label='two words'"],
        ["loss=sum", "++loss.of.bce=1", "++loss.of.dice={weight: 2}", "data=segmentation"],
        ["data.n=${seed}", "seed=50", "data.val_fraction=${data.test_fraction}"],
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "threads=1", "~data.seed"],
        ["hydra/launcher=lockstep", "hydra.launcher.max_jobs=2", "loss=mae"],
        ["+trainer.num_nodes=1", "+within.mae=0.5", "tags=[a,b]"],
        ["hydra.job.config.override_dirname.item_sep=+", "data.n=100"],
        ["trainer={max_epochs: 2}", "data.n=100"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("folder", ["shipped", "own"])
def test_values_are_set_as_hydra_sets_them(given, folder, request):
    if folder == "own":
        request.getfixturevalue("own_configs")
    given = ["data=regression", *given]
    config = compose(given)
    expected = compose_module._hydra_compose(given)
    compose_module.compound.expand(expected)
    assert OmegaConf.to_yaml(config) == OmegaConf.to_yaml(expected)
    assert OmegaConf.is_struct(config)


def test_names_of_folders_are_those_that_a_file_asks_for(own_configs):
    experiment = own_configs.parent.parent / "experiment" / "mine.yaml"
    experiment.parent.mkdir()
    name = "{kv_sep: '-', exclude_keys: [seed]}"
    experiment.write_text(
        f"# @package _global_\nhydra:\n  job:\n    config:\n      override_dirname: {name}\n"
    )
    config = compose(["experiment=mine", "loss=mae", "seed=4"])
    assert config.hydra.job.override_dirname == "experiment-mine,loss-mae"


def test_a_changed_file_is_read_again(own_configs):
    given = ["loss=own", "data=regression", "seed=3"]
    assert compose(given).loss == {"_target_": "torch.nn.L1Loss"}
    own_configs.write_text("_target_: torch.nn.MSELoss\n")
    assert compose(given).loss == {"_target_": "torch.nn.MSELoss"}


def test_times_are_not_those_of_an_earlier_config():
    before = defaults_of(["loss=mae"]).hydra.sweep.dir
    assert compose(["loss=mae"]).hydra.sweep.dir != before
