"""Try the losses of other libraries, and write what was found to docs/losses-of-others.md.

    python scripts/peers.py

Losses of libraries that are not installed keep their rows.
"""

import argparse
import importlib
import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from losslab.config.errors import described
from losslab.losses import TargetFormat
from losslab.losses.function import FunctionLoss
from losslab.passport import find_adapters, notes_on, try_format
from losslab.passport.problems import Shape

PAGE = Path(__file__).parents[1] / "docs" / "losses-of-others.md"


class Kind(NamedTuple):
    """Kind of task that losses are tried for.

    Args:
        task: its name.
        formats: the formats of its targets.
        shape: shape of one prediction.
    """

    task: str
    formats: tuple[TargetFormat, ...]
    shape: Shape


CLASSES = Kind(
    "classification", (TargetFormat.CLASS_INDICES, TargetFormat.CLASS_PROBABILITIES), (3,)
)
LABELS = Kind("multilabel", (TargetFormat.BINARY_TARGETS,), (3,))
MASKS = Kind("segmentation", (TargetFormat.BINARY_TARGETS,), (1, 16, 16))
CLASS_MASKS = Kind(
    "segmentation, classes",
    (TargetFormat.CLASS_MASKS, TargetFormat.CLASS_INDICES, TargetFormat.CLASS_PROBABILITIES),
    (3, 16, 16),
)
VALUES = Kind("regression", (TargetFormat.VALUES,), (1,))
IMAGES = Kind("reconstruction", (TargetFormat.VALUES,), (1, 16, 16))
EMBEDDINGS = Kind("metric learning", (TargetFormat.LABELLED_EMBEDDINGS,), (8,))

PROXIES = {"num_classes": 3, "embedding_size": 8}
Row = tuple[str, Kind, Mapping[str, Any]]


def rows(module: str, kind: Kind, names: str, **options: Any) -> list[Row]:
    """List losses of one module with the same options."""
    return [(f"{module}.{name}", kind, options) for name in names.split()]


LOSSES: dict[str, list[Row]] = {
    "torch": [
        *rows("torch.nn", CLASSES, "CrossEntropyLoss NLLLoss KLDivLoss MultiMarginLoss"),
        *rows("torch.nn", LABELS, "BCEWithLogitsLoss BCELoss MultiLabelSoftMarginLoss"),
        *rows("torch.nn", LABELS, "SoftMarginLoss HingeEmbeddingLoss MultiLabelMarginLoss"),
        *rows("torch.nn", VALUES, "MSELoss L1Loss SmoothL1Loss HuberLoss PoissonNLLLoss"),
        *rows("torch.nn", VALUES, "GaussianNLLLoss"),
        *rows("torch.nn", EMBEDDINGS, "CosineEmbeddingLoss TripletMarginLoss"),
        *rows("torch.nn", CLASSES, "MarginRankingLoss CTCLoss"),
    ],
    "torchvision": [
        *rows("torchvision.ops", LABELS, "sigmoid_focal_loss"),
        *rows("torchvision.ops", VALUES, "generalized_box_iou_loss"),
    ],
    "monai": [
        *rows("monai.losses", MASKS, "DiceLoss DiceCELoss DiceFocalLoss", sigmoid=True),
        *rows("monai.losses", MASKS, "GeneralizedDiceLoss TverskyLoss", sigmoid=True),
        *rows("monai.losses", MASKS, "DiceLoss TverskyLoss"),
        *rows("monai.losses", MASKS, "FocalLoss AsymmetricUnifiedFocalLoss SoftclDiceLoss"),
        *rows("monai.losses", CLASS_MASKS, "DiceLoss", softmax=True, to_onehot_y=True),
        *rows("monai.losses", CLASS_MASKS, "DiceLoss", softmax=True),
        *rows("monai.losses", CLASS_MASKS, "GeneralizedDiceLoss", softmax=True),
        *rows("monai.losses", IMAGES, "SSIMLoss", spatial_dims=2),
        *rows("monai.losses", IMAGES, "LocalNormalizedCrossCorrelationLoss", spatial_dims=2),
    ],
    "segmentation_models_pytorch": [
        *rows("segmentation_models_pytorch.losses", MASKS, "DiceLoss JaccardLoss", mode="binary"),
        *rows("segmentation_models_pytorch.losses", MASKS, "FocalLoss", mode="binary"),
        *rows("segmentation_models_pytorch.losses", MASKS, "LovaszLoss", mode="binary"),
        *rows("segmentation_models_pytorch.losses", MASKS, "TverskyLoss", mode="binary"),
        *rows("segmentation_models_pytorch.losses", MASKS, "MCCLoss SoftBCEWithLogitsLoss"),
        *rows("segmentation_models_pytorch.losses", CLASS_MASKS, "DiceLoss", mode="multiclass"),
        *rows("segmentation_models_pytorch.losses", CLASS_MASKS, "FocalLoss", mode="multiclass"),
        *rows(
            "segmentation_models_pytorch.losses",
            CLASS_MASKS,
            "SoftCrossEntropyLoss",
            smooth_factor=0.1,
        ),
    ],
    "kornia": [
        *rows("kornia.losses", MASKS, "BinaryFocalLossWithLogits", alpha=0.25, reduction="mean"),
        *rows("kornia.losses", MASKS, "LovaszHingeLoss"),
        *rows("kornia.losses", CLASS_MASKS, "DiceLoss LovaszSoftmaxLoss"),
        *rows("kornia.losses", CLASS_MASKS, "TverskyLoss", alpha=0.5, beta=0.5),
        *rows("kornia.losses", CLASS_MASKS, "FocalLoss", alpha=0.5, reduction="mean"),
        *rows("kornia.losses", CLASS_MASKS, "FocalLoss", alpha=0.5),
        *rows("kornia.losses", VALUES, "CharbonnierLoss CauchyLoss", reduction="mean"),
        *rows("kornia.losses", VALUES, "WelschLoss GemanMcclureLoss"),
        *rows("kornia.losses", IMAGES, "SSIMLoss", window_size=5),
        *rows("kornia.losses", IMAGES, "PSNRLoss", max_val=1.0),
    ],
    "timm": [
        *rows("timm.loss", CLASSES, "LabelSmoothingCrossEntropy SoftTargetCrossEntropy"),
        *rows("timm.loss", CLASSES, "AsymmetricLossSingleLabel BinaryCrossEntropy"),
        *rows("timm.loss", CLASSES, "JsdCrossEntropy"),
        *rows("timm.loss", LABELS, "AsymmetricLossMultiLabel BinaryCrossEntropy"),
    ],
    "pytorch_metric_learning": [
        *rows(
            "pytorch_metric_learning.losses",
            EMBEDDINGS,
            "ContrastiveLoss TripletMarginLoss NTXentLoss CircleLoss MultiSimilarityLoss "
            "SupConLoss LiftedStructureLoss MarginLoss NPairsLoss FastAPLoss TupletMarginLoss "
            "AngularLoss",
        ),
        *rows(
            "pytorch_metric_learning.losses",
            EMBEDDINGS,
            "ArcFaceLoss CosFaceLoss ProxyAnchorLoss ProxyNCALoss NormalizedSoftmaxLoss",
            **PROXIES,
        ),
    ],
    "lightly": rows("lightly.loss", EMBEDDINGS, "NTXentLoss BarlowTwinsLoss VICRegLoss DCLLoss"),
}
"""Losses to try, by library, with the kind of task that they are tried for."""

