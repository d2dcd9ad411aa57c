"""Checks of a composed config: values of its keys, and what the keys of a run need together."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.config import groups, schema, values
from losslab.config.errors import UserError
from losslab.config.kinds import text
from losslab.config.overrides import is_choice, parsed, replaces
from losslab.config.secrets import plain
from losslab.metrics.labels import METRICS, is_known, metric
from losslab.metrics.monitors import monitors

_ABSENT = object()


def require_valid(
    config: DictConfig,
    content: Mapping[str, Any],
    overrides: Sequence[str],
    defaults: Callable[[], DictConfig],
) -> None:
    """Check the values of a resolved config, which would fail only later in a run, or not at all.

    Args:
        config: the config, with Hydra's node.
        content: the config without Hydra's node, as plain values.
        overrides: what was typed, which is checked first.
        defaults: returns the config without these options.

    Raises:
        UserError: if a value is invalid; the message names the key, what it takes and what was
            given.
    """
    for override in parsed(overrides):
        key = override.key_or_group
        if key.startswith("hydra.") and values.kind_of(key) is not None:
            _require(values.refusal(key, OmegaConf.select(config, key)))
        elif not is_choice(override) and not override.is_delete():
            _require(_refusal_of_override(override, content, overrides, defaults))
    for key, value in schema.flat(content):
        _require(values.refusal(key, value, users=values.is_users(key, content)))
    _require_components(content)
    _require_tags(content)
    _require_end(content)
    _require_margins(content)
    _require_losses(content)
    _require_metrics(content)
    _require_splits(content)
    _require_momentum(content)


def _refusal_of_override(
    override: Any,
    content: Mapping[str, Any],
    overrides: Sequence[str],
    defaults: Callable[[], DictConfig],
) -> str | None:
    key = override.key_or_group
    value = _selected(content, key)
    if value is _ABSENT or key == "within":
        return None
    default = None
    known = key in schema.TOP_LEVEL and values.kind_of(key) is not None  # such as the seed
    if not known and not override.is_add() and not replaces(key.partition(".")[0], overrides):
        default = OmegaConf.select(defaults(), key)
    if OmegaConf.is_dict(default):
        if isinstance(value, dict):
            return None
        return f"{key} must be options by name, such as {key}.NAME=VALUE, got {text(value)}"
    return values.refusal(key, value, plain(default), users=values.is_users(key, content))


def _selected(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part, _ABSENT) if isinstance(content, Mapping) else _ABSENT
    return content


def require_supported(config: DictConfig) -> None:
    """Check the options of the Trainer that an earlier version or a resumed run set.

    Raises:
        UserError: if one is out of range, or not supported.
    """
    content: Any = OmegaConf.to_container(config.trainer, resolve=True)
    for key, value in schema.flat({"trainer": content}):
        _require(values.refusal(key, value))


def _require_tags(content: Mapping[str, Any]) -> None:
    if content["extras"]["enforce_tags"] and not content["tags"]:
        raise UserError("extras.enforce_tags=true: add tags=[NAME,...]")


def _require_end(content: Mapping[str, Any]) -> None:
    """Check that training ends."""
    trainer, epochs = content["trainer"], content["trainer"].get("max_epochs")
    last = content["task"]["checkpoint"] == "last"  # which never stops early
    patient = content["callbacks"]["run_writer"]["patience"] is not None and not last
    if epochs == -1 and not patient and trainer.get("max_time") is None:
        best = " task.checkpoint=best" if last else ""
        raise UserError(
            f"trainer.max_epochs={text(epochs)} never ends: add callbacks=early_stopping{best} or "
            "trainer.max_time=DD:HH:MM:SS"
        )


def _require_margins(content: Mapping[str, Any]) -> None:
    """Check the margins of equivalence, which are used only after the runs."""
    known, within = content["task"].get("metrics"), content["within"]
    if not isinstance(within, dict):
        got = text(within)
        raise UserError(f"within={got}: name the metric, such as within.METRIC=MARGIN")
    for name, margin in within.items():
        if known is not None and name not in known:
            close = groups.did_you_mean(name, known)
            raise UserError(f"unknown metric in within.{name}{close} Known: {', '.join(known)}")
        _require(values.margin_refusal(f"within.{name}", margin))


def _require_splits(content: Mapping[str, Any]) -> None:
    """Check that validation and test leave samples to train on."""
    data = content["data"]
    if values.is_users("data.val_fraction", content) or not {*_SPLITS} <= data.keys():
        return
    val, test = (data[name] for name in _SPLITS)
    if val + test >= 1:
        raise UserError(
            "data.val_fraction + data.test_fraction must be below 1, "
            f"got {text(val)} + {text(test)}"
        )


_SPLITS = ("val_fraction", "test_fraction")


def _require_momentum(content: Mapping[str, Any]) -> None:
    """Check that SGD with Nesterov momentum has momentum, and no dampening."""
    optimizer = content["optimizer"]
    if values.is_users("optimizer.nesterov", content) or not optimizer.get("nesterov"):
        return
    if not optimizer.get("momentum"):
        raise UserError("optimizer.nesterov=true needs optimizer.momentum > 0")
    if optimizer.get("dampening"):
        raise UserError("optimizer.nesterov=true needs optimizer.dampening=0")


def _require_losses(content: Mapping[str, Any]) -> None:
    """Check the names of losses and data that a task needs besides the chosen ones."""
    task = content["task"]
    for name in task.get("reference_losses") or []:
        groups.require_known("loss", name)
    for group in ("loss", "data"):
        if name := task.get(f"standard_{group}"):
            groups.require_known(group, name)


def _require_metrics(content: Mapping[str, Any]) -> None:
    """Check the names of a task's metrics, on which a run depends at its end."""
    task = content["task"]
    if values.is_users("task.definition.metrics", content):
        return
    monitor, mode = task.get("monitor"), task.get("mode")
    given = [("monitor", monitor), *(("metrics", name) for name in task.get("metrics") or [])]
    for key, name in given:
        if name is None or not is_known(name):
            close = groups.did_you_mean(str(name), METRICS)
            raise UserError(f"task.{key}: unknown metric '{name}'{close}")
    known = monitors(task)
    if known is not None and monitor not in known:
        raise UserError(
            f"task.monitor={monitor} is not a validation metric of this task: {', '.join(known)}"
        )
    better = {"lower": "min", "higher": "max"}.get(metric(str(monitor)).better or "", mode)
    if mode != better:
        raise UserError(
            f"task.mode={mode} contradicts task.monitor={monitor}, which is better if "
            f"{metric(monitor).better}: write task.mode={better}"
        )


