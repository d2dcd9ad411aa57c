"""Every file of conf/ composes, and every choice brings its home along."""

import itertools
from pathlib import Path
from unittest.mock import Mock

import pytest
from omegaconf import OmegaConf

import losslab.config.jobs
from losslab.config import groups, overrides
from losslab.config.compose import compose, require_complete
from losslab.config.errors import UserError
from losslab.config.expansion import complete, jobs_of, values_of
from losslab.config.jobs import SharedConfig, compose_jobs, finished_config
from losslab.config.user_code import CONFIG_DIRS

EVERY = [
    (group.name, name)
    for group in sorted(groups.CONF.iterdir())
    if group.is_dir() and group.name not in ("hydra", "paths", "local")
    for name in groups.names(group.name)
]
NEEDS = {
    "data=table": ["data.path=x.csv", "data.target=y"],
    "data=arrays": ["data.path=x.npz"],
    "data=openml": ["data.id=31"],
    "data=huggingface": ["data.name=x", "data.target=y"],
    "data=coco": ["data.path=x"],
    "data=dataset": ["data._target_=my_data.MyDataset"],
    "data=identities": ["data.path=x"],
    "data=image_folder": ["data.path=x"],
    "data=image_masks": ["data.path=x"],
    "data=letor": ["data.path=x"],
    "data=meshes": ["data.path=x"],
    "data=movielens": ["data.path=x"],
    "data=voc": ["data.path=x"],
    "task=multilabel": ["data.path=x.npz"],
    "loss=sum": ["loss.of.mse=1"],
    "loss=uncertainty_sum": ["loss.of.mse=1"],
}
LOSSES = [name for name in groups.names("loss") if f"loss={name}" not in NEEDS]


@pytest.mark.parametrize(("group", "name"), EVERY, ids=str)
def test_every_file_composes_and_resolves(group, name):
    choice = f"{group}={name}"
    shared = SharedConfig([*complete([choice, *NEEDS.get(choice, [])]), "seed=3"])
    assert shared.config.hydra.runtime.choices[group] == name
    OmegaConf.to_container(shared.composed().config, resolve=True, throw_on_missing=True)
    shared.become([*shared.job[:-1], "seed=40"])
    assert shared.composed().config == finished_config(shared.config, shared.config.hydra)


IMAGES = (
    *("digits", "mnist", "fashion_mnist", "cifar10", "svhn", "oxford_pets", "voc_segmentation"),
    *("identities", "image_folder", "image_masks", "huggingface", "dataset"),
)


@pytest.mark.parametrize("name", IMAGES)
def test_images_can_be_augmented(name):
    choice = f"data={name}"
    config = compose(complete([choice, *NEEDS.get(choice, [])]))
    assert (config.data.augment, config.data.num_workers) == (None, "auto")


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_brings_its_home(name):
    config = compose(complete([f"loss={name}"]))
    chosen = config.hydra.runtime.choices
    assert chosen.data == groups.default_data(name)
    assert chosen.task == groups.default_task(name)
    assert config.task.standard_data in groups.names("data")


@pytest.mark.parametrize("name", groups.names("loss"))
def test_a_loss_file_says_what_it_is_for(name):
    first, second = (groups.CONF / "loss" / f"{name}.yaml").read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert f"loss={name}" in first + second


def test_the_command_line_beats_what_a_choice_brings():
    config = compose(["loss=focal", "data=mnist", "model=mlp", "trainer.max_epochs=3"])
    chosen = config.hydra.runtime.choices
    assert (chosen.loss, chosen.data, chosen.model) == ("focal", "mnist", "mlp")
    assert config.trainer.max_epochs == 3


@pytest.mark.parametrize(
    ("given", "loss", "data"),
    [
        ([], "cross_entropy", "digits"),
        (["data=regression"], "mse", "regression"),
        (["task=regression"], "mse", "regression"),
        (["experiment=outliers"], "mse", "regression"),
        (["task=localization", "loss=mse"], "mse", "boxes"),
        (["data=digits,mnist"], "cross_entropy", None),
    ],
)
def test_standard_choices_are_added(given, loss, data):
    completed = complete(given)
    assert f"loss={loss}" in completed
    if data:
        assert compose(completed).hydra.runtime.choices.data == data


def test_losses_of_several_tasks_train_on_the_data_of_the_chosen_one():
    chosen = ["task=localization", "loss=smooth_l1,giou"]
    assert complete(chosen) == [*chosen, "data=boxes"]
    with_data = [*chosen, "data=regression"]
    assert complete(with_data) == with_data


def test_two_cells_never_share_a_folder():
    jobs = jobs_of(["loss=focal", "loss.gamma=0,1,2", "seed=range(3)"])
    folders = {compose(job).hydra.sweep.subdir for job in jobs}
    assert len(folders) == 9


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_at_home_is_checked_and_described(name):
    """What precedes the first step of ``python train.py loss=<name>``."""
    from losslab.training import check

    config = compose(complete([f"loss={name}"]))
    described = str(check(finished_config(config, config.hydra)).data.describe())
    assert "training" in described or "CartPole-v1" in described


def test_cells_composed_together_are_what_each_is_alone():
    given = ["loss=focal,bce", "seed=3,0,11", "data.label_noise=0.1"]
    given += ["hydra.sweep.subdir=${seed}/${hydra.job.override_dirname}"]
    jobs = jobs_of(given)
    jobs += [["loss=bce"], ["loss=bce", "seed=2"], ["seed=5", "loss=bce"], ["loss=bce", "seed=7"]]
    for job, together in zip(jobs, compose_jobs(jobs), strict=True):
        alone = compose(job)
        assert together.config == finished_config(alone, alone.hydra)
        assert together.overrides == tuple(alone.hydra.overrides.task)
        assert together.subdir == alone.hydra.sweep.subdir
        assert together.sweep_dir.parent == Path(alone.hydra.sweep.dir).parent


