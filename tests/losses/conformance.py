"""What every loss must do, whoever wrote it: one check a promise, over all losses there are.

The losses are those of ``conf/loss/*.yaml`` and the classes that ``losslab.losses`` exports. A new
form of prediction and target adds its makers to ``EXAMPLES`` and ``EXTREMES``; a new loss adds its
reference to ``references.py`` and, where its options change the formula, lines to ``VARIANTS``.
"""

import importlib
import inspect
import math
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from references import REFERENCES
from torch.testing import assert_close
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

import losslab.losses
from losslab.config.instantiate import accepted
from losslab.losses import (
    DetectionLoss,
    Loss,
    PolicyTarget,
    RelevanceTarget,
    SequenceTarget,
    SumLoss,
    TargetFormat,
    TransitionTarget,
    UncertaintySumLoss,
)

CONFIGS = Path(__file__).parents[2] / "conf" / "loss"
CLASSES = 4
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}
DOUBLE = {"rtol": 1e-10, "atol": 1e-12}
EXACT = {"rtol": 1e-12, "atol": 1e-12}


# --- examples: form -> (dtype, seed, n) -> prediction and target


def _normal(dtype, seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _indices(seed, n):
    return torch.randint(CLASSES, (n,), generator=torch.Generator().manual_seed(seed))


def _sequences(seed, n, steps=6, labels=2):
    """Label sequences of 0 to 2 labels; one in seven has more labels than steps."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.arange(n) % (labels + 1)
    return SequenceTarget(
        torch.randint(1, CLASSES - 1, (n, labels), generator=generator),
        lengths,
        torch.where(torch.arange(n) % 7 == 5, 1, steps - lengths),
    )


def _grades(seed, n, documents=4):
    """Grades -1 to 2, and padding that has some of them."""
    generator = torch.Generator().manual_seed(seed)
    grades = torch.randint(-1, 3, (n, documents), generator=generator)
    return RelevanceTarget(grades, torch.rand(n, documents, generator=generator) < 0.75)


def _boxes(dtype, seed, n):
    """Boxes of sides from 2 to 6, and true ones that overlap them."""
    rng = torch.Generator().manual_seed(seed)
    centre, target_centre = torch.rand(2, n, 2, generator=rng) * torch.tensor([6, 2])[:, None, None]
    size, target_size = 2 + 4 * torch.rand(2, n, 2, generator=rng)
    corners = [centre - size / 2, centre + size / 2]
    true = [centre + target_centre / 2 - target_size / 2, centre + target_centre + target_size / 2]
    return torch.cat(corners, dim=1).to(dtype), torch.cat(true, dim=1).to(dtype)


def _classified_boxes(dtype, seed, n, places=3):
    """Logits of two classes with boxes; of three places two have an object."""
    boxes, true = _boxes(dtype, seed, places * n)
    logits = 2 * _normal(dtype, seed + 2, n, places, 2)
    labels = (torch.arange(places * n) % places) * (torch.arange(places * n) % 2 + 1) / 2 - 1
    target = torch.cat([labels.round().to(dtype).unsqueeze(1), true], dim=1)
    boxes, target = (each.unflatten(0, (n, places)) for each in (boxes, target))
    return torch.cat([logits, boxes], dim=2), target


EXAMPLES: dict[TargetFormat, Callable] = {
    TargetFormat.CLASSIFIED_BOXES: _classified_boxes,
    TargetFormat.BOXES: _boxes,
    # near each other, since chamfer is not convex: a point may share its neighbour for good
    TargetFormat.POINT_SETS: lambda dtype, seed, n: (
        _normal(dtype, seed, n, 5, 3).flip(1) + _normal(dtype, seed + 1, n, 5, 3) / 16,
        _normal(dtype, seed, n, 5, 3),
    ),
    TargetFormat.LABELLED_EMBEDDINGS: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, 3),
        _indices(seed + 1, n) % 3,
    ),
    TargetFormat.PAIRED_EMBEDDINGS: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, 2, 3),
        torch.arange(n) % 5,  # of six pairs, two have the same label
    ),
    TargetFormat.RELEVANCE: lambda dtype, seed, n: (
        _normal(dtype, seed, n, 4),
        _grades(seed + 1, n),
    ),
    TargetFormat.ADVANTAGES: lambda dtype, seed, n: (
        -_normal(dtype, seed, n).abs(),
        PolicyTarget(_normal(dtype, seed + 1, n), -_normal(dtype, seed + 2, n).abs()),
    ),
    TargetFormat.ACTION_VALUES: lambda dtype, seed, n: (
        _normal(dtype, seed, n, CLASSES),
        TransitionTarget(
            _indices(seed + 1, n),
            _normal(dtype, seed + 2, n),
            torch.arange(n) % 3 == 1,
            _normal(dtype, seed + 3, n, CLASSES),
            _normal(dtype, seed + 4, n, CLASSES),
        ),
    ),
    TargetFormat.SEQUENCES: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, 6, CLASSES),
        _sequences(seed + 1, n),
    ),
    TargetFormat.DISCRIMINATOR: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n),
        2 * _normal(dtype, seed + 1, n),
    ),
    TargetFormat.VALUES: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, 3),
        _normal(dtype, seed + 1, n, 3),
    ),
    TargetFormat.IMAGES: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, 1, 6, 5),
        _normal(dtype, seed + 1, n, 1, 6, 5),
    ),
    TargetFormat.CLASS_INDICES: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, CLASSES),
        _indices(seed + 1, n),
    ),
    TargetFormat.CLASS_MASKS: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, CLASSES, 2, 2),
        _indices(seed + 1, 4 * n).view(n, 2, 2),
    ),
    TargetFormat.CLASS_PROBABILITIES: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, CLASSES),
        (2 * _normal(dtype, seed + 1, n, CLASSES)).softmax(dim=1),
    ),
    TargetFormat.BINARY_TARGETS: lambda dtype, seed, n: (
        2 * _normal(dtype, seed, n, 3),
        (_normal(dtype, seed + 1, n, 3) > 0).to(dtype),
    ),
}


# --- extremes: form -> {what is extreme: (prediction, target)}, in float32

FAR = torch.tensor([[1e4, -1e4, 0.0, 3.0], [-1e4, 1e4, -50.0, 50.0], [20.0, -20.0, 15.0, -15.0]])
ROW = torch.tensor([[0.5, -1.0, 2.0, 0.0]])


def _pixels(rows):
    """The rows as the pixels of one image: ``(1, C, 1, rows)``."""
    return rows.T[None, :, None]


def _one_hot(indices):
    return torch.nn.functional.one_hot(torch.tensor(indices), CLASSES).float()


def _reads(labels, steps):
    """One sequence of these labels."""
    return SequenceTarget(
        torch.tensor([labels]), torch.tensor([len(labels)]), torch.tensor([steps])
    )


def _step(reward, next_values, *, terminated):
    """One transition by action 1."""
    values = torch.tensor([next_values])
    return TransitionTarget(
        torch.tensor([1]), torch.tensor([reward]), torch.tensor([terminated]), values, -values
    )


SPREAD = torch.tensor([[1.0, 2.0, 0.5], [-1.0, 1.0, 2.0], [0.5, 1.5, -1.0]])
CLOUD = torch.tensor([[[0.0, 0.0], [1.0, 0.5], [0.25, -2.0]]])

IMAGE = torch.linspace(-1, 2, 30).sin().reshape(1, 1, 6, 5)
BOX = torch.tensor([[1.0, 1.0, 5.0, 3.0]])


def _box(*corners):
    return torch.tensor([corners])


def _place(logits, box, label, true):
    """One place of one image."""
    prediction = torch.cat([torch.tensor([logits]), box], dim=1)
    return prediction.unsqueeze(0), torch.cat([torch.tensor([[label]]), true], dim=1).unsqueeze(0)


EXTREMES: dict[TargetFormat, dict[str, tuple]] = {
    TargetFormat.CLASSIFIED_BOXES: {
        "right by far": _place([1e4, -1e4], BOX, 0.0, BOX),
        "wrong by far": _place([1e4, -1e4], BOX + 1e4, 1.0, BOX),
        "background": _place([1e4, 3.0], BOX, -1.0, BOX),
        "background without a box": _place([-3.0, 0.0], BOX, -1.0, 0 * BOX),
        "undecided": _place([1e4, -1e4], BOX, -2.0, BOX),
        "a point": _place([0.0, 0.0], _box(4.0, 2.0, 4.0, 2.0), 1.0, BOX),
    },
    TargetFormat.BOXES: {
        "identical": (BOX, BOX.clone()),
        "apart": (BOX + 7, BOX),
        "far apart": (BOX + 1e4, BOX),
        "touching": (BOX + torch.tensor([4.0, 0.0, 4.0, 0.0]), BOX),
        "one inside the other": (_box(2.0, 1.5, 3.0, 2.0), BOX),
        "same centre": (_box(2.0, 0.0, 4.0, 4.0), BOX),
        "without height": (_box(1.5, 2.0, 4.5, 2.0), BOX),
        "without width": (_box(4.0, 2.0, 4.0, 2.5), BOX),
        "a point": (_box(4.0, 2.0, 4.0, 2.0), BOX),
        "a point outside": (_box(9.0, 2.0, 9.0, 2.0), BOX),
        "both one point": (_box(4.0, 2.0, 4.0, 2.0), _box(4.0, 2.0, 4.0, 2.0)),
        "both on one line": (_box(1.0, 2.0, 4.0, 2.0), _box(2.0, 2.0, 7.0, 2.0)),
        "corners swapped": (_box(4.5, 2.5, 2.0, 0.5), BOX),
        "one pair of coordinates swapped": (_box(4.5, 0.5, 2.0, 2.5), BOX),
        "tiny": (BOX * 1e-30, BOX.flip(1) * 1e-30),
        "huge": (BOX * 1e15, (BOX + 1) * 1e15),
        "tiny inside huge": (BOX * 1e-15, _box(-1e15, -2e15, 1e15, 3e15)),
        "far from the origin": (BOX / 64 + 1e4, (BOX + 1) / 64 + 1e4),
    },
    TargetFormat.POINT_SETS: {
        "identical clouds": (CLOUD, CLOUD.clone()),
        "collapsed cloud": (torch.zeros(1, 4, 2), torch.cat([CLOUD, CLOUD[:, 1:2]], dim=1)),
        "both collapsed to one place": (torch.ones(1, 3, 2), torch.ones(1, 3, 2)),
        "far from the origin": (CLOUD / 64 + 1e4, CLOUD.flip(2) / 64 + 1e4),
        "far from each other": (CLOUD, CLOUD + 1e4),
        "one point": (CLOUD[:, :1], CLOUD[:, 1:2]),
        "tiny": (CLOUD * 1e-12, CLOUD.flip(2) * 1e-12),
    },
    TargetFormat.LABELLED_EMBEDDINGS: {
        "identical": (torch.ones(4, 3), torch.tensor([0, 0, 1, 1])),
        "zero": (torch.zeros(4, 3), torch.tensor([0, 0, 1, 1])),
        "one class": (FAR[:, :3], torch.tensor([2, 2, 2])),
        "no class twice": (FAR[:, :3], torch.tensor([0, 1, 2])),
        "one row": (ROW[:, :3], torch.tensor([1])),
        "large": (FAR[:, :3], torch.tensor([0, 1, 0])),
        "tiny": (SPREAD * 1e-30, torch.tensor([0, 0, 1])),
        "huge": (SPREAD * 1e15, torch.tensor([0, 0, 1])),
    },
    TargetFormat.PAIRED_EMBEDDINGS: {
        "identical": (torch.ones(3, 2, 3), torch.tensor([0, 1, 2])),
        "zero": (torch.zeros(3, 2, 3), torch.tensor([0, 0, 1])),
        "one label": (torch.stack([SPREAD, SPREAD.flip(0)], dim=1), torch.tensor([2, 2, 2])),
        "one pair": (SPREAD[:2][None], torch.tensor([1])),
        "right by far": (torch.eye(3)[:, None].expand(3, 2, 3), torch.tensor([0, 1, 2])),
        "wrong by far": (
            torch.stack([torch.eye(3), -torch.eye(3)], dim=1),
            torch.tensor([0, 1, 2]),
        ),
        "tiny": (torch.stack([SPREAD, SPREAD.flip(0)], dim=1) * 1e-30, torch.tensor([0, 0, 1])),
        "huge": (torch.stack([SPREAD, SPREAD.flip(0)], dim=1) * 1e15, torch.tensor([0, 0, 1])),
    },
    TargetFormat.RELEVANCE: {
        "right by far": (FAR[:1], torch.tensor([[3, 0, 1, 2]])),
        "wrong by far": (FAR[:1], torch.tensor([[0, 3, 2, 1]])),
        "equal scores": (torch.zeros(2, 3), torch.tensor([[0, 1, 2], [0, 0, 1]])),
        "equal grades": (FAR, torch.ones(3, CLASSES, dtype=torch.int64)),
        "negative grades": (FAR[:1], torch.tensor([[-1, 0, -2, -1]])),
        "all padding": (
            FAR,
            RelevanceTarget(torch.ones(3, CLASSES), torch.zeros(3, CLASSES, dtype=torch.bool)),
        ),
        "one document": (torch.ones(1, 1), torch.ones(1, 1, dtype=torch.int64)),
    },
    TargetFormat.ADVANTAGES: {
        "one step": (torch.tensor([-2.0]), PolicyTarget(torch.ones(1), -torch.ones(1))),
        "equal advantages": (-torch.ones(5), PolicyTarget(torch.full((5,), 0.1), -torch.ones(5))),
        "large advantages": (
            -torch.ones(2),
            PolicyTarget(torch.tensor([1e30, -1e30]), -torch.ones(2)),
        ),
        "nearly impossible": (
            torch.tensor([-1e4, -1e4, 0.0]),
            PolicyTarget(torch.tensor([1.0, -1.0, 1.0]), torch.tensor([-1.0, -2.0, -1e4])),
        ),
    },
    TargetFormat.ACTION_VALUES: {
        "large values": (FAR[:1], _step(1e4, [0.0, 3.0, 1e4, 1.0], terminated=False)),
        "no error": (FAR[:1], _step(-1e4, [1.0, 1.0, 1.0, 1.0], terminated=True)),
        "equal values": (torch.zeros(1, CLASSES), _step(0.0, [0.0] * 4, terminated=False)),
    },
    TargetFormat.SEQUENCES: {
        "sure of the label": (FAR[None], _reads([1], 3)),
        "sure of others": (FAR[None], _reads([2, 1], 3)),
        "no labels": (FAR[None], _reads([0], 3)._replace(label_lengths=torch.tensor([0]))),
        "too short for its labels": (FAR[None], _reads([2, 2], 2)),
        "equal logits": (torch.zeros(1, 5, CLASSES), _reads([1, 1], 5)),
    },
    TargetFormat.DISCRIMINATOR: {
        "told apart by far": (torch.tensor([1e4, 50.0, 20.0]), torch.tensor([-1e4, -50.0, -20.0])),
        "taken for each other": (torch.tensor([-1e4, -50.0]), torch.tensor([1e4, 50.0])),
        "undecided": (torch.zeros(2), torch.zeros(2)),
        "one pair": (torch.tensor([3.0]), torch.tensor([-2.0])),
    },
    TargetFormat.VALUES: {
        "zero residuals": (FAR, FAR.clone()),
        "large residuals": (FAR, -FAR),
        "small residuals": (FAR * 1e-6, FAR * 1.001e-6),
        "one row": (ROW, torch.zeros(1, CLASSES)),
        "equal predictions": (torch.zeros(5, 2), torch.ones(5, 2)),
    },
    TargetFormat.IMAGES: {
        "zero residuals": (IMAGE, IMAGE.clone()),
        "large residuals": (50 * IMAGE, -50 * IMAGE),
        "small residuals": (IMAGE, 1.001 * IMAGE),
        "blank": (torch.zeros(2, 1, 6, 5), torch.ones(2, 1, 6, 5)),
    },
    TargetFormat.CLASS_INDICES: {
        "right by far": (FAR, torch.tensor([0, 1, 0])),
        "wrong by far": (FAR, torch.tensor([1, 0, 1])),
        "one class": (FAR, torch.tensor([2, 2, 2])),
        "one row": (ROW, torch.tensor([1])),
        "equal logits": (torch.zeros(3, CLASSES), torch.tensor([0, 1, 3])),
    },
    TargetFormat.CLASS_MASKS: {
        "right by far": (_pixels(FAR), torch.tensor([[[0, 1, 0]]])),
        "wrong by far": (_pixels(FAR), torch.tensor([[[1, 0, 1]]])),
        "one class": (_pixels(FAR), torch.tensor([[[2, 2, 2]]])),
        "one pixel": (_pixels(ROW), torch.tensor([[[1]]])),
        "equal logits": (torch.zeros(1, CLASSES, 1, 3), torch.tensor([[[0, 1, 3]]])),
    },
    TargetFormat.CLASS_PROBABILITIES: {
        "right by far": (FAR, _one_hot([0, 1, 0])),
        "wrong by far": (FAR, _one_hot([1, 0, 1])),
        "one class": (FAR, _one_hot([2, 2, 2])),
        "one row": (ROW, _one_hot([1])),
        "even targets": (FAR, torch.full((3, CLASSES), 0.25)),
    },
    TargetFormat.BINARY_TARGETS: {
        "right by far": (FAR, (FAR > 0).float()),
        "wrong by far": (FAR, (FAR <= 0).float()),
        "all negative": (FAR, torch.zeros(3, CLASSES)),
        "all positive": (FAR, torch.ones(3, CLASSES)),
        "one row": (ROW, torch.ones(1, CLASSES)),
    },
}


# --- options that change the formula: name -> [(options, the forms they are for, or None for all)]

PER_CLASS = [0.5, 1.0, 2.0, 0.25]
VARIANTS: dict[str, list[tuple[dict, tuple[TargetFormat, ...] | None]]] = {
    "chamfer": [({"squared": False, "directions": "mean"}, None)],
    "emd": [({"p": 2}, None)],
    "contrastive": [({"margin": 2.0, "normalize": False, "mean_over": "active"}, None)],
    "triplet": [
        ({"distance": "squared", "normalize": False}, None),
        ({"mining": "hard", "mean_over": "active"}, None),
        ({"mining": "semi_hard"}, None),
        ({"soft_margin": True}, None),
        ({"mining": "hard", "soft_margin": True}, None),
    ],
    "angular": [({"angle": 36.0}, None)],
    "arcface": [({"margin": 1.0, "scale": 8.0}, None)],
    "cosface": [({"margin": 0.0, "scale": 8.0}, None)],
    "proxy_anchor": [({"margin": 0.25, "scale": 16.0}, None)],
    "info_nce": [({"temperature": 0.5}, None)],
    "siglip": [({"scale": 2.0, "bias": 1.0}, None)],
    "margin_ranking": [({"margin": 0.25}, None)],
    "policy_gradient": [({"clip": 0.2}, None), ({"normalize": False}, None)],
    "q_learning": [({"double": True, "discount": 0.5}, None), ({"td": "mse"}, None)],
    "huber": [({"delta": 0.25}, None)],
    "dice": [
        ({"power": 2}, None),
        ({"smooth": 1.0, "empty": "skip"}, None),
        ({"include_background": False}, (TargetFormat.CLASS_MASKS,)),
        ({"weight": PER_CLASS, "empty": "skip"}, (TargetFormat.CLASS_MASKS,)),
    ],
    "tversky": [
        ({"fp_weight": 0.2, "fn_weight": 0.9, "smooth": 1.0}, None),
        ({"weight": PER_CLASS}, (TargetFormat.CLASS_MASKS,)),
    ],
    "focal_tversky": [
        ({"exponent": 2.0}, None),
        ({"empty": "skip"}, None),
        ({"weight": PER_CLASS}, (TargetFormat.CLASS_MASKS,)),
    ],
    "bce_dice": [
        ({"bce_weight": 0.5, "dice_weight": 2.0, "power": 2}, None),
        ({"weight": PER_CLASS}, (TargetFormat.CLASS_MASKS,)),
    ],
    "ctc": [({"blank": 3}, None)],
    "framewise_cross_entropy": [({"blank": 3}, None)],
    "reconstruction": [({"p": 1}, None), ({"per": "sample"}, None)],
    "adversarial_reconstruction": [
        ({"p": 2, "weight": 0.5}, None),
        ({"kind": "minimax"}, None),
        ({"kind": "least_squares"}, None),
        ({"kind": "hinge"}, None),
    ],
    "adversarial": [
        ({"kind": "minimax"}, None),
        ({"kind": "least_squares"}, None),
        ({"kind": "hinge"}, None),
        ({"kind": "wasserstein"}, None),
    ],
    "smooth_l1": [({"beta": 0.25}, None), ({"beta": 0.0}, None)],
    "cross_entropy": [
        ({"weight": PER_CLASS}, None),
        ({"ignore_index": 1}, None),
        ({"weight": PER_CLASS, "label_smoothing": 0.25, "ignore_index": 1}, None),
    ],
    "logit_adjusted": [
        ({"class_counts": [8, 4, 2, 1]}, None),
        ({"class_counts": [0.25, 0.5, 1.0, 2.0], "tau": 0.5, "ignore_index": 1}, None),
    ],
    "categorical_cross_entropy": [
        ({"weight": PER_CLASS}, None),
        ({"weight": PER_CLASS, "label_smoothing": 0.25}, None),
    ],
    "bce": [
        ({"ignore_index": 1}, (TargetFormat.BINARY_TARGETS,)),
        ({"pos_weight": 4.0}, None),
        ({"pos_weight": PER_CLASS}, (TargetFormat.CLASS_PROBABILITIES,)),
    ],
    "hinge": [
        ({"squared": True, "margin": 0.5}, None),
        ({"ignore_index": 1}, None),
        ({"multiclass": "weston_watkins"}, (TargetFormat.CLASS_INDICES,)),
        ({"multiclass": "weston_watkins", "squared": True}, (TargetFormat.CLASS_INDICES,)),
    ],
    "focal": [
        ({"gamma": 0.0}, None),
        ({"gamma": 0.5}, None),
        ({"ignore_index": 1}, None),
        ({"alpha": 0.25}, (TargetFormat.BINARY_TARGETS,)),
        ({"gamma": 1.0, "alpha": PER_CLASS}, (TargetFormat.CLASS_INDICES,)),
    ],
}


# --- sums of losses


def _sum(kind, reduction="mean"):
    """Return a sum of two losses of classes."""
    first = losslab.losses.CrossEntropyLoss(reduction=reduction)
    second = losslab.losses.FocalLoss(gamma=1.0, reduction=reduction)
    return kind({"cross_entropy": first, "focal": second}, {"focal": 0.5})


def _detection(reduction="mean"):
    of = losslab.losses.FocalLoss(reduction=reduction), losslab.losses.GIoULoss(reduction=reduction)
    return DetectionLoss(dict(zip(("classification", "box"), of, strict=True)), {"box": 2})


SUMS = {"sum": partial(_sum, SumLoss), "uncertainty_sum": partial(_sum, UncertaintySumLoss)}
for _made in SUMS.values():
    _made.accepts = (TargetFormat.CLASS_INDICES,)
SUMS["detection"] = partial(_detection)
SUMS["detection"].accepts = DetectionLoss.accepts

# --- what does not apply, and why: (loss, check or reduction) -> reason

DOES_NOT_APPLY: dict[tuple[str, str], str] = {
    ("rmse", "sum"): "the root of a mean has no elements to sum",
    ("rmse", "none"): "the root of a mean has no elements",
    ("sse", "mean"): "its mean is mse",
    ("ciou", "gradient"): "the weight of the aspect ratio is a constant, as in the paper",
    ("adversarial_reconstruction", "gradient"): "the copies are constants to its discriminator",
    ("contrastive", "reductions"): "a batch twice has new pairs",
    ("triplet", "reductions"): "a batch twice has new triplets",
    ("angular", "reductions"): "a batch twice has new pairs",
    ("contrastive", "sample_weights"): "its terms are pairs of samples",
    ("triplet", "sample_weights"): "its terms are triplets of samples",
    ("angular", "sample_weights"): "its terms are pairs of samples",
    ("contrastive", "union"): "two batches together have new pairs",
    ("triplet", "union"): "two batches together have new triplets",
    ("angular", "union"): "two batches together have new pairs",
    ("info_nce", "reductions"): "a batch twice has new pairs",
    ("siglip", "reductions"): "a batch twice has new pairs",
    ("info_nce", "sample_weights"): "its terms compare pairs",
    ("siglip", "sample_weights"): "its terms compare pairs",
    ("info_nce", "union"): "two batches together have new pairs",
    ("siglip", "union"): "two batches together have new pairs",
    ("proxy_anchor", "sum"): "its two means divide by different numbers",
    ("proxy_anchor", "none"): "its two means divide by different numbers",
    ("proxy_anchor", "reductions"): "a batch twice has more samples per proxy",
    ("proxy_anchor", "sample_weights"): "its terms belong to all samples of a batch",
    ("proxy_anchor", "union"): "two batches together have more samples per proxy",
    ("detection", "sum"): "both of its losses divide by the number of objects",
    ("detection", "none"): "its terms are of different kinds",
    ("uncertainty_sum", "sum"): "its losses average",
    ("uncertainty_sum", "none"): "its losses average",
    ("policy_gradient", "union"): "advantages are standardized over the batch",
    ("ctc", "compiles"): "torch's kernel reads the lengths on the host",
    ("ctc", "no_synchronisation"): "torch's kernel reads the lengths on the host",
}


@dataclass(frozen=True)
class Case:
    """A loss with its options and one of the forms it reads; None if it says nothing of them."""

    name: str
    target: Callable
    form: TargetFormat | None
    options: dict = field(default_factory=dict)
    changed: dict = field(default_factory=dict)

    def __str__(self) -> str:
        changed = "".join(f",{name}={value}" for name, value in self.changed.items())
        form = self.form.value if self.form else "unknown"
        return f"{self.name}{changed}-{form}".replace(" ", "_")

    def build(self, **options):
        """Build the loss; its own parameters are the same in every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.target(**{**self.options, **self.sizes(), **self.changed, **options})

    def sizes(self) -> dict[str, int]:
        """What a loss with a vector per class is told of the examples."""
        if self.form is not TargetFormat.LABELLED_EMBEDDINGS:
            return {}
        return accepted(self.target, {"num_classes": CLASSES, "embedding_size": 3})

    def example(self, dtype=torch.float64, seed=0, n=6):
        return EXAMPLES[self.form](dtype, seed, n)

    def lacks(self, check: str) -> str | None:
        """Why a check or reduction does not apply; None where it does."""
        if self.form is None:
            return f"{self.target.__name__} says nothing of what it reads"
        return DOES_NOT_APPLY.get((self.name, check))

    def reference(self) -> Callable | None:
        reference = REFERENCES.get(self.name)
        own = [_array(parameter) for parameter in self.build().parameters()]
        options = {"parameters": own, **self.changed} if own else self.changed
        return reference and (lambda *tensors: reference(*map(_array, tensors), **options))


def cases() -> list[Case]:
    """Every loss of the configs and every exported class, in each of its forms and variants."""
    found = {}
    for path in sorted(CONFIGS.glob("*.yaml")):
        try:
            found[path.stem] = _read(path)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("losslab"):
                raise
            warnings.warn(f"{path.name} is left out: {error}", stacklevel=1)
    found |= {name: (made, {}) for name, made in SUMS.items()}
    found["bce_dice"] = (losslab.losses.BCEDiceLoss, {})  # of runs of earlier versions
    configured = {target for target, _ in found.values()}
    configured |= {SumLoss, UncertaintySumLoss, DetectionLoss}
    for name in losslab.losses.__all__:
        exported = getattr(losslab.losses, name)
        if _is_loss(exported) and exported not in configured:
            found[name] = (exported, {})
    return [case for name, loss in found.items() for case in _cases_of(name, *loss)]


def _read(path):
    options = yaml.safe_load(path.read_text())
    for not_an_option in ("defaults", "tuning"):
        options.pop(not_an_option, None)
    module, _, name = options.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), name), options