def _require_components(content: Mapping[str, Any]) -> None:
    """Check that callbacks and loggers are options with a ``_target_``, or null."""
    of_callbacks = {f"callbacks.{name}": node for name, node in content["callbacks"].items()}
    of_loggers = {f"logger.extra.{name}": node for name, node in content["logger"]["extra"].items()}
    for key, node in (of_callbacks | of_loggers).items():
        if node is not None and (not isinstance(node, dict) or "_target_" not in node):
            raise UserError(
                f"{key} must be options with a _target_, such as +{key}._target_=MODULE.NAME, "
                f"got {text(list(node) if isinstance(node, dict) else node)}"
            )


def require_deletable(override: Any) -> None:
    """Check that a run can do without what ``~key`` deletes: options, callbacks, loggers.

    Raises:
        UserError: if it cannot.
    """
    key = override.key_or_group
    group, _, option = key.partition(".")
    component = group in schema.REPLACEABLE and option and option != "_target_"
    further = key.startswith(("callbacks.", "logger.extra.")) and key != "callbacks.run_writer"
    if not (component or further or group.startswith(("hydra", "experiment", "debug"))):
        none = group in schema.GROUPS and "none" in groups.names(group)
        instead = f"{group}=none for none" if none else f"{key}=... to choose another"
        raise UserError(f"~{key}: a run needs {key}: write {instead}")


_CLOSED = ("task", "logger", "callbacks.run_writer")
"""Nodes of which losslab itself reads every key."""


def is_read(key: str, overrides: Sequence[str], hydra: DictConfig) -> bool:
    """Return whether anything reads a key that ``+key=`` adds.

    Args:
        key: dotted key.
        overrides: the command, in which another key may refer to this one.
        hydra: Hydra's node, whose classes have a field for each key that Hydra reads.
    """
    top, _, name = key.partition(".")
    if top == "hydra":
        return _is_field(hydra, name.split("."))
    if top == "paths":
        return any(f"${{{key}" in each for each in overrides)
    return key.rpartition(".")[0] not in _CLOSED or values.kind_of(key) is not None


def require_option_of_launcher(override: Any, hydra: DictConfig) -> None:
    """Check that the launcher has an option and takes its value, which Hydra would not explain.

    Args:
        override: override of a key that begins with ``hydra.launcher.``.
        hydra: Hydra's node, with the chosen launcher.

    Raises:
        UserError: if not.
    """
    key = override.key_or_group
    names = key.split(".")[1:]
    if not _is_field(hydra, names):
        known = [str(each) for each in hydra.launcher if each not in ("_target_", "trust")]
        launcher = hydra.runtime.choices["hydra/launcher"]
        raise UserError(
            f"unknown key {key} of hydra/launcher={launcher}"
            f"{groups.did_you_mean(names[1], known)} Known: {', '.join(known)}"
        )
    if not override.is_delete() and "${" not in override.input_line:
        _require(values.refusal(key, override.value()))


def _is_field(node: Any, names: Sequence[str]) -> bool:
    """Return whether a key is in the classes of a node, or below one that takes any key."""
    for name in names:
        kind = OmegaConf.get_type(node) if OmegaConf.is_config(node) else None
        if not dataclasses.is_dataclass(kind):
            return True
        if name not in {field.name for field in dataclasses.fields(kind)}:
            return False
        node = node._get_node(name)
    return True


def _require(refusal: str | None) -> None:
    if refusal:
        raise UserError(refusal)
