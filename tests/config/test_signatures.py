"""Signatures that are read from source are those of the installed classes and functions."""

import inspect

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from losslab.config import groups, schema, values
from losslab.config.compose import compose
from losslab.config.errors import UserError
from losslab.config.expansion import complete
from losslab.config.instantiate import build
from losslab.config.jobs import finished_config
from losslab.config.signatures import require_known_options, signature_of
from losslab.config.source import NotInSource


def targets_of_conf():
    """Return what the files of conf/ name, but packages that are no dependencies."""
    for group in schema.GROUPS:
        for name in groups.names(group):
            file = OmegaConf.to_container(OmegaConf.load(groups.file_of(group, name)))
            yield from (each for each in schema.targets(file) if "." in each and each[:4] != "aim.")


TARGETS = sorted(set(targets_of_conf()))


def described(signature):
    """Return the parameters without annotations and values of defaults."""
    kinds = [(each.name, each.kind) for each in signature.parameters.values()]
    required = {each.name for each in signature.parameters.values() if each.default is each.empty}
    return kinds, required


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_and_the_installed_object_have_the_same_parameters(target):
    read, installed = signature_of(target), inspect.signature(get_object(target))
    any_option = [
        each.name for each in installed.parameters.values() if each.kind is each.VAR_KEYWORD
    ]
    if described(read) == described(installed):
        return
    # **options: Unpack[Options], read by their names
    assert any_option
    names = [each for each in installed.parameters if each not in any_option]
    assert list(read.parameters)[: len(names)] == names
    assert len(read.parameters) > len(names)


def test_what_the_source_does_not_say_is_left_to_the_call():
    for target in ("my_module.Net", "torch.nope.Nope", "losslab.models.Nope", "torch.nn.ReLU.x"):
        with pytest.raises(NotInSource):
            signature_of(target)


@pytest.mark.parametrize("target", values.OUR_TARGETS)
def test_every_option_of_the_libraries_has_a_kind_of_values(target):
    group = "scheduler" if "lr_scheduler" in target else "optimizer"
    group = "trainer" if target.endswith("Trainer") else group
    given = ("params", "optimizer")  # not options
    names = [each for each in inspect.signature(get_object(target)).parameters if each not in given]
    assert [each for each in names if values.kind_of(f"{group}.{each}") is None] == []


ADDED = {
    "+data.foo=1": "data: Digits has no option 'foo'",
    "+data.batchsize=1": "did you mean batch_size",
    "+model.hiden=1": "model=cnn: CNN has no option 'hiden': did you mean hidden",
    "+optimizer.epss=1": "optimizer: Adam has no option 'epss': did you mean eps",
    "+trainer.max_epohcs=3": "trainer: Trainer has no option 'max_epohcs': did you mean max_epochs",
    "+callbacks.figures.foo=1": "callbacks.figures: Figures has no option 'foo'",
    "+task.module.foo=1": "task: SupervisedModule has no option 'foo'",
    "+scheduler.foo=1": "unknown key scheduler.foo: scheduler=none has no options",
}


def options_of(*overrides):
    config = compose(complete(["data=digits", *overrides]))
    return OmegaConf.to_container(finished_config(config, config.hydra))


@pytest.mark.parametrize(("override", "words"), ADDED.items(), ids=ADDED)
def test_an_option_that_nothing_has_is_refused(override, words):
    with pytest.raises(UserError) as refused:
        require_known_options(options_of(override))
    assert words in str(refused.value)


def test_the_call_refuses_it_in_the_same_words():
    options = options_of("+optimizer.epss=1", "+model.hiden=1")
    with pytest.raises(UserError) as refused:
        require_known_options({**options, "model": {}})
    node = {
        key: value for key, value in options["optimizer"].items() if key in ("_target_", "epss")
    }
    with pytest.raises(UserError) as called:
        build(OmegaConf.create(node), "optimizer", [])
    assert str(called.value) == str(refused.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["+optimizer.eps=1e-6", "+trainer.min_epochs=1"],
        ["model=resnet18", "+model.zero_init_residual=true"],
        ["data=cartpole", "+data.env_options.gravity=5"],
        ["model._target_=my_module.Net", "+model.anything=1"],
        ["optimizer._target_=my_module.Adam", "+optimizer.anything=1"],
        ["+callbacks.x._target_=my_module.Callback", "+callbacks.x.anything=1"],
        ["loss._target_=torch.nn.functional.cross_entropy", "+loss.reduction=mean"],
    ],
    ids=str,
)
def test_options_that_exist_or_are_the_users_own_are_left_alone(overrides):
    require_known_options(options_of(*overrides))
