"""Packages that are no dependencies of losslab, and how to install them here."""

import importlib.util
from pathlib import Path

PACKAGES = {"cv2": "opencv-python", "skimage": "scikit-image", "yaml": "pyyaml", "ot": "POT"}
"""Packages whose name differs from that of their module."""

EXTRAS = {
    "wandb": "wandb",
    "mlflow": "mlflow",
    "monai": "peers",
    "segmentation_models_pytorch": "peers",
    "pytorch_metric_learning": "peers",
    "kornia": "bench",
    "geomloss": "bench",
    "ot": "transport",
    "joblib": "joblib",
    "Box2D": "box2d",
    "datasets": "huggingface",
    "pyarrow": "parquet",
}
"""Extras of losslab by module that they install."""

_CLONE = Path(__file__).resolve().parents[3]


def not_installed(module: str) -> str:
    """Say that a module is not installed, and how it is.

    Example:
        >>> not_installed("skimage")
        'skimage is not installed: pip install scikit-image'
    """
    wanted = PACKAGES.get(module, module)
    if module in EXTRAS:
        wanted = f"'losslab[{EXTRAS[module]}]'"
        if (_CLONE / "pyproject.toml").is_file():  # losslab runs from a clone
            place = "." if Path.cwd() == _CLONE else _CLONE
            wanted = f"-e '{place}[{EXTRAS[module]}]'"
    return f"{module} is not installed: pip install {wanted}"


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None