ALONE = [
    ("loss=focal", "loss.gamma=0.5,2", "optimizer.lr=1e-3,0.01"),
    ("loss=focal", "data.label_noise=${loss.gamma}", "loss.gamma=0.1,0.2"),
    ("loss=focal", "data.batch_size=${seed}"),
    ("loss=focal", "++logger.extra.csv={_target_:a.Csv,name:run-${data.seed}}"),
    ("loss=focal", "trainer.precision=64-true,32-true", "data.seed=5,6"),
    ("loss=focal", "tags=[a,seed]", "label=name"),
    ("loss=sum", "++loss.of.bce=1,2", "++loss.of.dice=${seed}"),
    ("loss=focal", "hydra.job.config.override_dirname.item_sep=+", "loss.gamma=1,2"),
    ("loss=focal", "hydra.sweep.subdir=${loss.gamma}/${data.seed}", "loss.gamma=1,2"),
    ("loss=focal", "++logger.extra.csv={_target_:a.Csv,of:'${data}'}", "data.label_noise=0.1,0.2"),
    ("loss=focal", "+data.augment=[{_target_:a.Crop,size:['${seed}',2]}]"),
    ("loss=focal", "task.epochs=3,4", "trainer.precision=64-true,32-true", "scheduler=cosine"),
    ("loss=focal", "loss._target_=torch.nn.CrossEntropyLoss,losslab.losses.HingeLoss"),
]


@pytest.mark.parametrize("given", ALONE, ids=lambda given: given[1])
def test_whatever_depends_on_the_seed_or_an_option_follows_it(given):
    jobs = jobs_of([*given, "seed=1,9"])
    together, alone = compose_jobs(jobs)[-1], compose(jobs[-1])
    assert together.config == finished_config(alone, alone.hydra)
    assert together.overrides == tuple(alone.hydra.overrides.task)
    assert together.subdir == alone.hydra.sweep.subdir


def test_seeds_and_options_on_which_nothing_depends_are_set_without_another_composition(
    monkeypatch,
):
    jobs = jobs_of(["loss=focal", "loss.gamma=0.5,1,2", "optimizer.lr=0.1,0.2", "seed=range(3)"])
    composed, completed = Mock(wraps=compose), Mock(wraps=require_complete)
    monkeypatch.setattr(losslab.config.jobs, "compose", composed)
    monkeypatch.setattr(losslab.config.jobs, "require_complete", completed)
    options = [job.options for job in compose_jobs(jobs)]
    assert composed.call_count + completed.call_count == 1
    found = [(each["loss"]["gamma"], each["optimizer"]["lr"], each["seed"]) for each in options]
    assert found == list(itertools.product((0.5, 1, 2), (0.1, 0.2), range(3)))
    assert [each["data"]["seed"] for each in options] == [each["seed"] for each in options]


def test_a_value_that_is_wrong_is_refused_although_the_others_of_its_key_are_not():
    jobs = jobs_of(["loss=focal", "loss.gamma=1,-1", "seed=0,1"])
    with pytest.raises(UserError, match="gamma"):
        compose_jobs(jobs)
    jobs = jobs_of(["loss=focal", "data.batch_size=${seed}", "seed=1,0"])
    with pytest.raises(UserError, match="batch_size"):
        compose_jobs(jobs)


def test_shared_options_are_not_choices():
    assert (groups.CONF / "data" / "_split.yaml").is_file()
    assert not [name for name in groups.names("data") if "_split" in name]
    with pytest.raises(UserError, match="unknown data '_split'"):
        complete(["data=_split"])
    assert "data=digits" in groups.options()["data.val_fraction"]
    assert "data=regression" in groups.options()["data.outliers"]


def test_your_own_data_set_includes_shared_options(tmp_path, monkeypatch):
    own = tmp_path / "conf" / "data"
    own.mkdir(parents=True)
    (own / "_mine.yaml").write_text("width: 3\n")
    (own / "blobs.yaml").write_text(
        "# My blobs: losslab data=blobs\n"
        "defaults:\n"
        "  - _mine\n"
        "  - _split\n"
        "  - _label_corruptions\n"
        "  - override /task@_global_.task: classification\n"
        "  - _self_\n"
        "_target_: my_data.Blobs\n"
        "val_fraction: 0.1\n"
    )
    monkeypatch.setenv(CONFIG_DIRS, str(own.parent))
    config = compose(complete(["data=blobs", "data.label_noise=0.2"]))
    assert "blobs" in groups.names("data")
    assert "_mine" not in groups.names("data")
    assert finished_config(config, config.hydra).data == {
        "_target_": "my_data.Blobs",
        "width": 3,
        "seed": 0,
        "split_seed": None,
        "val_fraction": 0.1,
        "test_fraction": 0.2,
        "test_split_seed": None,
        "label_noise": 0.2,
        "imbalance": 1.0,
    }


def test_an_added_target_drops_options_like_a_typed_one():
    given = complete(["data=regression", "++loss._target_=mine.MyLoss", "loss.scale=2"])
    config = compose(given)
    assert finished_config(config, config.hydra).loss == {
        "_target_": "mine.MyLoss",
        "scale": 2,
    }


def test_a_glob_names_choices():
    [override] = overrides.parsed(["loss=glob(*dice*,exclude=bce*)"])
    assert values_of(override) == ["dice"]
