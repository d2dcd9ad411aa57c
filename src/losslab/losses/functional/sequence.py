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
    """Compute ``-log P(labels | logits)`` of each sequence, over all alignments: ``(N,)``.

    A sequence without a possible alignment gives 0 with zero gradient; see :func:`unalignable`.

    Args:
        logits: ``(N, T, C)``.
        labels: ``(N, U)``; the values of the padding are ignored.
        label_lengths: ``(N,)``.
        input_lengths: ``(N,)``.
        blank: the class that separates labels.
    """
    (logits,) = full_precision(logits)
    if logits.numel() == 0:  # torch rejects empty sequences, whose loss is 0
        return logits.sum(dim=(1, 2))
    labels = labels.masked_fill(_padding(labels, label_lengths), blank)
    # the gradient is a difference of sums of logarithms: in float32, logits of 1e4 leave 3 digits
    # of it. On other devices float64 is slow or missing
    precise = logits.double() if logits.device.type == "cpu" else logits
    log_p = precise.log_softmax(dim=-1)
    # torch reads out of bounds if a label is out of range; this lookup raises instead
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
    """Return a mask ``(N,)`` of the sequences with too few steps for their labels and blanks."""
    repeats = (labels[:, 1:] == labels[:, :-1]) & ~_padding(labels, label_lengths)[:, 1:]
    return input_lengths < label_lengths + repeats.sum(dim=1)


def _padding(labels: Tensor, label_lengths: Tensor) -> Tensor:
    """Return a mask ``(N, U)`` of the positions after the end of each sequence."""
    positions = torch.arange(labels.shape[1], device=labels.device)
    return positions >= label_lengths.unsqueeze(1)
