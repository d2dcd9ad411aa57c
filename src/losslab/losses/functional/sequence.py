"""Formulas of the sequence losses."""

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision


@torch.compiler.disable(  # type: ignore[untyped-decorator]
    reason="ctc_loss reads the lengths on the host; compile the network, not CTCLoss"
)
def ctc(
    logits: Tensor, labels: Tensor, label_lengths: Tensor, input_lengths: Tensor, blank: int = 0
) -> Tensor:
    """``-log P(labels | logits)`` of each sequence, summed over all alignments: ``(N,)``.

    A sequence that no alignment fits gives 0 with zero gradient; see :func:`unalignable`.

    Args:
        logits: ``(N, T, C)``.
        labels: ``(N, U)``, padded with anything.
        label_lengths: ``(N,)``.
        input_lengths: ``(N,)``.
        blank: the class that separates labels.
    """
    (logits,) = full_precision(logits)
    if logits.numel() == 0:  # torch refuses what has no steps: nothing to align, nothing to pay
        return logits.sum(dim=(1, 2))
    labels = labels.masked_fill(_padding(labels, label_lengths), blank)
    # paths add up logarithms and the gradient takes differences of such sums: in float32 logits of
    # 1e4 leave 3 digits of it. Other devices have float64 slowly or not at all
    precise = logits.double() if logits.device.type == "cpu" else logits
    log_p = precise.log_softmax(dim=-1)
    # torch reads beyond its memory where a label is out of range; this lookup raises
    log_p.detach()[:, 0].gather(1, labels)
    elements = F.ctc_loss(
        log_p.transpose(0, 1),
        labels,
        input_lengths,
        label_lengths,
        blank,
        reduction="none",
        zero_infinity=True,
    )
    return elements.to(logits.dtype)


def unalignable(labels: Tensor, label_lengths: Tensor, input_lengths: Tensor) -> Tensor:
    """Sequences with fewer steps than labels plus the blanks between equal neighbours: ``(N,)``."""
    repeats = (labels[:, 1:] == labels[:, :-1]) & ~_padding(labels, label_lengths)[:, 1:]
    return input_lengths < label_lengths + repeats.sum(dim=1)


def _padding(labels: Tensor, label_lengths: Tensor) -> Tensor:
    """Positions behind the end of each sequence: ``(N, U)``."""
    positions = torch.arange(labels.shape[1], device=labels.device)
    return positions >= label_lengths.unsqueeze(1)
