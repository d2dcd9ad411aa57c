"""What is refused before the import of torch is what the components themselves refuse."""

import functools
import re
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from torchvision import models

from losslab import losses
from losslab.components import build_components, ready_data
from losslab.config import declared, fit, groups, specs
from losslab.config.compose import compose
from losslab.config.errors import UserError
from losslab.config.expansion import complete
from losslab.config.instantiate import build
from losslab.config.jobs import finished_config
from losslab.first_batch import try_batch
from losslab.job_checks import require_possible
from losslab.network_building import initial_network
from losslab.passport.calls import CLASS_WEIGHTS

SMALL = {
    "digits": [],
    "digits, flat": ["data.flat=true"],
    "digits, two classes": ["data.positive=[5,6]"],
    "iris": [],
    "wine": [],
    "breast_cancer": [],
    "diabetes": [],
    "regression": ["data.n=60"],
    "channel": ["data.n=200", "data.symbols=2"],
    "ring": ["data.n=200"],
    "segmentation": ["data.n=20"],
    "segmentation, classes": ["data.n=20", "data.classes=3"],
    "boxes": ["data.n=30", "data.classes=3"],
    "digits_retrieval": ["data.copies=1"],
    "synthetic_identities": ["data.identities=20"],
    "digits_captions": ["data.copies=1"],
    "digit_sequences": ["data.rows=60"],
    "pointcloud": ["data.n=30"],
    "ranking": ["data.queries=30"],
    "ratings": ["data.users=60", "data.items=80"],
    "cartpole": [],
}
"""Data that need neither files nor a download, and options that make few of them."""
TASKS = groups.names("task")
OWN = {"mlp", "cnn", "unet", "autoencoder", "pointnet", "scorer", "detector", "factorization"}
NETWORKS = sorted(OWN | {"crnn", "dual_encoder", "gan"})


@functools.cache
def config_of(*overrides):
    composed = compose(complete([*overrides, "trainer=cpu"]))
    return finished_config(composed, composed.hydra)


@functools.cache
def config_of_data(name):
    return config_of(f"data={name.partition(',')[0]}", *SMALL[name])


@functools.cache
def data_of(name):
    return ready_data(config_of_data(name))


def options_of(config, **nodes):
    """Return options as plain values, with other nodes."""
    return OmegaConf.to_container(OmegaConf.merge(config, nodes))


def refusal(check, *args):
    """Return the message with which a check refuses its arguments; ``None`` if it does not."""
    try:
        check(*args)
    except UserError as error:
        return str(error)
    return None


def words(error):
    """Return a message without sizes, which only data that were read have."""
    sizes = r"got samples of shape \([^)]*\)|of at least 6 x 6 pixels"
    return None if error is None else re.sub(sizes, "", error)


@pytest.mark.parametrize(
    ("group", "rows"), [("data", specs.DATA), ("task", specs.TASKS), ("model", specs.MODELS)]
)
def test_every_class_of_conf_has_a_row_and_every_row_a_class(group, rows):
    files = [OmegaConf.load(groups.file_of(group, name)) for name in groups.names(group)]
    nodes = [OmegaConf.to_container(file) for file in files]
    nodes = [node["definition"] if group == "task" else node.get(group, node) for node in nodes]
    targets = {node.get("_target_", "") for node in nodes}  # a choice may build on another
    assert {each.rpartition(".")[2] for each in targets - {"", "???"}} == set(rows)


@pytest.mark.parametrize("name", SMALL)
def test_a_row_of_data_is_what_the_data_are(name):
    data, known = data_of(name), fit.data_of(options_of(config_of_data(name)))
    assert known.targets == data.target_kind
    assert known.shape is None or len(known.shape.axes) == len(data.input_shape)
    if known.classes is not None:
        masks = known.targets == "masks"
        assert data.outputs == (1 if masks and known.classes == 2 else known.classes)
    else:
        assert known.targets != "classes" or name == "synthetic_identities"


