"""What ``scripts/benchmark.py losses`` measures: our losses beside those of other libraries.

A library that is not installed leaves its rows out (pip install "losslab[bench]").
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from losslab import losses

Call = Callable[[Tensor, Tensor], Tensor]
Batch = Callable[[int, torch.dtype], tuple[Tensor, Tensor]]
SIZES = (2**16, 2**21, 2**24)


def masks(size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits and 0/1 masks of one foreground, two images."""
    shape = (2, 1, 256, size // 512)
    return 3 * torch.randn(shape).to(dtype), (torch.rand(shape) < 0.3).to(dtype)


def values(size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Numbers and numbers."""
    return torch.randn(size // 8, 8).to(dtype), torch.randn(size // 8, 8).to(dtype)


def classes(size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits of ten classes and indices."""
    return torch.randn(size // 10, 10).to(dtype), torch.randint(10, (size // 10,))


def peer(library: str, path: str) -> Any:
    """What the path names in the library; ``None`` where that is not installed."""
    if not find_spec(library):
        return None
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def pairs() -> Iterator[tuple[str, Batch, Call, dict[str, Call]]]:
    """Name, batch, our loss, and the peers by library."""
    focal: dict[str, Call] = {}
    if of_torchvision := peer("torchvision", "torchvision.ops.sigmoid_focal_loss"):
        focal["torchvision"] = partial(of_torchvision, alpha=-1, reduction="mean")
    if of_kornia := peer("kornia", "kornia.losses.binary_focal_loss_with_logits"):
        focal["kornia"] = partial(of_kornia, alpha=None, reduction="mean")
    if of_monai := peer("monai", "monai.losses.FocalLoss"):
        focal["MONAI"] = of_monai()
    yield "focal", masks, losses.FocalLoss(), focal
    yield "bce", masks, losses.BCELoss(), {"torch": nn.BCEWithLogitsLoss()}
    yield "hinge", masks, losses.HingeLoss(), {}
    for name, ours, options in (
        ("dice", losses.DiceLoss(per_image=False), {}),
        ("tversky", losses.TverskyLoss(per_image=False), {"alpha": 0.3, "beta": 0.7}),
    ):
        peers: dict[str, Call] = {}
        kind = f"losses.{name.title()}Loss"
        if smp := peer("segmentation_models_pytorch", f"segmentation_models_pytorch.{kind}"):
            peers["SMP"] = smp("binary", **options)
        if monai := peer("monai", f"monai.{kind}"):
            peers["MONAI"] = monai(sigmoid=True, batch=True, **options)
        yield name, masks, ours, peers
    yield "mse", values, losses.MSELoss(), {"torch": nn.MSELoss()}
    yield "mae", values, losses.MAELoss(), {"torch": nn.L1Loss()}
    yield "huber", values, losses.HuberLoss(), {"torch": nn.HuberLoss()}
    yield "smooth_l1", values, losses.SmoothL1Loss(), {"torch": nn.SmoothL1Loss()}
    yield "cross_entropy", classes, losses.CrossEntropyLoss(), {"torch": nn.CrossEntropyLoss()}
