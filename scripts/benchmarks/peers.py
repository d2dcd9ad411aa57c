"""Losses that ``scripts/benchmark.py losses`` and ``batches`` measure, compared with peers.

Libraries that are not installed are left out (pip install "losslab[bench]").
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
    """Draw logits and binary masks of two images."""
    shape = (2, 1, 256, size // 512)
    return 3 * torch.randn(shape).to(dtype), (torch.rand(shape) < 0.3).to(dtype)


def values(size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Draw predicted and target values."""
    return torch.randn(size // 8, 8).to(dtype), torch.randn(size // 8, 8).to(dtype)


def classes(size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Draw logits of ten classes and class indices."""
    return torch.randn(size // 10, 10).to(dtype), torch.randint(10, (size // 10,))


def class_masks(size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Draw logits of ten classes and class indices per pixel, of two images."""
    shape = (2, 10, 8, size // 160)
    return torch.randn(shape).to(dtype), torch.randint(10, (2, *shape[2:]))


def peer(library: str, path: str) -> Any:
    """Import an object of a library; ``None`` if the library is not installed."""
    if not find_spec(library):
        return None
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def pairs() -> Iterator[tuple[str, Batch, Call, dict[str, Call]]]:
    """Yield name, batch, our loss, and the peers by library."""
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
    for name, ours, kind, options in overlaps():
        peers: dict[str, Call] = {}
        smp = peer("segmentation_models_pytorch", f"segmentation_models_pytorch.losses.{kind}")
        if smp:
            peers["SMP"] = smp("binary", **options)
        monai = peer("monai", f"monai.losses.{kind}")
        if monai and "gamma" not in options:
            peers["MONAI"] = monai(sigmoid=True, batch=True, **options)
        yield name, masks, ours, peers
    yield "dice, 10 classes", class_masks, losses.DiceLoss(per_image=False), dices_of_classes()
    yield "mse", values, losses.MSELoss(), {"torch": nn.MSELoss()}
    yield "mae", values, losses.MAELoss(), {"torch": nn.L1Loss()}
    yield "huber", values, losses.HuberLoss(), {"torch": nn.HuberLoss()}
    yield "smooth_l1", values, losses.SmoothL1Loss(), {"torch": nn.SmoothL1Loss()}
    yield "cross_entropy", classes, losses.CrossEntropyLoss(), {"torch": nn.CrossEntropyLoss()}
    of_classes: dict[str, Call] = {}
    if of_kornia := peer("kornia", "kornia.losses.focal_loss"):
        of_classes["kornia"] = partial(of_kornia, alpha=None, reduction="mean")
    yield "focal, 10 classes", classes, losses.FocalLoss(), of_classes


def overlaps() -> Iterator[tuple[str, Call, str, dict[str, float]]]:
    """Yield name, our loss, the peers' class and its options; alpha weighs false positives."""
    prices = {"alpha": 0.3, "beta": 0.7}
    yield "dice", losses.DiceLoss(per_image=False), "DiceLoss", {}
    yield "tversky", losses.TverskyLoss(per_image=False), "TverskyLoss", prices
    ours = losses.FocalTverskyLoss(per_image=False)
    yield "focal_tversky", ours, "TverskyLoss", {**prices, "gamma": ours.exponent}


def dices_of_classes() -> dict[str, Call]:
    """Return the peers' Dice losses over softmax classes."""
    found: dict[str, Call] = {}
    kind = "losses.DiceLoss"
    if smp := peer("segmentation_models_pytorch", f"segmentation_models_pytorch.{kind}"):
        found["SMP"] = smp("multiclass")
    if monai := peer("monai", f"monai.{kind}"):
        dice = monai(softmax=True, to_onehot_y=True, batch=True)
        found["MONAI"] = lambda logits, indices: dice(logits, indices.unsqueeze(1))
    return found


# --- pairwise losses ----------------------------------------------------------------------------


def of_batches() -> Iterator[tuple[str, str, tuple[Tensor, Tensor], Call, dict[str, Call]]]:
    """Yield name, description of the batch, prediction and target, our loss, and the peers."""
    chamfer = losses.ChamferLoss()
    matrices: dict[str, Call] = {"full matrix": full_matrix, "chunked matrix": chunked_matrix}
    clouds = sphere(1, 16384), sphere(1, 16384)
    yield "chamfer", "16,384 points", clouds, chamfer, matrices
    del matrices["full matrix"]
    collapsed = 0.001 * torch.randn(1, 16384, 3), sphere(1, 16384)
    yield "chamfer", "16,384 points, collapsed", collapsed, chamfer, matrices
    if pot := peer("ot", "ot.emd2"):
        emd: dict[str, Call] = {"POT": partial(mean_of_plans, pot)}
        yield "emd", "16 of 1,024 points", (sphere(16, 1024), sphere(16, 1024)), EMD, emd
        collapsed = 0.001 * torch.randn(16, 1024, 3), sphere(16, 1024)
        yield "emd", "16 of 1,024 points, collapsed", collapsed, EMD, emd
    library = "pytorch_metric_learning"
    if pml := peer(library, f"{library}.losses.TripletMarginLoss"):
        mean = peer(library, f"{library}.reducers.MeanReducer")
        mined = peer(library, f"{library}.miners.BatchHardMiner")()
        triplets = pml(margin=0.2, reducer=mean())
        for count in (10, 64):
            batch = torch.randn(512, 64), torch.arange(512) % count
            name = f"512 of {count} classes"
            yield "triplet, all", name, batch, losses.TripletLoss(), {"PML": triplets}
            hard: Call = lambda x, y: triplets(x, y, mined(x, y))  # noqa: E731
            yield "triplet, hard", name, batch, losses.TripletLoss(mining="hard"), {"PML": hard}


EMD = losses.EMDLoss(method="exact")


def sphere(clouds: int, points: int) -> Tensor:
    """Draw points on a sphere of radius 1, with noise of 1 %."""
    points_on_it = nn.functional.normalize(torch.randn(clouds, points, 3), dim=-1)
    return points_on_it + 0.01 * torch.randn(clouds, points, 3)


def full_matrix(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the Chamfer distance from the full distance matrix."""
    squares = torch.cdist(prediction, target).square()
    return squares.amin(dim=2).mean() + squares.amin(dim=1).mean()


def chunked_matrix(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the Chamfer distance of one cloud with 512 rows of the matrix at a time."""
    [x], [y] = prediction, target
    to_target, nearest = [], torch.full((len(y),), torch.inf)
    to_prediction = torch.zeros(len(y), dtype=torch.int64)
    with torch.no_grad():
        for start in range(0, len(x), 512):
            away = torch.cdist(x[start : start + 512], y)
            to_target.append(away.argmin(dim=1))
            least, index = away.min(dim=0)
            to_prediction = torch.where(least < nearest, index + start, to_prediction)
            nearest = torch.minimum(nearest, least)
    there = (x - y[torch.cat(to_target)]).square().sum(dim=1).mean()
    return there + (y - x[to_prediction]).square().sum(dim=1).mean()


def averaged(each: Call) -> Call:
    """Average a loss that returns one value per cloud."""
    return lambda prediction, target: each(prediction, target).mean()


def mean_of_plans(cost_of: Any, prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean cost of POT's exact transport plans between uniform clouds."""
    even = torch.full((prediction.shape[1],), 1 / prediction.shape[1])
    costs = torch.cdist(prediction, target)
    return torch.stack([cost_of(even, even, cost) for cost in costs]).mean()
