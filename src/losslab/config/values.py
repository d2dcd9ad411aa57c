"""Values that the keys of a config take, one row per key or family of keys. Nothing imports torch.

Bounds here are those that all choices of a group share; a component may allow less. Rows of options
apply to the components in conf/, and not to those of the user, which may give a name of an option
another meaning.
"""

import difflib
import functools
import math
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from losslab.config.kinds import FLAG, NULL, Choice, Kind, List, Never, Number, Text, text
from losslab.given import is_given
from losslab.metrics.labels import metric


def _choice(*values: Any) -> Choice:
    return Choice(values)


SEED = Number(0, 2**63 - 1, whole=True)
_COUNT = Number(1, 10**9, whole=True)
_COUNT_FROM_0 = Number(0, 10**9, whole=True)
_NUMBER, _FROM_0, _ABOVE_0 = Number(), Number(0), Number(0, above=True)
_SHARE = Number(0, 1)
_PART = Number(0, 1, above=True, below=True)
_DECAY = Number(0, 1, below=True)
_SIZES = List(_COUNT)
_PATH = Text("a path")
_COLUMN, _NAME = Text("a column"), Text("a name", digits=False)
_LABEL = Text("a name without / and \\", digits=False, path=False)
_SIGN = Text("a sign", blank=True)
_NAMES = List(_NAME, distinct=True)
_WEIGHTS = _FROM_0 | List(_FROM_0, least=1) | _choice("balanced", None)
_BATCHES = _COUNT | Number(0, 1, above=True) | NULL

