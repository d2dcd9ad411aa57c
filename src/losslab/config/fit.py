"""Check that the components of a config fit each other, before the import of torch.

What is known of losslab's own components stands in :mod:`losslab.config.specs`, and what a loss
declares in its class. Components of the user are built and tried on a batch.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from losslab.config import declared, groups
from losslab.config.errors import UserError
from losslab.config.signatures import signature_of
from losslab.config.source import NotInSource
from losslab.config.specs import (
    DATA,
    MAPS,
    MODELS,
    SCORES,
    SEGMENTS,
    TASKS,
    VECTOR,
    DataSpec,
    ModelSpec,
    Shape,
    TaskSpec,
    require_shape,
    require_targets,
)
from losslab.config.values import is_ours


def require_fit(options: Mapping[str, Any]) -> None:
    """Check that task, data and network fit each other, as far as it is known from their rows.

    Args:
        options: resolved config.

    Raises:
        UserError: if they do not; what the error says is what their own checks would say.
    """
    chosen = options["choices"]
    data, task, model = data_of(options), task_of(options), model_of(options["model"])
    name = f"model={chosen['model']}"
    with _errors_of("task"):
        if task is not None and data.targets is not None:
            require_targets(task, data.targets)
        if task is not None and data.shape is not None:
            require_shape(f"task={task.name}", task.shape, data.shape.axes)
    with _errors_of(name):
        if model is not None and data.shape is not None:
            title = model.title.format(**options["model"])
            require_shape(title, model.shape, data.shape.axes, model.advice)
    with suppress(NotInSource):  # a module of the user is asked when it is built
        require_supported(options, signature_of(options["task"]["module"]["_target_"]).parameters)
    if task is None or (data.targets is None and task.targets):
        return  # the targets may ask for another task
    if model is not None and not _returns(model, task, data.targets):
        fitting = ", ".join(_fitting(task, data.shape))
        raise UserError(
            f"{name} returns {model.returns}, but task={chosen['task']} needs {task.returns[0]}"
            f"{fitting and f'. Models that fit: {fitting}'}"
        )


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Name the component whose check fails."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def _returns(model: ModelSpec, task: TaskSpec, targets: str | None) -> bool:
    """Return whether a network returns what a task needs for targets of a kind."""
    # numbers of a sample are scores of its items, unless items have grades of their own
    alike = {model.returns, *task.returns} <= {VECTOR, SCORES} and targets != "relevance"
    return alike or model.returns in task.returns


def _fitting(task: TaskSpec, shape: Shape | None) -> list[str]:
    """Return the networks in conf/ that return what a task needs, from samples of a shape."""
    found = []
    for name in groups.names("model"):
        model = model_of(groups.node("model", name))
        if model is None or model.returns != task.returns[0]:
            continue
        if None in (shape, model.shape) or shape == model.shape:
            found.append(name)
    return found


def data_of(options: Mapping[str, Any]) -> DataSpec:
    """Return what is known of the data of a config."""
    row = _row(options["data"], DATA)
    try:
        return DataSpec() if row is None else row(options["data"])
    except KeyError:  # its class was typed without an option that says it
        return DataSpec()


def task_of(options: Mapping[str, Any]) -> TaskSpec | None:
    """Return what the task of a config needs; ``None`` for one of the user."""
    task: TaskSpec | None = _row(options["task"]["definition"], TASKS)
    return task


def model_of(node: Mapping[str, Any]) -> ModelSpec | None:
    """Return what a network takes and returns; ``None`` for one of the user."""
    model: ModelSpec | None = _row(node, MODELS)
    if model is not None and str(node.get("name")).startswith(SEGMENTS):
        return ModelSpec(model.title, MAPS, model.shape, model.advice)
    return model


def _row(node: Mapping[str, Any], rows: Mapping[str, Any]) -> Any:
    """Return the row of a node's target; ``None`` for a class of the user, whatever its name."""
    target = str(node.get("_target_"))
    return rows.get(target.rpartition(".")[2]) if is_ours(target) else None


# --- what a task supports -------------------------------------------------------------------------


def require_supported(options: Mapping[str, Any], taken: Collection[str]) -> None:
    """Check that the module of a task takes what a config chooses besides loss and network.

    Args:
        options: resolved config.
        taken: names of the arguments that the module takes.

    Raises:
        UserError: if it does not.
    """
    needed = {
        "a regularizer": ("regularizer", "_target_" in (options["regularizer"] or ())),
        "a scheduler": ("scheduler", "_target_" in (options["scheduler"] or ())),
        "optimizer.layer_decay": (
            "layer_decay",
            options["optimizer"].get("layer_decay") is not None,
        ),
        "model.freeze": ("layer_decay", options["model"].get("freeze") is not None),
    }
    for what, (name, is_needed) in needed.items():
        if is_needed and name not in taken:
            raise UserError(f"task={options['choices']['task']} does not support {what}")


# --- class weights --------------------------------------------------------------------------------


def require_class_weights(options: Mapping[str, Any]) -> None:
    """Check that lists of class weights are as long as there are classes, where that is known.

    Args:
        options: resolved config.

    Raises:
        UserError: if one is not.
    """
    task, classes = task_of(options), data_of(options).classes
    if task is None or classes is None:
        return
    # two classes of pixels are one mask, whose losses read alpha and weight in another way
    if task.name == "classification" or (task.name == "segmentation" and classes != 2):
        _require_lengths("loss", options["loss"], classes)


def _require_lengths(key: str, node: Mapping[str, Any], classes: int) -> None:
    for name, component in (node.get("of") or {}).items():
        _require_lengths(f"{key}.of.{name}.loss", component["loss"], classes)
    expected = f"must hold one number per class, {classes} in total"
    for option, alone in _class_options(str(node.get("_target_"))).items():
        given = node.get(option)
        if isinstance(given, int | float) and not alone:
            raise UserError(
                f"{key}.{option} {expected}, for class indices; one number alone is the weight of "
                "the positive class of binary targets"
            )
        fewest = classes - (node.get("include_background") is False)
        counts = [1] if option == "pos_weight" else []  # for all classes alike
        if isinstance(given, list | tuple) and len(given) not in (*counts, fewest, classes):
            raise UserError(f"{key}.{option} {expected}, got {len(given)}")


def _class_options(target: str) -> dict[str, bool]:
    """Return the options of a loss with one number per class, and whether one for all will do."""
    with suppress(NotInSource):
        several = declared.attribute(target, "per_class") or ()
        only = declared.attribute(target, "per_class_only") or ()
        return {str(name): name not in only for name in (*several, *only)}
    return {}