def _is_loss(exported) -> bool:
    return inspect.isclass(exported) and issubclass(exported, Loss) and hasattr(exported, "accepts")


def _cases_of(name, target, options):
    for form in getattr(target, "accepts", (None,)):
        yield Case(name, target, form, options)
        for changed, forms in VARIANTS.get(name, []):
            if forms is None or form in forms:
                yield Case(name, target, form, options, changed)


# --- the checks


def value(case: Case) -> None:
    """The value is that of an independent reference."""
    reference = case.reference()
    if reference is None:
        if case.target.__module__.startswith("losslab."):
            pytest.fail(f"{case.name} has no reference in tests/losses/references.py")
        pytest.skip(f"{case.name} has no reference in tests/losses/references.py")
    for seed in range(3):
        prediction, target = case.example(seed=seed, n=11)
        expected = torch.tensor(float(reference(prediction, target)), dtype=torch.float64)
        assert_close(case.build()(prediction, target), expected, **DOUBLE)


def gradient(case: Case) -> None:
    """The gradient is that of finite differences, in double."""
    prediction, target = case.example(n=4)
    loss = case.build()
    assert torch.autograd.gradcheck(lambda z: loss(z, target), prediction.requires_grad_())


def reductions(case: Case) -> None:
    """``none`` sums to ``sum``; a batch twice doubles the sum and keeps the mean."""
    prediction, target = case.example()
    twice = _twice(prediction), tree_map(_twice, target)
    results = {}
    for reduction in ("mean", "sum", "none"):
        if case.lacks(reduction):
            with pytest.raises(ValueError, match="reduction"):
                case.build(reduction=reduction)
        else:
            loss = case.build(reduction=reduction)
            results[reduction] = loss(prediction, target), loss(*twice)
    if "mean" in results:
        assert_close(*results["mean"], **DOUBLE)
    if "sum" in results:
        assert_close(2 * results["sum"][0], results["sum"][1], **DOUBLE)
    if {"sum", "none"} <= results.keys():
        assert results["none"][0].dim() > 0
        assert_close(results["none"][0].sum(), results["sum"][0], **DOUBLE)


