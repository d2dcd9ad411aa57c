"""Lightning's loggers beside TensorBoard: ``logger=wandb``, ``logger=many`` ..."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import MLFlowLogger

from losslab.config import schema, secrets
from losslab.config.extras import require_logger_packages
from losslab.config.instantiate import build, target_of


def require_loggers(config: DictConfig) -> None:
    """Check that the loggers can be built, without doing so: they might create files.

    Raises:
        UserError: if packages are missing, or a ``_target_`` does not exist.
    """
    require_logger_packages(config)
    for name, node in config.logger.extra.items():
        target_of(node, f"logger.{name!s}")


def make_loggers(config: DictConfig, folder: Path) -> list[Any]:
    """Build the loggers, and give them the run's options.

    Args:
        config: the resolved config.
        folder: the run's folder, for those with ``save_dir: null``.
    """
    loggers = []
    for name, node in config.logger.extra.items():
        here = "save_dir" in node and node.save_dir is None
        given = {"save_dir": folder} if here else {}
        logger = build(node, f"logger.extra.{name}", **given)
        logger.log_hyperparams(schema.hparams(secrets.plain(config, resolve=False)))
        loggers.append(logger)
    return loggers


def run_urls(config: DictConfig, loggers: Sequence[Any]) -> dict[str, str]:
    """Return where the services of the loggers show the run, by their names in the config."""
    named = zip(config.logger.extra.items(), loggers, strict=True)
    urls = {str(name): _url(node, logger) for (name, node), logger in named}
    return {name: url for name, url in urls.items() if url}


def _url(node: DictConfig, logger: Any) -> str | None:
    """Return the address of a run; ``None`` if the logger is offline, or writes files."""
    if isinstance(logger, MLFlowLogger):
        server = node.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI")
        url = f"{server}/#/experiments/{logger.experiment_id}/runs/{logger.run_id}"
    else:
        url = str(getattr(logger.experiment, "url", None))
    return url if url.startswith("http") else None


def finish_loggers(loggers: Sequence[Any]) -> None:
    """Finish the loggers: W&B would otherwise log a sweep's next run into this one."""
    for logger in loggers:
        experiment = getattr(logger, "experiment", None)
        for name in ("finish", "end"):  # of W&B, of Comet
            finish = getattr(experiment, name, None)
            if callable(finish):
                finish()
