"""Translation of names in the saved runs of earlier versions.

Saved runs stay readable: configs read from a run folder go through :func:`translated`.
"""

from typing import Any, NamedTuple

_TASKS = {
    "Classification": "ClassificationTask",
    "Generation": "GenerationTask",
    "MetricLearning": "MetricLearningTask",
    "MultiLabel": "MultiLabelTask",
    "PointClouds": "PointCloudTask",
    "Ranking": "RankingTask",
    "Reconstruction": "ReconstructionTask",
    "Regression": "RegressionTask",
    "Segmentation": "SegmentationTask",
    "Sequences": "SequenceTask",
}
TARGETS: dict[str, str] = {
    **{f"losslab.tasks.{old}": f"losslab.tasks.{new}" for old, new in _TASKS.items()},
    "losslab.tasks.PolicyControl": "losslab.rl.PolicyControl",
    "losslab.tasks.PolicyGradient": "losslab.rl.PolicyGradientModule",
    "losslab.tasks.QLearning": "losslab.rl.QLearningModule",
    "losslab.rl.PolicyGradient": "losslab.rl.PolicyGradientModule",
    "losslab.rl.QLearning": "losslab.rl.QLearningModule",
    "losslab.tasks.ValueControl": "losslab.rl.ValueControl",
    "losslab.tasks.SupervisedModule": "losslab.modules.SupervisedModule",
    "losslab.callbacks.RunKeeping": "losslab.callbacks.RunWriterCallback",
    "losslab.tasks.AdversarialModule": "losslab.modules.AdversarialModule",
    "losslab.data.environments.Environments": "losslab.rl.Environments",
}
"""``_target_`` paths of version 0.1, with the current path."""

KEYS: dict[str, str] = {
    "callbacks.keeper": "callbacks.run_writer",
    "hydra.launcher.max_cells": "hydra.launcher.max_jobs",
}
"""Dotted keys of version 0.1, with the current key."""

_PPO = {"trace": "gae_lambda", "passes": "epochs"}
OPTIONS: dict[str, dict[str, str]] = {
    "losslab.tasks.PolicyGradient": _PPO,
    "losslab.rl.PolicyGradient": _PPO,
}
"""Options of ``_target_`` paths of version 0.1, with the current option.

A module of your own may have an option of the same name, so a saved config is renamed only beside
its old ``_target_``.
"""

_OVERRIDES = KEYS | {f"task.module.{old}": f"task.module.{new}" for old, new in _PPO.items()}
_OVERRIDES |= {f"loss.{name}_weight": f"loss.of.{name}" for name in ("bce", "dice")}  # of bce_dice


class Added(NamedTuple):
    """A key added since version 0.1, which saved configs of before lack.

    Args:
        value: what its absence meant.
        beside: option that those choices have, too, to which it was added; by default all.
        targets: ``_target_`` paths of the choices to which it was added; by default all.
    """

    value: Any
    beside: str | None = None
    targets: tuple[str, ...] = ()

    def belongs_to(self, node: dict[str, Any]) -> bool:
        """Return whether the key was added to a choice."""
        fits = not self.targets or node.get("_target_") in self.targets
        return fits and (self.beside is None or self.beside in node)


_IGNORING = (
    "losslab.losses.BCELoss",
    "losslab.losses.CategoricalCrossEntropyLoss",
    "losslab.losses.FocalLoss",
    "losslab.losses.HingeLoss",
)
_WEIGHTED = (
    "losslab.losses.BCEDiceLoss",
    "losslab.losses.DiceLoss",
    "losslab.losses.FocalTverskyLoss",
    "losslab.losses.TverskyLoss",
)
_AUGMENTED = (
    "losslab.data.digits.Digits",
    "losslab.data.image_folder.ImageFolder",
    "losslab.data.image_masks.ImageMasks",
    "losslab.data.mnist.MNIST",
)
ADDED: dict[str, Added] = {
    "component_gradients": Added(False),
    "label": Added(None),
    "scores": Added(False),
    "scores_mb": Added(10),
    "ckpt_path": Added(None),
    "tags": Added([]),
    "extras": Added(dict.fromkeys(("print_config", "enforce_tags", "ignore_warnings"), False)),
    "within": Added({}),
    # masks read 255 as a class
    "data.ignore": Added(None, targets=("losslab.data.image_masks.ImageMasks",)),
    "data.impute": Added("refuse", targets=("losslab.data.table.Table",)),
    "data.categories": Added("one_hot", targets=("losslab.data.table.Table",)),
    "data.least_gap": Added(0, targets=("losslab.data.digit_sequences.DigitSequences",)),
    "data.in_memory": Added(True, targets=_AUGMENTED[1:3]),
    "data.augment": Added(None, targets=_AUGMENTED),
    "data.num_workers": Added("auto", targets=_AUGMENTED),
    "data.test_split_seed": Added(None, beside="test_fraction"),
    "model.channels_last": Added(False),
    "model.freeze": Added(None),
    "model.weights": Added(None),
    "optimizer.layer_decay": Added(None),
    "task.definition.absent": Added("one", targets=("losslab.tasks.SegmentationTask",)),
    "task.ties": Added("first"),
    "trainer.max_time": Added(None),
    "loss.ignore_index": Added(None, targets=_IGNORING),
    "loss.weight": Added(None, targets=_WEIGHTED),
}
"""Dotted keys added since version 0.1.

Changing a default in conf/ does not change old runs: a saved config has all keys of its version.
"""