VALUES: tuple[tuple[str, Kind | None], ...] = (
    # --- the whole run ----------------------------------------------------------------------------
    ("seed data.seed", SEED),
    ("data.split_seed data.test_split_seed", SEED | NULL),
    ("ckpt_path", _PATH | NULL),
    ("tags", List(Text("a name (numbers in quotes)", digits=False), distinct=True)),
    ("extras.print_config extras.enforce_tags extras.ignore_warnings", FLAG),
    ("threads", Number(1, 4096, whole=True)),
    ("allocator", _choice("auto", "keep", "system")),
    ("pack", FLAG | _choice("auto")),
    ("compile test scores", FLAG),
    ("scores_mb", _FROM_0),
    ("component_gradients", FLAG | _choice("auto")),
    ("label", _LABEL | NULL),
    ("within*", None),  # margin_refusal
    ("paths.* hydra.run.dir hydra.sweep.dir hydra.sweep.subdir", _PATH),
    ("hydra.launcher.max_jobs hydra.launcher.workers", _COUNT | NULL),
    ("hydra.launcher.n_jobs", _COUNT | Number(-4096, -1, whole=True)),
    ("hydra.launcher.cpus", _COUNT),
    ("hydra.launcher.array_parallelism", _COUNT | NULL),
    ("hydra.launcher.max_timeouts hydra.launcher.max_retries", _COUNT_FROM_0),
    ("hydra.launcher.num_cpus hydra.launcher.num_gpus", _FROM_0),
    ("hydra.launcher.wait hydra.launcher.report", FLAG),
    ("hydra.mode", Never((None,), "-m makes a sweep")),
    # --- loss -------------------------------------------------------------------------------------
    ("loss.of.*.weight loss.of.*.weight.first loss.of.*.weight.last", _FROM_0),
    ("loss.of.*.weight.epochs loss.of.*.weight.after", _COUNT_FROM_0),
    ("loss.of.*.weight.shape", _choice("linear", "cosine")),
    ("loss.gamma loss.smooth loss.gradient_penalty loss.entropy_bonus", _FROM_0),
    ("loss.fp_weight loss.fn_weight loss.bce_weight loss.dice_weight", _FROM_0),
    ("loss.margin loss.beta loss.tau", _FROM_0),
    ("loss.class_counts", List(_ABOVE_0, least=2) | NULL),
    ("loss.delta loss.exponent loss.blur loss.scale loss.temperature", _ABOVE_0),
    ("loss.bias", _NUMBER),
    ("loss.alpha loss.weight loss.pos_weight", _WEIGHTS),
    ("loss.label_smoothing loss.discount", _SHARE),
    ("loss.ignore_index", Number(whole=True) | NULL),
    ("loss.clip", _PART | NULL),
    ("loss.angle", Number(0, 65, above=True)),
    ("loss.p loss.power", _choice(1, 2, 1.0, 2.0)),
    ("loss.steps loss.width", _COUNT),
    ("loss.blank", _COUNT_FROM_0),
    ("loss.squared loss.per_image loss.include_background loss.normalize loss.soft_margin", FLAG),
    ("loss.double", FLAG),
    ("loss.empty", _choice("soft", "skip")),
    ("loss.multiclass", _choice("crammer_singer", "weston_watkins")),
    ("loss.mining", _choice("all", "hard", "semi_hard")),
    ("loss.distance", _choice("euclidean", "squared")),
    ("loss.mean_over", _choice("all", "active")),
    ("loss.directions", _choice("sum", "mean")),
    ("loss.method", _choice("auto", "exact", "sinkhorn")),
    ("loss.td", _choice("huber", "mse")),
    ("loss.per", _choice("element", "sample")),
    ("loss.reduction", _choice("mean", "sum", "none")),
    (
        "loss.kind",
        _choice("non_saturating", "minimax", "least_squares", "hinge", "wasserstein"),
    ),
    # --- data -------------------------------------------------------------------------------------
    ("data.batch_size data.n data.rows data.queries data.copies data.clouds data.symbols", _COUNT),
    ("data.points data.features data.image_size data.shortest data.longest", _COUNT),
    ("data.users data.items data.rank data.ratings data.core data.held_out data.rated", _COUNT),
    ("data.negatives data.eval_users", _COUNT),
    ("data.documents data.modes data.alphabet data.images", Number(2, 10**9, whole=True)),
    ("data.identities", Number(3, 10**9, whole=True)),
    ("data.classes", _choice(1, 2, 3, 4, 5)),
    ("data.objects", _COUNT),
    ("data.keep_boxes task.keep_boxes", _choice("all", "largest")),
    ("data.first_pixel", _choice(0, 1)),
    ("data.sizes", List(Number(0, 1, above=True), least=2, most=2)),
    ("data.stretch", Number(1)),
    ("data.overlap data.clutter", _SHARE),
    ("data.gap data.least_gap data.distractors", _COUNT_FROM_0),
    ("data.num_envs data.steps_per_epoch data.steps_per_batch", _COUNT),
    ("data.choice_episodes data.val_episodes data.test_episodes", _COUNT),
    ("data.max_episode_steps", _COUNT | NULL),
    ("data.solved_return", _NUMBER | NULL),
    ("data.val_fraction data.test_fraction", _PART),
    ("data.label_noise data.outliers data.pixel_outliers data.empty_images", _SHARE),
    ("data.imbalance data.foreground", Number(0, 1, above=True)),
    ("data.skew data.preference data.lighting", _FROM_0),
    ("data.threshold", _NUMBER | NULL),
    ("data.noise data.spread data.uneven data.contrast data.texture data.edge_noise", _FROM_0),
    ("data.outlier_size data.slope data.intercept", _NUMBER),
    ("data.rotation", Number(0, 180) | _choice("upright", "any", "none")),
    ("data.shift", Number(0, 0.5)),
    ("data.outlier_kind", _choice("vertical", "leverage")),
    ("data.noise_kind", _choice("normal", "skewed")),
    ("data.curve", _choice("line", "sine", "quadratic", "step")),
    ("data.source", _choice("digits", "mnist")),
    ("data.target_kind task.target_kind", _choice("auto", "classes", "values", "multilabel")),
    ("data.corrupt_val data.flat data.grayscale data.standardize data.constant", FLAG),
    ("data.difficult", FLAG),
    ("data.standardize_targets data.download", FLAG),
    ("data.positive", List(Number(0, 9, whole=True), least=1, distinct=True) | NULL),
    ("data.held_out_classes", List(Number(0, 9, whole=True), distinct=True)),
    ("data.in_memory", FLAG | _choice("auto")),
    ("data.num_workers", Number(0, 256, whole=True) | _choice("auto")),
    ("data.augment*", None),  # the transforms' own
    ("data.val_options* data.test_options*", None),  # the Dataset's own
    ("data.path data.data_dir", _PATH),
    ("data.name", _NAME),
    ("data.env_id", Text("the name of an environment")),
    ("data.env_options*", None),  # the environment's own
    ("data.target", _COLUMN | List(_COLUMN, least=1, distinct=True) | NULL),
    ("data.input", _COLUMN | List(_COLUMN, least=1, distinct=True) | NULL),
    ("data.id", _COUNT),
    ("data.subset", _NAME | NULL),
    ("data.group data.weight data.split", _COLUMN | NULL),
    ("data.drop data.text", List(_COLUMN, distinct=True)),
    ("data.missing", List(Text(blank=True))),
    ("data.impute", _choice("median", "refuse")),
    ("data.categories", _choice("one_hot", "ordinal")),
    ("data.separator", _SIGN | _choice("auto")),
    ("data.decimal", _choice("auto", ".", ",")),
    ("data.thousands", _SIGN | NULL),
    ("data.encoding", Text("the name of an encoding")),
    ("data.ignore", _COUNT_FROM_0 | _choice("auto", None)),
    # --- model ------------------------------------------------------------------------------------
    ("model.channels", List(_COUNT, least=1)),
    ("model.hidden", _COUNT | _SIZES),
    ("model.dropout", _DECAY),
    ("model.code model.latent model.width model.factors model.levels", _COUNT),
    ("model.points", _COUNT | NULL),
    ("model.name model.architecture model.encoder", Text("the name of a network")),
    ("model.stem", _choice("auto", "small", "standard")),
    ("model.weights", Text("a file, or hub") | NULL),
    ("model.freeze", _choice("backbone", None) | List(Text("a name"), least=1, distinct=True)),
    ("model.channels_last", FLAG),
    # --- optimizer, scheduler, regularizer --------------------------------------------------------
    ("optimizer.lr task.learning_rate", _ABOVE_0),
    ("optimizer.loss_lr", _FROM_0 | NULL),
    ("optimizer.layer_decay", Number(0, 1, above=True) | NULL),
    ("optimizer.betas task.betas", List(_DECAY, least=2, most=2)),
    ("optimizer.momentum", _DECAY),
    ("optimizer.weight_decay", _FROM_0),
    ("optimizer.fused", FLAG | NULL),
    ("optimizer.decoupled_weight_decay optimizer.nesterov", FLAG),
    ("optimizer.eps", _FROM_0),
    ("optimizer.dampening", _NUMBER),
    ("optimizer.amsgrad optimizer.maximize optimizer.capturable optimizer.differentiable", FLAG),
    ("optimizer.foreach", FLAG | NULL),
    ("scheduler.T_max scheduler.step_size", _COUNT),
    ("scheduler.eta_min", _FROM_0),
    ("scheduler.gamma", _ABOVE_0),
    ("scheduler.factor", _PART),
    ("scheduler.patience", _COUNT_FROM_0),
    ("scheduler.mode", _choice("min", "max")),
    ("scheduler.last_epoch", Never((-1,), "a run begins at its first epoch: use resume=RUN")),
    ("scheduler.threshold scheduler.eps", _FROM_0),
    ("scheduler.threshold_mode", _choice("rel", "abs")),
    ("scheduler.cooldown", _COUNT_FROM_0),
    ("scheduler.min_lr", _FROM_0 | List(_FROM_0, least=1)),
    ("regularizer.strength", _FROM_0),
    ("regularizer.l1_ratio", _SHARE),
    ("regularizer.include_bias regularizer.include_normalisation", FLAG),
    # --- the task ---------------------------------------------------------------------------------
    ("task.mode", _choice("min", "max")),
    ("task.checkpoint", _choice("best", "last")),
    ("task.ties", _choice("later", "first")),
    ("task.monitor task.standard_loss task.standard_data", _NAME),
    ("task.metrics", List(_NAME, least=1, distinct=True)),
    ("task.reference_losses", _NAMES),
    ("task.epochs task.num_envs task.steps_per_epoch", _COUNT),
    ("task.definition.dimensions task.definition.emd_clouds", _COUNT),
    ("task.definition.threshold", _ABOVE_0),
    ("task.definition.absent", _choice("skip", "one")),
    ("task.definition.frechet task.definition.normalized", FLAG),
    ("task.definition.box_format", _choice("xyxy", "cxcywh")),
    ("task.module.critic_steps task.module.epochs task.module.minibatches", _COUNT),
    ("task.module.replay_capacity task.module.batch_size task.module.update_every", _COUNT),
    ("task.module.target_every", _COUNT),
    ("task.module.warmup task.module.exploration_steps", _COUNT_FROM_0),
    ("task.module.average", _DECAY),
    ("task.module.target_rate", Number(0, 1, above=True)),
    ("task.module.discount task.module.gae_lambda task.module.exploration_final", _SHARE),
    ("task.module.rollout", _COUNT | NULL),
    ("task.module.value_weight", _ABOVE_0),
    ("task.module.max_grad_norm", _ABOVE_0 | NULL),
    ("task.module.value_network._partial_", FLAG),
    ("task.module.value_network.outputs", _COUNT),
    ("task.module.value_network.hidden", _SIZES),
    # --- the Trainer, also Lightning's arguments that conf/ does not set --------------------------
    ("trainer.max_epochs", _COUNT | _choice(-1)),
    (
        "trainer.max_steps",
        Never(
            (-1,),
            "a run trains whole epochs: use trainer.max_epochs, and "
            "trainer.limit_train_batches for shorter ones",
        ),
    ),
    ("trainer.min_epochs", _COUNT_FROM_0 | NULL),
    ("trainer.min_steps", Never((None,), "use +trainer.min_epochs")),
    ("trainer.check_val_every_n_epoch", _COUNT | NULL),
    (
        "trainer.val_check_interval",
        Never(
            (1.0, None),
            "a run is validated after whole epochs: use trainer.check_val_every_n_epoch, or "
            "trainer.limit_train_batches for shorter ones",
        ),
    ),
    ("trainer.log_every_n_steps trainer.accumulate_grad_batches trainer.num_nodes", _COUNT),
    ("trainer.limit_train_batches trainer.limit_val_batches", _BATCHES),
    ("trainer.limit_test_batches", _COUNT_FROM_0 | _SHARE | NULL),  # with test=false
    ("trainer.limit_predict_batches", _BATCHES),
    ("trainer.max_time", Text("DD:HH:MM:SS", form=r"\d+:\d\d:\d\d:\d\d") | NULL),
    ("trainer.overfit_batches", _COUNT_FROM_0 | _SHARE),
    ("trainer.gradient_clip_val", _ABOVE_0 | NULL),
    ("trainer.gradient_clip_algorithm", _choice("norm", "value", None)),
    ("trainer.devices", _COUNT | _choice(-1, "-1", "auto") | List(_COUNT_FROM_0, 1) | _NAME),
    ("trainer.accelerator trainer.strategy", _NAME),
    (
        "trainer.precision",
        _choice("32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true")
        | _choice(32, 64, 16, "32", "64", "16", "bf16")
        | _choice("transformer-engine", "transformer-engine-float16"),
    ),
    ("trainer.profiler", _choice("simple", "advanced", "pytorch", "xla", None)),
    ("trainer.fast_dev_run", Never((False, 0), "use debug=fdr, one batch of each split")),
    ("trainer.deterministic", FLAG | _choice("warn", None)),
    ("trainer.detect_anomaly trainer.inference_mode trainer.sync_batchnorm", FLAG),
    ("trainer.barebones", Never((False,), "use callbacks=quiet logger=none")),
    ("trainer.benchmark", FLAG | NULL),
    ("trainer.reload_dataloaders_every_n_epochs", _COUNT_FROM_0),
    ("trainer.default_root_dir", _PATH | NULL),
    ("trainer.logger", Never((False,), "use logger=..., or +logger.extra.NAME._target_=...")),
    ("trainer.callbacks trainer.callbacks.*", Never((None,), "use +callbacks.NAME._target_=...")),
    (
        "trainer.enable_checkpointing",
        Never((False,), "callbacks.run_writer saves the best and the last checkpoint"),
    ),
    ("trainer.enable_progress_bar", Never((False,), "use callbacks=default")),
    ("trainer.enable_model_summary", Never((False,), "print the model in Python")),
    ("trainer.num_sanity_val_steps", Never((0,), "debug=limit runs all parts of a run once")),
    ("trainer.use_distributed_sampler", Never((False,), "the data divide their batches")),
    ("trainer.plugins", Never((None,), "runs start their processes themselves (docs/scale.md)")),
    ("trainer.model_registry", Never((None,), "checkpoints are in the run's folder")),
    ("trainer.enable_autolog_hparams", FLAG),
    # --- callbacks and loggers --------------------------------------------------------------------
    ("callbacks.run_writer.patience callbacks.figures.every", _COUNT | NULL),
    ("callbacks.figures.seeds", _choice("first", "all")),
    ("logger.events", FLAG),
)

