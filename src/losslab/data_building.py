"""Building of data modules from a config: augmentation, and your own Datasets and DataModules."""

import inspect
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import IterableDataset

from losslab.config.errors import UserError, described
from losslab.config.groups import did_you_mean
from losslab.config.instantiate import accepted, build, target_of
from losslab.config.kinds import text
from losslab.data.base import InMemoryData
from losslab.data.dataset import FromDatasets
from losslab.data.source import seed_sample
from losslab.rng import restored_state

SPLIT_OPTIONS = {"val": "val_options", "test": "test_options"}
"""Keys of options that make the Dataset of a split differ from that of training."""
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
Datasets = dict[str, Any]
OURS = tuple(
    name
    for kind in (InMemoryData, FromDatasets)
    for name, each in inspect.signature(kind).parameters.items()
    if each.kind is each.KEYWORD_ONLY
) + tuple(SPLIT_OPTIONS.values())
"""Options of data that are losslab's own."""


def build_data(config: DictConfig) -> Any:
    """Build the data module of a run, without reading its files.

    Raises:
        UserError: if it cannot be built, or is not data.
    """
    node = config.data
    target = target_of(node, "data")
    seed = {} if "seed" in node else {"seed": config.seed}
    if not hasattr(target, "fingerprint"):  # which data modules of losslab have
        return _of_datasets(node, target, seed)
    if not (isinstance(target, type) and issubclass(target, InMemoryData)):
        seed = accepted(target, seed)
    others = OmegaConf.masked_copy(node, [str(key) for key in node if key != "augment"])
    augment = {"augment": transforms(node.augment)} if node.get("augment") else {}
    return build(others, "data", **augment, **seed)


@contextmanager
def data_errors(config: DictConfig) -> Iterator[None]:
    """Raise ``UserError`` that names the data set if its files or options are invalid."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(f"data={config.choices.data}: {' '.join(str(error).split())}") from error


def first_batch(config: DictConfig, data: Any) -> tuple[Tensor, ...]:
    """Return the first training batch.

    Raises:
        UserError: if a sample cannot be read or augmented.
    """
    loader = data.train_dataloader()
    with data_errors(config):
        batch: tuple[Tensor, ...] = (
            loader.first() if hasattr(loader, "first") else next(iter(loader))
        )
    return batch


def transforms(node: Any) -> list[Any]:
    """Build transforms from a list of options with a ``_target_``, or from such options by name.

    Raises:
        UserError: if one cannot be built.
    """
    options: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if isinstance(options, Mapping) and "_target_" in options:
        options = [options]
    if not isinstance(options, Mapping | list):
        raise UserError(f"data.augment must be a list of transforms, got {text(options)}")
    named = options.items() if isinstance(options, Mapping) else enumerate(options)
    return [_transform(each, f"data.augment.{name}") for name, each in named if each is not None]


def _transform(options: Any, name: str) -> Any:
    if not isinstance(options, Mapping) or "_target_" not in options:
        example = "{_target_: torchvision.transforms.v2.RandomHorizontalFlip}"
        raise UserError(f"{name} must be options such as {example}, got {text(options)}")
    is_function = inspect.isfunction(target_of(options, name))
    return build({**options, "_partial_": True} if is_function else dict(options), name)


# --- Datasets -------------------------------------------------------------------------------------

_KNOWN: OrderedDict[Hashable, Datasets] = OrderedDict()
"""Datasets that this process has built: seeds and losses share them."""
MOST_KNOWN = 3


def _of_datasets(node: DictConfig, target: Any, seed: Mapping[str, int]) -> Any:
    """Build what is not data of losslab: a Dataset, a DataModule, or a function of either.

    Options that its signature has are its own, and the others are those of losslab.
    """
    given: Any = OmegaConf.to_container(node, resolve=True)
    path = given.pop("_target_")
    theirs = _names(target)
    given |= {key: value for key, value in seed.items() if theirs and key in theirs}
    ours = {key: value for key, value in given.items() if key in OURS}
    own = {key: value for key, value in given.items() if key not in OURS or key in (theirs or ())}
    if theirs is not None and (unknown := [key for key in own if key not in theirs]):
        close = did_you_mean(unknown[0], [*theirs, *OURS])
        raise UserError(
            f"data: neither {_title(target)} nor losslab has an option {unknown[0]!r}{close} "
            f"{_title(target)} has: {', '.join(theirs) or 'none'}; losslab: {', '.join(OURS)}"
        )
    further = {split: ours.pop(key, None) or {} for split, key in SPLIT_OPTIONS.items()}
    known = (target, repr(own), repr(further))
    if known not in _KNOWN:
        with restored_state():
            seed_sample(0, None, 0)  # a random split by a DataModule is the same in all runs
            made = build({"_target_": path, **own}, "data")
            if hasattr(made, "fingerprint"):  # a function may return data of losslab
                _require_unused(target, [*ours, *(SPLIT_OPTIONS[s] for s in further if further[s])])
                return made
            _KNOWN[known] = _datasets(made, {"_target_": path, **own}, further)
        while len(_KNOWN) > MOST_KNOWN:
            _KNOWN.popitem(last=False)
    ours["augment"] = transforms(ours.get("augment") or [])
    wrapper = {"_target_": f"{FromDatasets.__module__}.{FromDatasets.__name__}"}
    return build(wrapper, "data", _KNOWN[known], **{**seed, **ours})


def _require_unused(target: Any, options: Iterable[str]) -> None:
    """Check that there are no options for data of losslab that the user's code has built.

    Raises:
        UserError: if there are, but for the seed, which splits and batches of other data have.
    """
    if unused := [f"data.{key}" for key in options if key != "seed"]:
        raise UserError(
            f"data: {_title(target)} returns data of losslab, whose options it gives itself: "
            f"leave out {', '.join(unused)}"
        )


def _names(target: Any) -> list[str] | None:
    """Return the names of a callable's arguments; ``None`` if it takes any."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):  # C functions may have none
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return [each.name for each in parameters if each.kind is not each.VAR_POSITIONAL]