def totals(case: Case) -> None:
    """Total and count give value and gradient of every reduction, alone and under ``vmap``."""
    batches = [case.example(seed=seed) for seed in (0, 10)]
    for reduction in ("mean", "sum"):
        if case.lacks(reduction):
            continue
        loss = case.build(reduction=reduction)
        for batch in batches:
            expected = _value_and_gradient(loss, *batch)
            assert_close(_value_and_gradient(_from_total(loss), *batch), expected, **EXACT)
        stacked = tree_map(lambda *leaves: torch.stack(leaves), *batches)
        mapped = torch.func.vmap(loss.total)(*stacked)
        loop = zip(*(loss.total(*batch) for batch in batches), strict=True)
        assert_close(list(mapped), [torch.stack(values) for values in loop], **EXACT)
    for total in case.build().total(*case.example(n=0)):
        assert total == 0


def sample_weights(case: Case) -> None:
    """A sample of weight k counts k times; weights of 0 give 0 with zero gradient."""
    prediction, target = case.example()
    weights = torch.tensor([2.0, 0.0, 1.0, 0.0, 1.0, 3.0])
    index = torch.tensor([0, 0, 2, 4, 5, 5, 5])
    repeated = tree_map(lambda leaf: leaf[index], (prediction, target))
    for reduction in ("mean", "sum"):
        if case.lacks(reduction):
            continue
        loss = case.build(reduction=reduction)
        if not case.lacks("union"):
            assert_close(loss.total(prediction, target, weights), loss.total(*repeated), **EXACT)
        assert_close(
            _from_total(loss, torch.ones(6))(prediction, target), loss(prediction, target), **EXACT
        )
        nothing = _value_and_gradient(_from_total(loss, torch.zeros(6)), prediction, target)
        assert not any(tensor.any() for tensor in nothing)
    for wrong in (torch.ones(5), torch.ones(6, 1), torch.ones(())):
        with pytest.raises(ValueError, match=r"one number per sample, shape \(6,\)"):
            case.build().total(prediction, target, wrong)


