"""Where every random number of a run comes from.

Nothing in losslab carries random state. Each draw is a function of (seed, purpose, counters), so
nothing a loss does shifts another draw, and a resumed run draws what the unbroken one drew.
"""

import hashlib
from enum import StrEnum

import torch


class Purpose(StrEnum):
    """What is drawn. A value is part of every draw of its purpose: it never changes."""

    WEIGHTS = "weights"
    DROPOUT = "dropout"
    BATCHES = "batches"
    SPLIT = "split"
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
    GRADE_NOISE = "grade noise"
    SHAPES_DISTRACTORS = "shapes distractors"
    SHAPES_FOREGROUND = "shapes foreground"
    SHAPES_TEXTURE = "shapes texture"
    SHAPES_NOISE = "shapes noise"
    CODES = "codes"
    VAL_CODES = "val codes"
    TEST_CODES = "test codes"
    EXTRACTOR_WEIGHTS = "eye"
    EXTRACTOR_BATCHES = "eye batches"
    VALUE_WEIGHTS = "value weights"
    ACTIONS = "actions"
    MINIBATCHES = "minibatches"
    EXPLORATION = "exploration"
    REPLAY = "replay"
    TRAINING_EPISODES = "training episodes"
    CHOICE_EPISODES = "choice episodes"
    VAL_EPISODES = "validation episodes"
    TEST_EPISODES = "test episodes"


def derive_seed(seed: int, purpose: Purpose, *counters: int) -> int:
    """A 63-bit seed that depends on all arguments and on nothing else.

    Args:
        seed: the run's seed.
        purpose: what is drawn; two purposes share no stream.
        counters: the epoch or step of the draw.

    Example:
        >>> derive_seed(0, Purpose.BATCHES, 3) == derive_seed(0, Purpose.BATCHES, 3)
        True
        >>> derive_seed(0, Purpose.BATCHES, 3) == derive_seed(0, Purpose.BATCHES, 4)
        False
    """
    text = repr((seed, str(purpose), counters)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: Purpose, *counters: int) -> torch.Generator:
    """A fresh CPU generator for one draw; see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *counters))


def global_state() -> torch.Tensor:
    """The state of the generators that :func:`seed_global` seeds: changed, somebody drew."""
    state = torch.get_rng_state()
    if torch.cuda.is_initialized():
        state = torch.cat([state, torch.cuda.get_rng_state()])
    return state


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the generator that dropout reads on this device, and the CPU's.

    ``torch.manual_seed`` does the same for every kind of device; where CUDA is built in but not in
    use it keeps a stack trace a call, which costs 1 ms in every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