COMPONENT = re.compile(r"(loss\.of\.[^.]+\.(?=loss\.))+")
"""What precedes an option of a component of a sum, ``loss.of.dice.loss.power``."""

OUR_TARGETS = (
    "pytorch_lightning.Trainer",
    *(f"torch.optim.{name}" for name in ("Adam", "AdamW", "SGD")),
    *(
        f"torch.optim.lr_scheduler.{name}"
        for name in ("CosineAnnealingLR", "ReduceLROnPlateau", "StepLR")
    ),
)
"""Components in conf/ that are not losslab's own."""


@functools.cache
def kind_of(key: str) -> Kind | None:
    """Return the kind of values of a key; ``None`` if there is no row for it.

    An option of a component of a sum, ``loss.of.dice.loss.power``, is that of the loss.
    """
    key = COMPONENT.sub("", key)
    for patterns, kind in VALUES:
        if any(fnmatchcase(key, pattern) for pattern in patterns.split()):
            return kind
    return None


def is_users(key: str, config: Mapping[str, Any]) -> bool:
    """Return whether a key is an option of a component that is not in conf/.

    Args:
        key: dotted key.
        config: resolved config as plain values.

    Example:
        >>> is_users("loss.gamma", {"loss": {"_target_": "my_losses.Focal", "gamma": -1}})
        True
    """
    node: Any = config
    target = "losslab."
    for part in key.split(".")[:-1]:
        node = node.get(part) if isinstance(node, Mapping) else None
        target = str(node.get("_target_", target)) if isinstance(node, Mapping) else target
    return not is_ours(target) and target not in OUR_TARGETS