def union(case: Case) -> None:
    """Totals and counts of two batches add up to those of their union."""
    one, other = case.example(n=2), case.example(seed=20, n=5)
    both = tree_map(lambda *leaves: torch.cat(leaves), one, other)
    for reduction in ("mean", "sum"):
        if not case.lacks(reduction):
            loss = case.build(reduction=reduction)
            summed = [sum(each) for each in zip(loss.total(*one), loss.total(*other), strict=True)]
            assert_close(summed, list(loss.total(*both)), **EXACT)
            assert_close(loss.from_total(*summed), loss(*both), **EXACT)


def empty_batch(case: Case) -> None:
    """The sum of nothing is 0 with zero gradient, its mean a clear error."""
    prediction, target = case.example(n=0)
    if not case.lacks("mean"):
        with pytest.raises(ValueError, match="at least one"):
            case.build(reduction="mean")(prediction, target)
    if not case.lacks("sum"):
        scale = torch.ones((), dtype=prediction.dtype, requires_grad=True)
        result = case.build(reduction="sum")(prediction * scale, target)
        (slope,) = torch.autograd.grad(result, scale)
        assert (result.item(), slope.item()) == (0, 0)


def extremes(case: Case) -> None:
    """In float32 value and gradient are finite and right wherever they can be held."""
    reference, loss = case.reference(), case.build()
    for what, (prediction, target) in EXTREMES[case.form].items():
        result, slope = _value_and_gradient(loss, prediction, target)
        double = prediction.double(), tree_map(_double, target)
        expected, expected_slope = _value_and_gradient(loss, *double)
        if reference:
            expected = torch.tensor(float(reference(*double)), dtype=torch.float64)
        assert expected.isfinite(), what
        assert_close(result.double(), expected, **FLOAT32, msg=lambda text: f"{what}: {text}")  # noqa: B023
        assert_close(slope.double(), expected_slope, **FLOAT32, msg=lambda text: f"{what}: {text}")  # noqa: B023


