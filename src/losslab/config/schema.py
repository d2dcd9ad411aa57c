"""Properties of all config keys, one row per key or family of keys. Nothing imports torch.

A key is a dotted path (``trainer.max_epochs``), a group (``loss``) for its choice, or
``choices.<group>`` in a saved config. A pattern is a glob whose ``*`` also matches dots; the first
row with a matching pattern applies.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from losslab.config.secrets import masked


@dataclass(frozen=True)
class Key:
    """Properties of the keys that match one of the patterns.

    Attributes:
        patterns: globs, separated by spaces.
        group: whether it is a config group, chosen by name as in ``loss=focal``.
        affects_results: whether runs that differ in it are different rows of a comparison.
        resumes: whether ``resume=RUN`` may change it.
        named: whether it is part of a run's folder name.
        in_label: whether the titles and row labels of reports already contain it.
        column: column in TensorBoard's HPARAMS tab; ``"*"`` for the key itself.
        free: whether it may differ between the runs of a lockstep stack.
        stackable: values that lockstep supports; ``None`` for all.
        counts_batches: whether an integer is a number of batches and a float a fraction of them.
        can_fail: whether its value can make a job fail, so that each value is checked.
        saved: whether it is saved in a run's config.
        launches: whether it configures Hydra, which launches the jobs, instead of a job.
    """

    patterns: str
    group: bool = False
    affects_results: bool = True
    resumes: bool = False
    named: bool = True
    in_label: bool = False
    column: str = ""
    free: bool = False
    stackable: tuple[Any, ...] | None = None
    counts_batches: bool = False
    can_fail: bool = True
    saved: bool = True
    launches: bool = False


def _row(patterns: str, **meaning: Any) -> Key:
    return Key(patterns, **meaning)


def _neutral(patterns: str, **meaning: Any) -> Key:
    """Return a row of keys that do not affect results, such as paths."""
    return Key(patterns, **{"affects_results": False, "can_fail": False} | meaning)


KEYS: tuple[Key, ...] = (
    # --- groups -----------------------------------------------------------------------------------
    _row("loss", group=True, named=False, in_label=True, column="loss", free=True),
    _row("data", group=True, in_label=True, column="data", free=True),
    _row("task", group=True, in_label=True, free=True),
    _row("model", group=True, column="model", free=True),
    _row("optimizer", group=True, column="optimizer", free=True),
    _row("scheduler regularizer trainer experiment debug", group=True, free=True),
    _neutral("callbacks logger", group=True, free=True),
    _neutral("paths", group=True, named=False, free=True),
    # the options of these choices are in the saved config themselves
    _neutral("choices.trainer choices.callbacks choices.logger choices.paths", free=True),
    _neutral("choices.experiment choices.debug choices.hydra*", free=True),
    _row("choices.*", free=True, can_fail=False),
    # --- the whole run ----------------------------------------------------------------------------
    _neutral("seed", named=False, column="seed", free=True),
    _neutral("tags", named=False, free=True),
    _neutral("extras extras.*", named=False, resumes=True, free=True),
    _neutral("threads pack", named=False, resumes=True),
    _neutral("allocator test", resumes=True),
    _neutral("within within.*", named=False, resumes=True, free=True),
    # runs that differ in it have different names of the loss
    _neutral("label", free=True),
    _neutral("component_gradients", resumes=True, stackable=("auto", False)),
    _neutral("scores scores_mb", named=False, resumes=True),
    _row("compile"),
    _row("ckpt_path", free=True),
    _neutral("overrides overrides.* config_dirs config_dirs.* code_dirs code_dirs.*", free=True),
    _neutral("sweep sweep.* claim claim.* map map.*", saved=False),  # an experiment's own
    _neutral("paths.*", named=False, free=True, resumes=True),
    _neutral("hydra hydra.* hydra/*", named=False, launches=True),
    _neutral("resume", named=False),
    # --- loss, data, model, optimizer -------------------------------------------------------------
    _neutral("loss.tuning* optimizer.tuning*", saved=False),
    _row("loss._target_", free=True),
    _row("loss.*", column="*", free=True),
    _neutral("data.data_dir data.download", can_fail=True, free=True),
    _neutral("data.in_memory data.num_workers", named=False, can_fail=True, resumes=True),
    _row("data._target_ data.batch_size"),
    _row("data.*", free=True),
    _row("model.channels_last", stackable=(False,)),
    _row("model.*"),
    _row("optimizer._target_"),
    _row("optimizer.lr", column="lr", free=True),
    _row("optimizer.layer_decay", stackable=(None,)),
    _row("optimizer.* scheduler.* regularizer.*", free=True),
    # --- the task ---------------------------------------------------------------------------------
    # only other keys depend on these: optimizer.lr, trainer.max_epochs, ...
    _neutral("task.standard_loss task.standard_data task.learning_rate task.betas task.epochs"),
    _neutral("task.target_kind task.keep_boxes task.metrics task.metrics.*"),
    _row("task.mode task.checkpoint task.ties task.monitor task.num_envs task.steps_per_epoch"),
    _row("task.reference_losses task.reference_losses.* task.definition.* task.module.*"),
    # --- the Trainer ------------------------------------------------------------------------------
    _row("trainer._target_"),
    _row("trainer.max_epochs", resumes=True),
    _row("trainer.max_time", resumes=True, stackable=(None,)),
    _row("trainer.gradient_clip_val"),
    _neutral("trainer.log_every_n_steps", can_fail=True, resumes=True),
    _row("trainer.accelerator", resumes=True, stackable=("auto", "cpu", "gpu", "cuda")),
    _row("trainer.devices", resumes=True, stackable=(1, "1")),
    _row("trainer.strategy", resumes=True, stackable=("auto",)),
    _row("trainer.precision", stackable=("32-true", "64-true", "32", "64", 32, 64)),
    _row("trainer.accumulate_grad_batches trainer.check_val_every_n_epoch", stackable=(1,)),
    _row("trainer.limit_train_batches", counts_batches=True, stackable=(1.0, None)),
    _row("trainer.limit_val_batches", counts_batches=True, stackable=(1.0, None)),
    _row("trainer.limit_test_batches", counts_batches=True, stackable=(1.0, None)),
    _row("trainer.overfit_batches", counts_batches=True, stackable=(0.0, 0)),
    _neutral("trainer.profiler", can_fail=True, resumes=True, stackable=(None,)),
    _neutral("trainer.detect_anomaly", can_fail=True, resumes=True, stackable=(False,)),
    _row("trainer.gradient_clip_algorithm", stackable=(None, "norm")),
    # --- callbacks and loggers --------------------------------------------------------------------
    _row("callbacks.run_writer.patience", resumes=True, free=True),
    _neutral("callbacks.run_writer._target_", can_fail=True, free=True),
    _neutral("callbacks.figures.every", can_fail=True, resumes=True, free=True),
    _neutral("callbacks.figures.seeds", named=False, resumes=True),
    _neutral("callbacks.figures._target_ callbacks.progress._target_", can_fail=True, free=True),
    _neutral("logger.events logger.extra", can_fail=True, free=True),
    _neutral("logger.extra.*", can_fail=True, free=True, stackable=()),
)

UNKNOWN = Key("*", stackable=())
"""Row of keys without another one: options of the user's callbacks or of the Trainer."""