def test_torchvisions_networks_for_segmentation_are_told_by_name():
    named = {each for each in models.list_models() if each.startswith(specs.SEGMENTS)}
    assert named == set(models.list_models(module=models.segmentation))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("task", TASKS)
def test_a_task_refuses_the_data_that_are_refused_before_torch(name, task):
    definition = OmegaConf.to_container(groups.node("task", task).definition)
    if task == "generation" and name.partition(",")[0] in ("digits", "channel", "ring"):
        pytest.skip("fits, and trains a network")
    options = options_of(
        config_of_data(name), task={"definition": definition}, choices={"task": task}
    )
    options["model"] = {"_target_": "my.Net"}
    early = words(refusal(fit.require_fit, options))
    later = {  # what only the data that were read tell
        *(("recommendation", "ranking"), ("localization", "boxes"), ("generation", "pointcloud")),
        *(("reconstruction", "cartpole"), ("pointcloud", "cartpole")),
    }
    late = words(refusal(build, OmegaConf.create(definition), "task", data_of(name)))
    assert early == late or (early is None and (task, name) in later)


@pytest.mark.parametrize("name", ["digits", "iris", "pointcloud", "ratings", "digits_captions"])
@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_refuses_the_samples_that_are_refused_before_torch(name, model):
    config = OmegaConf.merge(config_of_data(name), {"choices": {"model": model}})
    config.model = groups.node("model", model)
    options = options_of(config)
    options["task"]["definition"] = {"_target_": "my.Task"}
    early = refusal(fit.require_fit, options)
    if early is None:
        return
    late = refusal(initial_network, config, data_of(name), SimpleNamespace(outputs=3))
    assert late is not None
    if model not in ("factorization", "dual_encoder"):  # which need sizes of the data first
        assert words(late) == words(early)


@functools.cache
def components_of(task):
    """Return config and components of a task with its usual data and network."""
    kind = {"multilabel": "digits", "q_learning": "cartpole", "policy_gradient": "cartpole"}
    name = kind.get(task) or groups.node("task", task).standard_data
    config = config_of(f"task={task}", f"data={name}", *SMALL[name])
    return config, build_components(config)


SUPERVISED = [each for each in TASKS if each not in ("generation", "multilabel")]
SUPERVISED = [each for each in SUPERVISED if each not in ("q_learning", "policy_gradient")]


@pytest.mark.parametrize("task", SUPERVISED)
def test_a_batch_decides_on_networks_as_what_is_known_before_torch(task):
    usual, like = components_of(task)
    decided = {True: 0, False: 0}
    for model in NETWORKS:
        config = OmegaConf.merge(usual, {"choices": {"model": model}})
        every = {k: usual.model[k] for k in ("weights", "freeze", "channels_last")}
        config.model = OmegaConf.merge(groups.node("model", model), every)
        fits = refusal(fit.require_fit, OmegaConf.to_container(config)) is None
        returned = fit.model_of(config.model).returns
        if fits and returned != fit.task_of(config).returns[0]:
            continue  # whether maps are images is known when their number is
        decided[fits] += 1
        tried = refusal(lambda: try_batch(config, build_components(config, like)))  # noqa: B023
        assert (tried is None) == fits, (model, tried)
    assert min(decided.values()) > 0


# --- class weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", groups.names("loss"))
def test_a_loss_declares_which_options_hold_one_number_per_class(name):
    target = str(groups.node("loss", name)._target_)
    several = declared.attribute(target, "per_class") or ()
    only = declared.attribute(target, "per_class_only") or ()
    loss = getattr(losses, target.rpartition(".")[2])
    assert (several, only) == (loss.per_class, loss.per_class_only)
    options = {key for key in groups.options() if f"loss={name}" in groups.options()[key]}
    of_classes = {f"loss.{each}" for each in CLASS_WEIGHTS} & options
    if name == "adversarial_reconstruction":
        of_classes.clear()  # whose weight is that of its discriminator
    assert {f"loss.{each}" for each in (*several, *only)} == of_classes


