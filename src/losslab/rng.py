"""Seeding of all random numbers of a run.

Nothing in losslab carries random state. Each draw is a function of (seed, purpose, counters), so a
loss cannot affect other draws, and a resumed run draws the same numbers as an uninterrupted one.
"""

import hashlib

import torch


def derive_seed(seed: int, purpose: str, *counters: int) -> int:
    """Derive a 63-bit seed from all arguments.

    Args:
        seed: seed of the run.
        purpose: purpose of the draw, such as ``"split"``; different purposes are independent.
        counters: epoch or step of the draw.

    Example:
        >>> derive_seed(0, "batches", 3) == derive_seed(0, "batches", 3)
        True
        >>> derive_seed(0, "batches", 3) == derive_seed(0, "batches", 4)
        False
    """
    text = repr((seed, purpose, counters)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """Create a CPU generator for one draw; see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *counters))


def global_state() -> torch.Tensor:
    """Return the state of the generators that :func:`seed_global` seeds, to detect draws."""
    state = torch.get_rng_state()
    if torch.cuda.is_initialized():
        state = torch.cat([state, torch.cuda.get_rng_state()])
    return state


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