_FRESH = (
    "pointcloud.PointCloud",
    "ranking.Ranking",
    "regression.Regression",
    "ring.Ring",
    "segmentation.ShapesSegmentation",
)
_FIXED_TEST = ("mnist.MNIST", "digits_retrieval.MNISTRetrieval")
SAMPLING: dict[str, str] = {
    "losslab.rl.Environments": "fresh",
    **{f"losslab.data.{name}": "fresh" for name in _FRESH},
    **{f"losslab.data.{name}": "fixed_test" for name in _FIXED_TEST},
}
"""What differs between seeds, by the ``_target_`` of the data, for records of version 0.1, which do
not say it; ``redrawn`` for other data."""


def translated(config: Any) -> Any:
    """Translate the names in a saved config, given as plain values, to the current ones.

    Raises:
        ValueError: if the config has too many options, or is nested too deeply.

    Example:
        >>> saved = {"task": {"module": {"_target_": "losslab.tasks.QLearning"}}}
        >>> translated(saved)["task"]["module"]
        {'_target_': 'losslab.rl.QLearningModule'}
    """
    require_bounded(config)
    current = _renamed(config, "")
    _keep_unit_of_targets(current)  # told by a key that is added next
    _leave_losses_untrained(current)
    for key, added in ADDED.items():
        *groups, name = key.split(".")
        node = current
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict) and added.belongs_to(node):
            node.setdefault(name, added.value)
    return current


MOST_OPTIONS, DEEPEST = 100_000, 50


def require_bounded(config: Any) -> None:
    """Check the size of a config, whose YAML may name the same part many times.

    Raises:
        ValueError: if it has too many options, or is nested too deeply.
    """
    waiting, found = [(config, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        found += 1
        if depth > DEEPEST or found > MOST_OPTIONS:
            bound = f"{DEEPEST} levels" if depth > DEEPEST else f"{MOST_OPTIONS} options"
            raise ValueError(f"must have at most {bound}")
        nested = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        waiting += [(each, depth + 1) for each in nested]


def _keep_unit_of_targets(config: Any) -> None:
    """Let runs of version 0.1 with standardized targets measure in standard deviations.

    The option is no key of :data:`ADDED`: they have it, with a value that means something else now.
    """
    if not isinstance(config, dict):
        return
    data, task = ((config.get(name) or {}) for name in ("data", "task"))
    if data.get("standardize_targets") is True and "ties" not in task:
        data["standardize_targets"] = "data"


def _leave_losses_untrained(config: Any) -> None:
    """Let earlier runs keep the initial values of their loss's parameters.

    Losses of losslab had none, and have the current default: such runs are the same as today's.
    """
    if not isinstance(config, dict):
        return
    optimizer, loss = config.get("optimizer"), config.get("loss")
    if isinstance(optimizer, dict) and isinstance(loss, dict):
        ours = str(loss.get("_target_")).startswith("losslab.")
        optimizer.setdefault("loss_lr", None if ours else 0)


def translated_override(override: str) -> str:
    """Translate the key of an override in a saved command to the current one.

    Example:
        >>> translated_override("callbacks.keeper.patience=5")
        'callbacks.run_writer.patience=5'
        >>> translated_override("++callbacks.keeper.patience=5")
        '++callbacks.run_writer.patience=5'
    """
    return _with_other_key(override, _OVERRIDES)


def earlier_override(override: str) -> str:
    """Return an override as version 0.1 wrote it, since names of saved folders contain it."""
    return _with_other_key(override, {new: old for old, new in _OVERRIDES.items()})


def _with_other_key(override: str, keys: dict[str, str]) -> str:
    typed = override.lstrip("+~")
    prefix = override[: len(override) - len(typed)]
    for key, other in keys.items():
        if typed.startswith((f"{key}.", f"{key}=")):
            return prefix + other + typed.removeprefix(key)
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
