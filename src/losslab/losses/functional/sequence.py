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
    On the CPU, labels that are not classes, or the blank, raise an error.

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
    on_cpu = logits.device.type == "cpu"
    labels, blanks = _checked(logits, labels, label_lengths, blank)
    # the gradient is a difference of sums of logarithms: in float32, logits of 1e4 leave 3 digits
    # of it. On other devices float64 is slow or missing
    log_p = (logits.double() if on_cpu else logits).log_softmax(dim=-1)
    elements = F.ctc_loss(
        log_p.transpose(0, 1),
        labels,
        input_lengths,
        label_lengths,
        blank,
        reduction="none",
        zero_infinity=True,
    )
    return elements.masked_fill(blanks.any(dim=1), 0).to(logits.dtype)


def framewise(
    logits: Tensor, labels: Tensor, label_lengths: Tensor, input_lengths: Tensor, blank: int = 0
) -> Tensor:
    """Compute ``-log P(path | logits)`` for the path of equal shares, :func:`equal_shares`: (N,).

    For the arguments see :func:`ctc`.
    """
    (logits,) = full_precision(logits)
    if logits.numel() == 0:
        return logits.sum(dim=(1, 2))
    labels, _ = _checked(logits, labels, label_lengths, blank)
    path = equal_shares(labels, label_lengths, input_lengths, logits.shape[1], blank)
    surprise = -logits.log_softmax(dim=2).gather(2, path.unsqueeze(2)).squeeze(2)
    return surprise.masked_fill(_padding(path, input_lengths), 0).sum(dim=1)


def equal_shares(
    labels: Tensor, label_lengths: Tensor, input_lengths: Tensor, steps: int, blank: int = 0
) -> Tensor:
    """Divide the steps of each sequence evenly among its labels, ``(N, steps)``.

    The first step of a label that equals the one before is the blank, so that the path reads as the
    labels when repeats are merged and blanks removed. Steps of a sequence without labels, and those
    after its end, are the blank.

    Args:
        labels: ``(N, U)``; the values of the padding are ignored.
        label_lengths: ``(N,)``.
        input_lengths: ``(N,)``.
        steps: number of steps of the path.
        blank: the class that separates labels.

    Example:
        >>> equal_shares(torch.tensor([[1, 1, 2]]), torch.tensor([3]), torch.tensor([6]), 7)
        tensor([[1, 1, 0, 1, 2, 2, 0]])
    """
    labels = F.pad(labels.masked_fill(_padding(labels, label_lengths), blank), (0, 1), value=blank)
    step = torch.arange(steps, device=labels.device)
    share = step * label_lengths.unsqueeze(1) // input_lengths.unsqueeze(1).clamp(min=1)
    share = share.clamp(max=labels.shape[1] - 1)
    path = labels.gather(1, share).masked_fill(step >= input_lengths.unsqueeze(1), blank)
    repeats = (path[:, 1:] == path[:, :-1]) & (share[:, 1:] > share[:, :-1])
    return torch.cat([path[:, :1], path[:, 1:].masked_fill(repeats, blank)], dim=1)


def misread(
    labels: Tensor, label_lengths: Tensor, input_lengths: Tensor, steps: int, blank: int = 0
) -> Tensor:
    """Return a mask ``(N,)`` of the sequences whose path of equal shares reads otherwise.

    They have too few steps for their labels and the blanks between equal ones.
    """
    path = F.pad(equal_shares(labels, label_lengths, input_lengths, steps, blank), (1, 0), value=-1)
    begins = (path[:, 1:] != path[:, :-1]) & (path[:, 1:] != blank)
    return begins.sum(dim=1) != label_lengths


def _checked(
    logits: Tensor, labels: Tensor, label_lengths: Tensor, blank: int
) -> tuple[Tensor, Tensor]:
    """Return the labels with blanks as padding, and a mask of the blanks among them.

    On the CPU, labels that are not classes, or the blank, raise an error.
    """
    padding = _padding(labels, label_lengths)
    blanks = (labels == blank) & ~padding
    labels = labels.masked_fill(padding, blank)
    # elsewhere an index out of range ends the process
    marked = labels.masked_fill(blanks, logits.shape[2]) if logits.device.type == "cpu" else labels
    _require_labels(logits.detach()[:, 0], marked, blank)
    return labels, blanks


def _require_labels(scores: Tensor, labels: Tensor, blank: int) -> None:
    """Raise ``RuntimeError`` if a label is out of range, which torch would read out of bounds.

    A lookup is tried, since a comparison on the host would not work under ``vmap``.
    """
    try:
        scores.gather(1, labels)
    except RuntimeError as error:
        raise RuntimeError(
            f"labels must be class indices from 0 to {scores.shape[1] - 1} without the blank, "
            f"{blank}: {error}"
        ) from error


def unalignable(
    labels: Tensor, label_lengths: Tensor, input_lengths: Tensor, blank: int = 0
) -> Tensor:
    """Return a mask ``(N,)`` of the sequences without an alignment.

    They have too few steps for their labels and the blanks between equal ones, or hold the blank.
    """
    padding = _padding(labels, label_lengths)
    repeats = (labels[:, 1:] == labels[:, :-1]) & ~padding[:, 1:]
    too_short = input_lengths < label_lengths + repeats.sum(dim=1)
    return too_short | ((labels == blank) & ~padding).any(dim=1)


def _padding(labels: Tensor, label_lengths: Tensor) -> Tensor:
    """Return a mask ``(N, U)`` of the positions after the end of each sequence."""
    positions = torch.arange(labels.shape[1], device=labels.device)
    return positions >= label_lengths.unsqueeze(1)
