"""Packages that are no dependencies of losslab, and how to install them here."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losslab.config.errors import UserError

PACKAGES = {"cv2": "opencv-python", "skimage": "scikit-image", "yaml": "pyyaml", "ot": "POT"}
"""Packages whose name differs from that of their module."""

EXTRAS = {
    "wandb": "wandb",
    "mlflow": "mlflow",
    "aim": "aim",
    "comet_ml": "comet",
    "optuna": "optuna",
    "monai": "peers",
    "segmentation_models_pytorch": "smp",
    "timm": "timm",
    "safetensors": "timm",
    "pytorch_metric_learning": "peers",
    "kornia": "bench",
    "geomloss": "bench",
    "ot": "transport",
    "joblib": "joblib",
    "submitit": "slurm",
    "ray": "ray",
    "deepspeed": "deepspeed",
    "Box2D": "box2d",
    "datasets": "huggingface",
    "pyarrow": "parquet",
    "faster_coco_eval": "detection",
}
"""Extras of losslab by module that they install."""

LOGGERS = {"wandb": "wandb", "mlflow": "mlflow", "aim": "aim", "comet": "comet_ml"}
"""Modules of loggers, by their names in conf/."""

_CLONE = Path(__file__).resolve().parents[3]


def not_installed(*modules: str) -> str:
    """Say that modules are not installed, and how they are.

    Example:
        >>> not_installed("skimage")
        'skimage is not installed: pip install scikit-image'
        >>> not_installed("skimage", "cv2")
        'skimage and cv2 are not installed: pip install scikit-image opencv-python'
    """
    extras = ",".join(dict.fromkeys(EXTRAS[each] for each in modules if each in EXTRAS))
    wanted = [PACKAGES.get(each, each) for each in modules if each not in EXTRAS]
    if extras and (_CLONE / "pyproject.toml").is_file():  # losslab runs from a clone
        place = "." if Path.cwd() == _CLONE else _CLONE
        wanted.append(f"-e '{place}[{extras}]'")
    elif extras:
        wanted.append(f"'losslab[{extras}]'")
    *some, last = modules
    named = f"{', '.join(some)} and {last} are" if some else f"{last} is"
    return f"{named} not installed: pip install {' '.join(wanted)}"


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def require_logger_packages(options: Mapping[str, Any]) -> None:
    """Check that the packages of the loggers in conf/ are installed.

    Args:
        options: resolved config.

    Raises:
        UserError: if some are not.
    """
    loggers = options["logger"]["extra"]
    missing = {
        str(name): LOGGERS[name]
        for name in loggers
        if name in LOGGERS and not is_installed(LOGGERS[name])
    }
    if missing:
        without = " ".join(f"'~logger.extra.{name}'" for name in missing)
        several = len(loggers) > len(missing)
        advice = f", or leave out what you do not use: {without}" if several else ""
        chosen = options["choices"].get("logger")
        raise UserError(f"logger={chosen}: {not_installed(*missing.values())}{advice}")