def _title(target: Any) -> str:
    return str(getattr(target, "__name__", type(target).__name__))


def _datasets(
    made: Any, options: Mapping[str, Any], further: Mapping[str, Mapping[str, Any]]
) -> Datasets:
    """Return Datasets by split.

    Args:
        made: a DataModule, or the Dataset of training.
        options: ``_target_`` and options of which it was made.
        further: other options of the Datasets of validation and test, if they have their own.
    """
    if is_data_module(made):
        for split in (name for name, other in further.items() if other):
            raise UserError(f"data.{SPLIT_OPTIONS[split]}: {_title(type(made))} has its own splits")
        return datasets_of(made)
    splits = {name: build({**options, **other}, "data") for name, other in further.items() if other}
    return {name: checked_dataset(each) for name, each in {"train": made, **splits}.items()}


def checked_dataset(dataset: Any) -> Any:
    """Return a map-style Dataset, after checking that it is one.

    Raises:
        UserError: if it is not.
    """
    map_style = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if not map_style or isinstance(dataset, IterableDataset | Mapping | str):
        raise UserError(
            "data must be a torch Dataset with __len__ and __getitem__, or a LightningDataModule, "
            f"got {_title(type(dataset))}"
        )
    return dataset


def is_data_module(given: Any) -> bool:
    """Return whether something is a LightningDataModule."""
    return _data_module_class(given) is not None


def _data_module_class(given: Any) -> type | None:
    # by name: the packages lightning and pytorch_lightning have one each, and they are unrelated
    kinds = (each for each in type(given).__mro__ if each.__name__ == "LightningDataModule")
    return next(kinds, None)


def datasets_of(module: Any) -> Datasets:
    """Return the Datasets of a LightningDataModule by split, those that it has.

    Raises:
        UserError: if it fails, or a loader has none.
    """
    name = _title(type(module))
    base = _data_module_class(module)
    own = [each for each in LOADERS if getattr(type(module), each) is not getattr(base, each)]
    try:
        module.prepare_data()
        module.setup("fit")
        if "test_dataloader" in own:
            module.setup("test")
        loaders = {each: getattr(module, each)() for each in own}
    except Exception as error:  # the user's DataModule may raise anything
        raise UserError(f"data: {name} fails: {described(error)}") from error
    found = {}
    for each, made in loaders.items():
        loader = made[0] if isinstance(made, list | tuple) and len(made) == 1 else made
        if not hasattr(loader, "dataset"):
            raise UserError(
                f"data: {name}.{each}() must return one DataLoader, got {_title(type(loader))}"
            )
        found[each.partition("_")[0]] = checked_dataset(loader.dataset)
    if "train" not in found:
        raise UserError(f"data: {name} must have train_dataloader()")
    return found