HEAD = """# Losses of other libraries

What `losslab probe` found when it called these losses on small problems with known answers, as
every loss is before it trains. *As it is* means that `loss._target_=` is enough; an adapter is put
in front: `loss._target_=losslab.losses.ADAPTER loss.loss._target_=LOSS`. Made by
`python scripts/peers.py`.

| library | version | loss | task | used | estimates, or why it is refused |
|---|---|---|---|---|---|
"""


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    kept = _present()
    lines = []
    for library, losses in LOSSES.items():
        found = list(table(library, losses))
        lines += found or [line for line in kept if line.startswith(f"| {library} |")]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")


def table(library: str, losses: list[Row]) -> Iterator[str]:
    """Try the losses of a library; nothing if it is not installed."""
    try:
        importlib.import_module(library)
    except ImportError:
        return
    version = metadata.version(library)
    for path, kind, options in losses:
        given = ", ".join(f"{name}={value}" for name, value in options.items())
        name = f"`{path.rpartition('.')[2]}`" + (f" ({given})" if given else "")
        used, words = verdict(path, kind, options)
        yield f"| {library} | {version} | {name} | {kind.task} | {used} | {words} |"


def verdict(path: str, kind: Kind, options: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a loss can be used, and what it estimates or why it is refused."""
    try:
        loss = made(path, options)
    except Exception as error:  # a library may refuse its own options
        return "refused", escaped(described(error))
    trials = [try_format(loss, target_format, kind.shape) for target_format in kind.formats]
    for trial in trials:
        if not trial.refusal:
            notes = notes_on(trial)
            return "as it is", "; ".join([notes["estimates"] or "not defined", *notes["warnings"]])
    chain = find_adapters(loss, kind.formats, kind.shape)
    used = "refused" if chain is None else " ".join(f"`{each.__name__}`" for each in chain)
    return used, escaped(trials[0].refusal)


def made(path: str, options: Mapping[str, Any]) -> nn.Module:
    """Build a loss by its path."""
    torch.manual_seed(0)  # for the parameters of a loss
    module, _, name = path.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    return target(**options) if inspect.isclass(target) else FunctionLoss(target, **options)


def escaped(text: str) -> str:
    """Return a text as one cell."""
    text = re.sub(r" \([^()]*\.py:\d+\)", "", text)  # where it was raised
    return re.sub(r"\s+", " ", text).replace("|", "\\|")[:150]


def _present() -> list[str]:
    return PAGE.read_text().splitlines() if PAGE.exists() else []


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
