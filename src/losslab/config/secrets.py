"""Secrets in configs and commands, which neither the files of a run nor its logs may show.

An interpolation of an environment variable, ``${oc.env:NAME}``, is saved as it is written, and read
again when a run is resumed. The value of an option whose name ends in a word such as ``token`` or
``key`` is saved as ``***``, so that it must be typed again.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.resolvers import oc

MASK = "***"
INDICES = ("token", "key")
WORDS = (*INDICES, "apikey", "password", "passwd", "passphrase", "secret", "credentials")
"""Last words of the names of secrets. A number may be the index of a token or of a key."""


def is_secret(name: str) -> bool:
    """Return whether the last word of a name says that its value is a secret.

    Words are separated by ``.``, ``_``, ``-`` or a capital letter.

    Example:
        >>> [is_secret(name) for name in ("api_key", "WANDB_API_KEY", "logger.hubToken", "secret")]
        [True, True, True, True]
        >>> [is_secret(name) for name in ("monkey", "keypoints", "tokens_per_batch", "key_size")]
        [False, False, False, False]
    """
    return _last_word(name) in WORDS


def _last_word(name: str) -> str:
    return re.split(r"[._@-]|(?<=[a-z0-9])(?=[A-Z])", name)[-1].lower()


def _is_secret_value(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool) or not is_secret(name):
        return False
    text = str(value)
    number = re.fullmatch(r"[-+]?\d+(\.\d*)?", text) and _last_word(name) in INDICES
    return text not in ("", "null") and not number and "${" not in text


def masked(node: Any, name: str = "") -> Any:
    """Return options, given as plain values, with the values of secrets masked.

    Example:
        >>> masked({"project": "losses", "api_key": "abc", "token": "${oc.env:X}", "pad_token": 0})
        {'project': 'losses', 'api_key': '***', 'token': '${oc.env:X}', 'pad_token': 0}
    """
    if isinstance(node, Mapping):
        return {key: masked(value, str(key)) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [masked(value, name) for value in node]
    return MASK if _is_secret_value(name, node) else node


def for_saving(config: DictConfig) -> DictConfig:
    """Return the config of a run as its file holds it."""
    saved: DictConfig = OmegaConf.create(_for_saving(config))
    return saved


def _for_saving(config: DictConfig) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(config)
    plain["overrides"] = [masked_override(override) for override in plain["overrides"]]
    found: dict[str, Any] = masked(plain)
    return found


_SECTIONS: dict[str, str] = {}
"""Texts of the sections of configs that were saved last: runs of a sweep share most of them."""
MOST_SECTIONS = 256


def saved_text(config: DictConfig) -> str:
    """Return the text of a run's config file, in YAML."""
    if len(_SECTIONS) > MOST_SECTIONS:
        _SECTIONS.clear()
    return "".join(_section({key: value}) for key, value in _for_saving(config).items())


def _section(options: dict[str, Any]) -> str:
    known = repr(options)
    if known not in _SECTIONS:
        _SECTIONS[known] = OmegaConf.to_yaml(OmegaConf.create(options))
    return _SECTIONS[known]


_OPTION = re.compile(r"([\w.@-]+)(\s*:\s*)('[^']*'|\"[^\"]*\"|[^,{}]+)")


def masked_override(override: str) -> str:
    """Return an argument of the command line with the values of secrets masked.

    Example:
        >>> masked_override("logger.extra.wandb.api_key=abc")
        'logger.extra.wandb.api_key=***'
        >>> masked_override("+logger.extra.wandb={project: losses, api_key: abc}")
        '+logger.extra.wandb={project: losses, api_key: ***}'
    """
    key, equals, value = override.partition("=")
    if not equals:
        return override
    if _is_secret_value(key, value):
        return f"{key}={MASK}"
    return f"{key}={_OPTION.sub(_masked_option, value) if '{' in value else value}"


def _masked_option(match: re.Match[str]) -> str:
    name, colon, value = match.groups()
    return f"{name}{colon}{MASK}" if _is_secret_value(name, value.strip("'\"")) else match[0]


class Formatter(logging.Formatter):
    """Formatter that masks secrets in the overrides that Hydra logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        text = _OPTION.sub(_masked_option, super().format(record))
        return " ".join(map(masked_override, text.split(" ")))


# --- environment variables ------------------------------------------------------------------------

_watched: list[str] | None = None


def environment_variable(name: str, *default: Any) -> Any:
    """Return an environment variable for ``${oc.env:NAME}``.

    While variables are watched, note its name; one that is not set may be missing then.
    """
    if _watched is None:
        return oc.env(name, *default)
    _watched.append(name)
    return oc.env(name, *(default or [""]))


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect the names of the environment variables that interpolations read."""
    global _watched  # noqa: PLW0603 (resolvers have no other channel)
    before, _watched = _watched, []
    try:
        yield _watched
    finally:
        _watched = before


def plain(value: Any, *, resolve: bool = True) -> Any:
    """Return a value of a config as a plain one."""
    return OmegaConf.to_container(value, resolve=resolve) if OmegaConf.is_config(value) else value


def resolved(node: DictConfig | ListConfig) -> Any:
    """Return options as plain values, resolved except for what environment variables determine.

    Example:
        >>> from omegaconf import OmegaConf
        >>> config = OmegaConf.create({"n": 2, "m": "${n}", "path": "${oc.env:HOME}/logs"})
        >>> resolved(config)
        {'n': 2, 'm': 2, 'path': '${oc.env:HOME}/logs'}
    """
    if isinstance(node, ListConfig):
        return [_resolved(node, index) for index in range(len(node))]
    return {key: _resolved(node, key) for key in node}


def _resolved(node: Any, key: Any) -> Any:
    with watched() as names:
        value = node[key]
        found = plain(value)
    if not names:
        return found
    if OmegaConf.is_interpolation(node, key):
        raw: Any = OmegaConf.to_container(node, resolve=False)
        return raw[key]
    return resolved(value)


def variables(node: Any, name: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the options, by dotted key, that environment variables determine, and their names."""
    for key in range(len(node)) if isinstance(node, ListConfig) else node:
        path = f"{name}.{key}" if name else str(key)
        if OmegaConf.is_interpolation(node, key):
            with watched() as names:
                value = node[key]
                if OmegaConf.is_config(value):
                    OmegaConf.to_container(value, resolve=True)
            yield path, names
        elif OmegaConf.is_config(node[key]):
            yield from variables(node[key], path)