def nans(case: Case) -> None:
    """Predictions that are NaN never have a finite loss: it is NaN, or they are refused."""
    loss = case.build()
    for dtype in (torch.float32, torch.float64):
        prediction, target = case.example(dtype=dtype)
        prediction = torch.full_like(prediction, math.nan)
        try:
            result = loss(prediction, target)
        except ValueError as error:
            assert "must be finite" in str(error)  # noqa: PT017
        else:
            assert result.isnan()


def half_precision(case: Case) -> None:
    """From bfloat16 and float16 the value is that of float64 to 1e-5, the gradient to an ulp.

    With and without autocast, and with targets in half precision or not.
    """
    loss = case.build()
    for dtype in (torch.bfloat16, torch.float16):
        prediction, target = case.example(dtype=dtype, n=32)
        double = prediction.double(), tree_map(_double, target)
        expected, expected_slope = _value_and_gradient(loss, *double)
        for autocast, as_float in ((False, False), (True, False), (True, True)):
            given = tree_map(
                lambda leaf: leaf.float() if leaf.is_floating_point() else leaf, target
            )
            with torch.autocast("cpu", dtype=dtype, enabled=autocast):
                result, slope = _value_and_gradient(loss, prediction, given if as_float else target)
            assert result.dtype == torch.float32
            assert_close(result.double(), expected, **FLOAT32)
            eps = torch.finfo(dtype).eps
            assert_close(slope.double(), expected_slope, rtol=eps, atol=1e-6)