WEIGHTS = {
    "cross_entropy": "weight",
    "categorical_cross_entropy": "weight",
    "logit_adjusted": "class_counts",
    "bce": "pos_weight",
    "focal": "alpha",
}


@pytest.mark.parametrize(
    ("data", "loss", "option", "given"),
    [
        *(("digits", loss, option, [1.0, 2.0]) for loss, option in WEIGHTS.items()),
        *(("digits", loss, option, [1.0] * 10) for loss, option in WEIGHTS.items()),
        *(("digits", loss, WEIGHTS[loss], [3.0]) for loss in ("bce", "focal", "cross_entropy")),
        ("digits", "focal", "alpha", 0.25),
        ("digits", "cross_entropy", "weight", 2.0),
        ("iris", "cross_entropy", "weight", [1.0] * 10),
        ("digits, two classes", "focal", "alpha", [1.0, 2.0, 3.0]),
        *(("segmentation, classes", loss, "weight", [1.0, 2.0]) for loss in ("dice", "tversky")),
        *(("segmentation, classes", loss, "weight", [1.0] * 3) for loss in ("dice", "tversky")),
        ("segmentation, classes", "cross_entropy", "weight", [1.0, 2.0]),
        ("segmentation, classes", "focal", "alpha", [1.0, 2.0]),
    ],
)
def test_a_batch_refuses_the_weights_that_are_refused_before_torch(data, loss, option, given):
    typed = [f"loss={loss}", f"data={data.partition(',')[0]}", *SMALL[data]]
    config = config_of(*typed, f"++loss.{option}={given}".replace(" ", ""))
    early = refusal(fit.require_class_weights, OmegaConf.to_container(config))
    late = refusal(lambda: try_batch(config, build_components(config)))
    assert (early is None) == (late is None)
    assert early is None or early.removeprefix("loss.") in late


@pytest.mark.parametrize(("background", "refused"), [(True, True), (False, False)])
def test_the_weight_of_a_background_that_is_left_out_may_be_left_out(background, refused):
    typed = ["loss=dice", *SMALL["segmentation, classes"], "loss.weight=[1,2]"]
    config = config_of(*typed, f"loss.include_background={str(background).lower()}")
    early = refusal(fit.require_class_weights, OmegaConf.to_container(config))
    assert (early is not None) == refused


def test_a_component_of_a_sum_is_named():
    typed = ["loss=sum", "loss.of.focal={weight:1,alpha:[1,2]}", "data=digits"]
    config = options_of(config_of(*typed))
    with pytest.raises(UserError, match=r"loss.of.focal.loss.alpha must hold .* got 2"):
        fit.require_class_weights(config)


def test_what_is_the_users_own_is_not_judged():
    options = options_of(config_of("data=segmentation", "data.n=20"), model={})
    options["model"] = OmegaConf.to_container(groups.node("model", "scorer"))
    assert refusal(fit.require_fit, options) is not None
    for own in ("data", "task.definition", "model"):
        node = functools.reduce(lambda each, part: each[part], own.split("."), options)
        node["_target_"] = "my_module." + str(node["_target_"]).rpartition(".")[2]
    assert refusal(fit.require_fit, options) is None


def test_an_object_of_this_process_is_not_taken_for_one_of_losslab():
    """Objects that are given in Python have paths below losslab and names of the user's choice."""
    own = "losslab.given.x1f3a52bc.CNN"
    options = options_of(config_of("data=segmentation", "data.n=20"), model={"_target_": own})
    options["model"]["weights"] = "DEFAULT"  # of a constructor that reads it
    assert fit.model_of(options["model"]) is None
    assert refusal(require_possible, options) is None


def test_several_values_of_a_sample_can_be_ranked():
    options = options_of(config_of("data=diabetes"), choices={"task": "ranking"})
    options["task"]["definition"] = OmegaConf.to_container(
        groups.node("task", "ranking").definition
    )
    assert refusal(fit.require_fit, options) is None