def is_ours(target: str) -> bool:
    """Return whether a class or function is losslab's, and no object that was given in Python."""
    return target.startswith("losslab.") and not is_given(target)


def refusal(key: str, value: Any, default: Any = None, *, users: bool = False) -> str | None:
    """Return why a value is invalid for a key, in one line; ``None`` if it is valid.

    Args:
        key: dotted key.
        value: composed value.
        default: default in conf/; the value must be of its type.
        users: whether it is an option of a component of the user.

    Example:
        >>> refusal("threads", 0)
        'threads must be a whole number from 1 to 4096, got 0'
        >>> refusal("task.mode", "mx")
        'task.mode must be min or max, got mx: did you mean max?'
        >>> refusal("model.hidden", [32], default=64)
        'model.hidden must be a number such as 64, got [32]'
    """
    kind = None if users else kind_of(key)
    if isinstance(kind, Never) and not kind.fits(value):
        return f"{key}={text(value)} is not supported: {kind.instead}"
    if kind is not None and not kind.fits(value):
        close = difflib.get_close_matches(str(value), kind.names(), n=1, cutoff=0.5)
        advice = f": did you mean {close[0]}?" if close else ""
        return f"{key} must be {kind}, got {text(value) or 'nothing'}{advice}"
    if any(isinstance(each, float) and math.isnan(each) for each in _leaves(value)):
        return f"{key} must be a number, got {text(value)}"
    # options of one name may differ in type between the choices of a group; the Trainer is one
    return None if value is None or key.startswith("trainer.") else _other_type(key, value, default)


_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    ((list, tuple), "a list"),
)


def _other_type(key: str, value: Any, default: Any) -> str | None:
    """Say that a value is of another type than the default, if it is."""
    flag = isinstance(default, bool)
    for types, words in _TYPES:
        if isinstance(default, types):
            fits = isinstance(value, types) and isinstance(value, bool) == flag
            example = "" if flag else f" such as {text(default)}"
            return None if fits else f"{key} must be {words}{example}, got {text(value)}"
    return None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def margin_refusal(name: str, margin: Any) -> str | None:
    """Return why a margin of equivalence is invalid, in one line; ``None`` if it is valid."""
    if not _ABOVE_0.fits(margin):
        got = text(margin)
        return f"{name} must be > 0, the largest difference that does not matter, got {got}"
    of = metric(name.removeprefix("within."))
    if margin < of.high - of.low:
        return None
    points = f" (5 points are {name}=0.05)" if of.percent else ""
    return f"{name} must be < {of.high - of.low:g}, the range of the metric, got {margin:g}{points}"