def shapes(case: Case) -> None:
    """A target of another shape is refused, where torch would broadcast it."""
    prediction, target = case.example()
    loss = case.build()
    leaves, structure = tree_flatten(target)
    for wrong in (leaves[0].unsqueeze(-1), leaves[0].unsqueeze(0), leaves[0][:1], leaves[0][:-1]):
        with pytest.raises(ValueError, match="must"):
            loss(prediction, tree_unflatten([wrong, *leaves[1:]], structure))


def compiles(case: Case) -> None:
    """``torch.compile(fullgraph=True)`` gives the same value and gradient."""
    prediction, target = case.example()
    torch._dynamo.reset()
    loss = case.build()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    result = _value_and_gradient(compiled, prediction, target)
    assert_close(result, _value_and_gradient(loss, prediction, target), **DOUBLE)


def vmaps(case: Case) -> None:
    """``torch.func.vmap`` equals a loop, for value and gradient."""
    loss = case.build()
    batches = [case.example(seed=seed) for seed in (0, 10, 20)]
    stacked = tree_map(lambda *leaves: torch.stack(leaves), *batches)
    loop = [_value_and_gradient(loss, *batch) for batch in batches]
    slopes, results = torch.func.vmap(torch.func.grad_and_value(loss))(*stacked)
    assert_close(results, torch.stack([result for result, _ in loop]), **DOUBLE)
    assert_close(slopes, torch.stack([slope for _, slope in loop]), **DOUBLE)


