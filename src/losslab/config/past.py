"""Names that saved runs of earlier versions use, and what they are called now.

A run folder is a promise: whoever reads one passes its config through :func:`translated`.
"""

from typing import Any

TARGETS: dict[str, str] = {
    "losslab.tasks.PolicyControl": "losslab.rl.PolicyControl",
    "losslab.tasks.PolicyGradient": "losslab.rl.PolicyGradientModule",
    "losslab.tasks.QLearning": "losslab.rl.QLearningModule",
    "losslab.tasks.ValueControl": "losslab.rl.ValueControl",
    "losslab.tasks.SupervisedModule": "losslab.modules.SupervisedModule",
    "losslab.callbacks.RunKeeping": "losslab.callbacks.RunWriterCallback",
    "losslab.tasks.AdversarialModule": "losslab.modules.AdversarialModule",
    "losslab.data.environments.Environments": "losslab.rl.Environments",
}
"""``_target_`` paths of version 0.1, with the path of today."""


KEYS: dict[str, str] = {
    "callbacks.keeper": "callbacks.run_writer",
    "hydra.launcher.max_cells": "hydra.launcher.max_jobs",
}
"""Dotted keys of version 0.1, with the key of today."""

OPTIONS: dict[str, dict[str, str]] = {
    "losslab.tasks.PolicyGradient": {"trace": "gae_lambda", "passes": "epochs"},
}
"""Options of ``_target_`` paths of version 0.1, with the option of today.

A module of your own may have an option of the same name, so a saved config is renamed only beside
its old ``_target_``.
"""

_OVERRIDES = KEYS | {
    f"task.module.{old}": f"task.module.{new}"
    for old, new in OPTIONS["losslab.tasks.PolicyGradient"].items()
}

ADDED: dict[str, Any] = {}
"""Dotted keys added since version 0.1, with what a saved config without them means.

A default that changes in conf/ does not change an old run: its saved config holds every key that
its version knew, and a key that it lacks gets the value here.
"""


def translated(config: Any) -> Any:
    """Return a saved config, a container of plain values, with the names of today.

    Example:
        >>> translated({"task": {"module": {"_target_": "losslab.tasks.QLearning"}}})
        {'task': {'module': {'_target_': 'losslab.rl.QLearningModule'}}}
    """
    current = _renamed(config, "")
    for key, value in ADDED.items():
        *groups, name = key.split(".")
        node = current
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.setdefault(name, value)
    return current


def translated_override(override: str) -> str:
    """Return an override of a saved command line with the key of today.

    Example:
        >>> translated_override("callbacks.keeper.patience=5")
        'callbacks.run_writer.patience=5'
    """
    for old, new in _OVERRIDES.items():
        if override.startswith((f"{old}.", f"{old}=")):
            return new + override.removeprefix(old)
    return override


def _renamed(node: Any, key: str) -> Any:
    if isinstance(node, dict):
        return dict(
            _renamed_item(node, name, f"{key}.{name}" if key else str(name)) for name in node
        )
    if isinstance(node, list):
        return [_renamed(entry, key) for entry in node]
    return node


def _renamed_item(node: dict[Any, Any], name: Any, key: str) -> tuple[Any, Any]:
    value = node[name]
    name = OPTIONS.get(str(node.get("_target_")), {}).get(name, name)
    if name == "_target_" and isinstance(value, str):
        return name, TARGETS.get(value, value)
    new = KEYS[key].rpartition(".")[2] if key in KEYS else name
    return new, _renamed(value, key)
