"""Seeding of all random numbers of a run.

There is no random state: each draw is a function of (seed, purpose, counters). A loss thus cannot
affect other draws, and a resumed run draws the same numbers as an uninterrupted one.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import numpy as np
import torch


class Purpose(StrEnum):
    """Purpose of a random draw. The values enter the seeds and must never change."""

    WEIGHTS = "weights"
    DROPOUT = "dropout"
    BATCHES = "batches"
    SPLIT = "split"
    TEST_SPLIT = "test split"
    LABEL_NOISE = "label_noise"
    IMBALANCE = "imbalance"
    OUTLIERS = "outliers"
    PIXEL_OUTLIERS = "pixel_outliers"
    REGRESSION_INPUTS = "regression inputs"
    REGRESSION_NOISE = "regression noise"
    PLACEMENT = "placement"
    PIXEL_NOISE = "pixel noise"
    DIGIT_SPLIT = "digit split"
    DIGIT_ROWS = "digit rows"
    SURFACES = "surfaces"
    SOLIDS = "solids"
    ROTATIONS = "rotations"
    SAMPLING = "sampling"
    POINT_NOISE = "point noise"
    RING = "ring"
    QUERIES = "queries"
    CAPTIONS = "captions"
    GRADE_NOISE = "grade noise"
    RATINGS = "ratings"
    RATING_NOISE = "rating noise"
    RATING_SPLIT = "rating split"
    NEGATIVES = "negatives"
    EVAL_USERS = "evaluated users"
    SHAPES_DISTRACTORS = "shapes distractors"
    SHAPES_FOREGROUND = "shapes foreground"
    SHAPES_TEXTURE = "shapes texture"
    SHAPES_NOISE = "shapes noise"
    BOXES_CLUTTER = "boxes clutter"
    BOXES_NUMBERS = "boxes numbers"
    BOXES_OBJECTS = "boxes objects"
    EDGE_NOISE = "edge noise"
    CODES = "codes"
    VAL_CODES = "val codes"
    TEST_CODES = "test codes"
    EXTRACTOR_WEIGHTS = "eye"
    EXTRACTOR_BATCHES = "eye batches"
    VALUE_WEIGHTS = "value weights"
    ACTIONS = "actions"
    TEST_ACTIONS = "test actions"
    MINIBATCHES = "minibatches"
    EXPLORATION = "exploration"
    REPLAY = "replay"
    TRAINING_EPISODES = "training episodes"
    CHOICE_EPISODES = "choice episodes"
    VAL_EPISODES = "validation episodes"
    TEST_EPISODES = "test episodes"
    LOSS_WEIGHTS = "loss weights"
    READING = "reading"
    AUGMENTATION = "augmentation"
    CHANNEL = "channel"
    IDENTITIES = "identities"
    IDENTITY_IMAGES = "identity images"


def derive_seed(seed: int, purpose: Purpose, *counters: int) -> int:
    """Derive a 63-bit seed from all arguments.

    Args:
        seed: seed of the run.
        purpose: purpose of the draw; different purposes are independent.
        counters: epoch or step of the draw.

    Example:
        >>> derive_seed(0, Purpose.BATCHES, 3) == derive_seed(0, Purpose.BATCHES, 3)
        True
        >>> derive_seed(0, Purpose.BATCHES, 3) == derive_seed(0, Purpose.BATCHES, 4)
        False
    """
    text = repr((seed, str(purpose), counters)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: Purpose, *counters: int) -> torch.Generator:
    """Create a CPU generator for one draw; see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *counters))


def global_state() -> torch.Tensor:
    """Return the state of the generators that :func:`seed_global` seeds, to detect draws."""
    state = torch.get_rng_state()
    if torch.cuda.is_initialized():
        state = torch.cat([state, torch.cuda.get_rng_state()])
    return state


@contextmanager
def restored_state() -> Iterator[None]:
    """Restore the states of all global generators afterwards: torch's, NumPy's and Python's.

    Example:
        >>> before = torch.get_rng_state()
        >>> with restored_state():
        ...     _ = torch.rand(3)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    own, of_numpy = random.getstate(), np.random.get_state()
    on_gpus = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    on_mps = torch.mps.get_rng_state() if torch.mps.is_available() else None
    try:
        with torch.random.fork_rng(devices=on_gpus):
            yield
    finally:
        random.setstate(own)
        np.random.set_state(of_numpy)
        if on_mps is not None:
            torch.mps.set_rng_state(on_mps)


def seed_all(seed: int) -> None:
    """Seed the global CPU generators of torch, NumPy and Python, from which transforms draw."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the generator that dropout uses on this device, and the CPU's.

    ``torch.manual_seed`` seeds all kinds of devices, but with CUDA built in and not in use it
    stores a stack trace per call, which costs 1 ms per step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