def functional_gradient(case: Case) -> None:
    """``torch.func.grad`` equals ``backward``."""
    prediction, target = case.example()
    loss = case.build()
    slope = torch.func.grad(loss)(prediction, target)
    assert_close(slope, _value_and_gradient(loss, prediction, target)[1], **DOUBLE)


def no_synchronisation(case: Case) -> None:
    """Nothing reads a tensor's value on the host: tensors without values will do."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    prediction, target = case.example()
    loss = case.build()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(prediction), tree_map(mode.from_tensor, target)
        _value_and_gradient(loss, *fake)
        loss.total(*fake)
        loss.diagnostics(*fake)


def inputs_unchanged(case: Case) -> None:
    """Prediction and target are as they were."""
    prediction, target = case.example()
    before = tree_map(torch.clone, (prediction, target))
    _value_and_gradient(case.build(), prediction, target)
    assert_close((prediction, target), before, rtol=0, atol=0)


def parts(case: Case) -> None:
    """The terms sum to the loss; diagnostics carry no gradient."""
    prediction, target = case.example()
    prediction.requires_grad_()
    loss = case.build()
    assert_close(
        sum(loss.components(prediction, target).values()), loss(prediction, target), **DOUBLE
    )
    diagnostics = loss.diagnostics(prediction, target)
    assert not any(leaf.requires_grad for leaf in tree_leaves(diagnostics))


def order(case: Case) -> None:
    """The order of the batch does not matter."""
    prediction, target = case.example()
    permutation = torch.tensor([3, 0, 5, 1, 4, 2])
    moved = tree_map(lambda leaf: leaf[permutation], (prediction, target))
    loss = case.build()
    assert_close(loss(*moved), loss(prediction, target), **DOUBLE)


def checkpoint(case: Case) -> None:
    """A pickled loss, and one that loaded the state, give the same value."""
    prediction, target = case.example()
    loss, other = case.build(), case.build()
    for buffer in loss.buffers():
        buffer.mul_(0.5)
    expected = loss(prediction, target)
    other.load_state_dict(loss.state_dict())
    assert_close(other(prediction, target), expected, rtol=0, atol=0)
    assert_close(pickle.loads(pickle.dumps(loss))(prediction, target), expected, rtol=0, atol=0)


def convergence(case: Case) -> None:
    """Training free predictions, and the loss itself, ends at the minimum of the loss."""
    loss = case.build()
    if loss.minimum is None:
        pytest.skip(f"{case.name} declares no minimum")
    if case.changed.get("label_smoothing"):
        pytest.skip("the minimum is the entropy of the smoothed targets")
    if case.changed.get("soft_margin"):
        pytest.skip("a soft margin comes near its minimum only in the infinite")
    prediction, target = case.example(dtype=torch.float32)
    if case.form is TargetFormat.CLASS_PROBABILITIES:  # soft targets leave their own entropy
        target = torch.nn.functional.one_hot(target.argmax(dim=1), CLASSES).float()
    if case.form is TargetFormat.PAIRED_EMBEDDINGS:  # equal labels leave the entropy of several
        target = torch.arange(len(target))
    start = loss(prediction, target).item()
    assert start > loss.minimum
    end = _train(loss, prediction, target)
    assert loss.minimum - 1e-6 <= end <= loss.minimum + 0.01 * (start - loss.minimum)


CHECKS = {
    check.__name__: check
    for check in (
        value,
        gradient,
        reductions,
        totals,
        sample_weights,
        union,
        empty_batch,
        extremes,
        nans,
        half_precision,
        shapes,
        compiles,
        vmaps,
        functional_gradient,
        no_synchronisation,
        inputs_unchanged,
        parts,
        order,
        checkpoint,
        convergence,
    )
}


def _train(loss, prediction, target, steps=600):
    """The loss after Adam with a learning rate that falls to 0, as its kinks need."""
    prediction = prediction.clone().requires_grad_()
    optimizer = torch.optim.Adam([prediction, *loss.parameters()], lr=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        loss(prediction, target).backward()
        optimizer.step()
    return loss(prediction, target).item()


def _from_total(loss, *weights):
    """The loss as a function of prediction and target, made of total and count."""
    return lambda *batch: loss.from_total(*loss.total(*batch, *weights))


def _value_and_gradient(loss, prediction, target):
    prediction = prediction.detach().requires_grad_()
    result = loss(prediction, target)
    (slope,) = torch.autograd.grad(result.sum(), prediction)
    return result.detach(), slope


def _array(leaf):
    return tree_map(lambda tensor: tensor.detach().numpy().astype(_wide(tensor)), leaf)


def _wide(tensor):
    return np.float64 if tensor.is_floating_point() else np.int64


def _double(leaf):
    return leaf.double() if leaf.is_floating_point() else leaf


def _twice(leaf):
    return torch.cat([leaf, leaf])