@functools.cache
def meaning(key: str) -> Key:
    """Return the row that applies to a key, or :data:`UNKNOWN`.

    Example:
        >>> meaning("trainer.max_epochs").resumes, meaning("trainer.precision").resumes
        (True, False)
    """
    for row in KEYS:
        if any(fnmatchcase(key, pattern) for pattern in row.patterns.split()):
            return row
    return UNKNOWN


GROUPS: tuple[str, ...] = tuple(name for row in KEYS if row.group for name in row.patterns.split())
"""Groups of conf/."""

REPLACEABLE = ("loss", "model", "data", "optimizer", "scheduler", "regularizer")
"""Groups of one object, whose ``_target_`` may be replaced on the command line."""

OF_EVERY_CHOICE = (
    "optimizer.loss_lr",
    "optimizer.layer_decay",
    "model.weights",
    "model.freeze",
    "model.channels_last",
)
"""Options in conf/train.yaml that losslab applies to any choice of these groups."""

_DERIVED = ("choices", "overrides", "config_dirs", "code_dirs")  # of a run's config, not typed
TOP_LEVEL: tuple[str, ...] = tuple(
    dict.fromkeys(
        name
        for row in KEYS
        if row.saved
        for pattern in row.patterns.split()
        if (name := pattern.partition(".")[0]).isidentifier() and name not in _DERIVED
    )
)
"""First parts of the keys that can be typed."""


def flat(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf with its dotted key; a list of plain values is a leaf.

    Example:
        >>> dict(flat({"loss": {"gamma": 2.0}, "sizes": [1, 2]}))
        {'loss.gamma': 2.0, 'sizes': (1, 2)}
    """
    if isinstance(node, Mapping) and (node or not name):
        for key, value in node.items():
            yield from flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, Mapping):
        return
    elif isinstance(node, list) and any(isinstance(entry, Mapping | list) for entry in node):
        for index, entry in enumerate(node):
            yield from flat(entry, f"{name}.{index}")
    else:
        yield name, tuple(node) if isinstance(node, list) else node


def targets(node: Any) -> list[str]:
    """Return the distinct ``_target_`` paths in options, given as plain values.

    Example:
        >>> targets({"_target_": "my.Net", "layers": [{"_target_": "my.Layer"}], "width": 3})
        ['my.Net', 'my.Layer']
    """
    leaves = flat(node)
    found = [value for key, value in leaves if key.rpartition(".")[2] == "_target_"]
    return list(dict.fromkeys(value for value in found if isinstance(value, str)))


def hparams(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of TensorBoard's HPARAMS tab.

    Args:
        config: resolved config as plain values.
    """
    values = {**config, **config["choices"]}
    for group in GROUPS:
        options = config.get(group)
        values |= {f"{group}.{key}": value for key, value in (options or {}).items()}
    columns = [(key, row) for key in values if (row := meaning(key)).column]
    columns.sort(key=lambda column: KEYS.index(column[1]))
    named = {key if row.column == "*" else row.column: values[key] for key, row in columns}
    # options of the loss that are null are left out
    return {
        name: str(value) if isinstance(value, list | dict) else value
        for name, value in masked(named).items()
        if value is not None or "." not in name
    }
