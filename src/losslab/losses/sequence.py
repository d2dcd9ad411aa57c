"""Losses for sequences without a given alignment."""

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    require_at_least,
    require_elements,
)
from losslab.losses.functional import sequence as functional


class SequenceTarget(NamedTuple):
    """Label sequences and lengths for the losses of sequences."""

    labels: Tensor
    """Class indices, int64 ``(N, U)``; the values of the padding are ignored."""
    label_lengths: Tensor
    """Number of labels of each sequence, int64 ``(N,)``."""
    input_lengths: Tensor
    """Number of prediction steps of each sequence, int64 ``(N,)``."""


class SequenceLoss(Loss):
    """Base class of the losses on sequences of labels without positions.

    Args:
        blank: class index of the blank, which must not occur among the labels.
        reduction: ``"mean"`` over the sequences of the loss per label (an empty label sequence
            counts as one label), ``"sum"``, or ``"none"``: ``(N,)``.
    """

    accepts = (TargetFormat.SEQUENCES,)
    inverse_link = "softmax"
    minimum = 0.0

    def __init__(self, blank: int = 0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        require_at_least("blank", blank, 0)
        self.blank = blank

    @abstractmethod
    def of_sequences(self, prediction: Tensor, target: SequenceTarget) -> Tensor:
        """Compute the loss of each sequence, (N,)."""

    def forward(self, prediction: Tensor, target: SequenceTarget) -> Tensor:
        """Compute the loss of a batch."""
        elements = self._elements(prediction, target)
        if self.reduction == "mean":
            require_elements(elements)
            return self._per_label(elements, target).mean()
        return self.reduce(elements)

    def terms(  # type: ignore[override]
        self, prediction: Tensor, target: SequenceTarget
    ) -> tuple[Tensor, None]:
        """Compute the terms, which are losses per label except for ``reduction="sum"``."""
        elements = self._elements(prediction, target)
        return elements if self.reduction == "sum" else self._per_label(elements, target), None

    def _elements(self, prediction: Tensor, target: SequenceTarget) -> Tensor:
        self._require_sequences(prediction, target)
        return self.of_sequences(prediction, target)

    def _per_label(self, elements: Tensor, target: SequenceTarget) -> Tensor:
        return elements / target.label_lengths.clamp(min=1).to(elements)

    def _require_sequences(self, prediction: Tensor, target: SequenceTarget) -> None:
        """Raise ``ValueError`` or ``TypeError`` unless logits, labels and lengths match."""
        if prediction.dim() != 3:
            raise ValueError(
                f"prediction must be logits (N, T, C), got shape {tuple(prediction.shape)}"
            )
        batch, _, classes = prediction.shape
        if self.blank >= classes:
            raise ValueError(
                f"blank must be below the number of classes, {classes}, got {self.blank}"
            )
        if target.labels.dim() != 2 or len(target.labels) != batch:
            raise ValueError(
                f"labels must have shape ({batch}, U), got {tuple(target.labels.shape)}"
            )
        for name in ("label_lengths", "input_lengths"):
            shape = tuple(getattr(target, name).shape)
            if shape != (batch,):
                raise ValueError(f"{name} must have shape ({batch},), got {shape}")
        for name, values in target._asdict().items():
            if values.is_floating_point():
                raise TypeError(f"{name} must be integers, got {values.dtype}")


class CTCLoss(SequenceLoss):
    r"""Connectionist temporal classification (CTC) loss for label sequences without an alignment.

    .. math:: \ell_n = -\log \sum_{\pi \in B^{-1}(y_n)} \prod_t
        \operatorname{softmax}(z_{n,t})_{\pi_t}

    over all paths :math:`\pi` that give the labels y when repeats are merged and blanks removed.

    A sequence without any matching path (fewer steps than labels plus pairs of equal neighbours)
    contributes 0 with zero gradient, still counts in the mean, and is counted by ``diagnostics``.
    Paths are summed in float64 on the CPU and in float32 at least elsewhere, where logits of 1e4
    leave three digits of the gradient. PyTorch's kernel reads the lengths on the host, so
    ``torch.compile(fullgraph=True)`` rejects this loss, and ``vmap`` runs it as a loop.

    Args:
        blank: class index of the blank, which must not occur among the labels: such sequences raise
            an error on the CPU, and contribute 0 elsewhere, where checking would synchronize.
        reduction: ``"mean"`` over the sequences of the loss per label (an empty label sequence
            counts as one label), ``"sum"``, or ``"none"``: ``(N,)``.

    Shape:
        prediction: logits ``(N, T, C)``; target: a :class:`SequenceTarget`.

    Raises:
        ValueError: if the blank is not a class index or the shapes do not match.
        TypeError: if labels or lengths are not integers.
        RuntimeError: if a label is not a class index or is the blank (on the CPU), or a length
            exceeds T.

    Source:
        Graves et al., "Connectionist Temporal Classification", 2006.

    Example:
        >>> import torch
        >>> one = torch.tensor([1])
        >>> target = SequenceTarget(torch.tensor([[2]]), label_lengths=one, input_lengths=one)
        >>> logits = torch.tensor([[[0.0, 1.0, 2.0]]])  # one step: cross-entropy
        >>> loss = CTCLoss()(logits, target)
        >>> loss.allclose(torch.nn.functional.cross_entropy(logits[0], torch.tensor([2])))
        True
    """

    def of_sequences(self, prediction: Tensor, target: SequenceTarget) -> Tensor:
        """Compute the loss of each sequence, (N,)."""
        elements: Tensor = functional.ctc(prediction, *target, blank=self.blank)
        return elements

    def diagnostics(  # type: ignore[override]
        self,
        prediction: Tensor,
        target: SequenceTarget,
    ) -> dict[str, Tensor]:
        """Count the sequences without a possible alignment, ``unalignable``."""
        return {"unalignable": functional.unalignable(*target, self.blank).sum().float()}


class FramewiseCrossEntropyLoss(SequenceLoss):
    r"""Cross-entropy per time step, with the steps divided evenly among the labels.

    .. math:: \ell_n = -\sum_t \log \operatorname{softmax}(z_{n,t})_{\pi_{n,t}}, \qquad
        \pi_{n,t} = y_{n, \lfloor t L_n / T_n \rfloor}, \quad t = 0, \dots, T_n - 1

    It is the baseline of CTC: one forced path :math:`\pi` in place of all that give the labels y,
    right if all labels take the same time. The first step of a label that equals the one before is
    the blank, so that decoding by merging repeats and removing blanks reads both. The loss is then
    at least that of CTC. Steps of a sequence without labels are the blank. ``diagnostics`` counts
    the sequences that are too short for their path to give the labels, as ``misread``.

    Args:
        blank: class index of the blank, which must not occur among the labels: such sequences raise
            an error on the CPU.
        reduction: ``"mean"`` over the sequences of the loss per label (an empty label sequence
            counts as one label), as for CTC, ``"sum"``, or ``"none"``: ``(N,)``.

    Shape:
        prediction: logits ``(N, T, C)``; target: a :class:`SequenceTarget`.

    Raises:
        ValueError: if the blank is not a class index or the shapes do not match.
        TypeError: if labels or lengths are not integers.
        RuntimeError: if a label is not a class index or is the blank (on the CPU).

    Source:
        Graves and Schmidhuber, "Framewise Phoneme Classification with Bidirectional LSTM and Other
        Neural Network Architectures", 2005, with given positions.

    Example:
        >>> import torch
        >>> labels, lengths = torch.tensor([[1, 2]]), torch.tensor([2])
        >>> target = SequenceTarget(labels, label_lengths=lengths, input_lengths=torch.tensor([4]))
        >>> path = torch.tensor([[1, 1, 2, 2]])
        >>> logits = 100.0 * torch.nn.functional.one_hot(path, 3)
        >>> FramewiseCrossEntropyLoss()(logits, target).item()
        0.0
    """

    def of_sequences(self, prediction: Tensor, target: SequenceTarget) -> Tensor:
        """Compute the loss of each sequence, (N,)."""
        return functional.framewise(prediction, *target, blank=self.blank)

    def diagnostics(  # type: ignore[override]
        self,
        prediction: Tensor,
        target: SequenceTarget,
    ) -> dict[str, Tensor]:
        """Count the sequences whose path does not give their labels, ``misread``."""
        steps = prediction.shape[1]
        return {"misread": functional.misread(*target, steps, self.blank).sum().float()}
