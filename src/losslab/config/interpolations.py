"""Options that follow another one by interpolation, as ``data.seed: ${seed}`` does."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.config import schema

_READS_NO_OPTION = re.compile(r"\$\{(oc\.env|now):[^${}]*\}")
_READS_OPTION = re.compile(r"\$\{(?:oc\.select:)?(?!hydra\b)(\w+(?:\.\w+)*)(?:,[^${}]*)?\}")


class Interpolations:
    """Interpolations of a config, as they are written.

    Args:
        config: config with Hydra's node, of which only the folder of a sweep is read.
    """

    def __init__(self, config: DictConfig) -> None:
        written: Any = OmegaConf.to_container(config)
        sweep_dir = written.pop("hydra")["sweep"]["dir"]
        found = [*schema.flat(written), ("hydra.sweep.dir", sweep_dir)]
        self._texts = [(key, text) for key, text in _texts(found) if "${" in text]

    def followers(self, key: str) -> list[str] | None:
        """Return an option and those that take its value; ``None`` if it may determine more.

        Example:
            >>> config = {"seed": 0, "data": {"seed": "${seed}"}, "lr": 1, "tags": ["${lr}x"]}
            >>> config["hydra"] = {"sweep": {"dir": "logs"}}
            >>> found = Interpolations(OmegaConf.create(config))
            >>> found.followers("seed"), found.followers("lr")
            (['seed', 'data.seed'], None)
        """
        equal = f"${{{key}}}"
        found = [key, *(name for name, text in self._texts if text == equal)]
        others = [(name, text) for name, text in self._texts if text != equal]
        unclear = any(_within(key, name) or _may_read(text, found) for name, text in others)
        return None if unclear else found


def _texts(options: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the options that are texts, and the texts in lists by their indices."""
    for key, value in options:
        if isinstance(value, tuple):
            yield from _texts((f"{key}.{index}", entry) for index, entry in enumerate(value))
        elif isinstance(value, str):
            yield key, value


def _may_read(text: str, keys: list[str]) -> bool:
    """Return whether a text may depend on one of the options, or on a node that has it."""
    text = _READS_NO_OPTION.sub("", text)
    read = _READS_OPTION.findall(text)
    unclear = "${" in _READS_OPTION.sub("", text)
    return unclear or any(_within(key, name) for key in keys for name in read)


def _within(key: str, node: str) -> bool:
    return key == node or key.startswith(f"{node}.")
