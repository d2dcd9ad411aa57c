"""Adapters that make losses of other libraries fit: ``OnSoftmax(loss)(logits, target)``."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot


class Adapter(nn.Module):
    """Base class of the adapters, which change what a loss is called with.

    Args:
        loss: any module that is called as ``loss(prediction, target)``.

    Example:
        In YAML, and on the command line::

            _target_: losslab.losses.OnLogSoftmax
            loss: {_target_: torch.nn.NLLLoss}

            loss._target_=losslab.losses.OnLogSoftmax loss.loss._target_=torch.nn.NLLLoss
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def prediction(self, prediction: Tensor) -> Tensor:
        """Convert a prediction; by default it stays as it is."""
        return prediction

    def target(self, prediction: Tensor, target: Any) -> Any:
        """Convert a target; by default it stays as it is."""
        return target

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        """Compute the loss of a batch."""
        target = self.target(prediction, target)
        value: Tensor = self.loss(self.prediction(prediction), target)
        return value

    def total(
        self, prediction: Tensor, target: Any, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the total and the count of a loss of this project, as its own method does."""
        target = self.target(prediction, target)
        inner: Any = self.loss
        pair: tuple[Tensor, Tensor] = inner.total(self.prediction(prediction), target, weights)
        return pair

    def from_total(self, total: Tensor, count: Tensor) -> Tensor:
        """Compute a loss of this project from totals and counts."""
        inner: Any = self.loss
        value: Tensor = inner.from_total(total, count)
        return value


class OnSoftmax(Adapter):
    """Give a loss the softmax of logits (N, C, *), for losses of probabilities."""

    def prediction(self, prediction: Tensor) -> Tensor:
        """Compute class probabilities."""
        return prediction.softmax(dim=1)


class OnLogSoftmax(Adapter):
    """Give a loss the log-softmax of logits (N, C, *), for losses of log-probabilities.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([2])
        >>> value = OnLogSoftmax(nn.NLLLoss())(logits, labels)
        >>> torch.isclose(value, nn.functional.cross_entropy(logits, labels)).item()
        True
    """

    def prediction(self, prediction: Tensor) -> Tensor:
        """Compute the logarithms of class probabilities."""
        return prediction.log_softmax(dim=1)


class OnSigmoid(Adapter):
    """Give a loss the sigmoid of logits, for losses of probabilities of 0/1 targets."""

    def prediction(self, prediction: Tensor) -> Tensor:
        """Compute probabilities."""
        return prediction.sigmoid()


class WithOneHotTargets(Adapter):
    """Give a loss one-hot targets (N, C, *) instead of class indices (N, *)."""

    def target(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Convert class indices to one-hot targets of the prediction's dtype."""
        return one_hot_targets(target, prediction)


class WithSignedTargets(Adapter):
    """Give a loss targets -1 and +1 instead of 0 and 1.

    Example:
        >>> logits, target = torch.tensor([1.0, -1.0]), torch.tensor([1.0, 0.0])
        >>> value = WithSignedTargets(nn.SoftMarginLoss())(logits, target)
        >>> binary = nn.functional.binary_cross_entropy_with_logits(logits, target)
        >>> torch.isclose(value, binary).item()
        True
    """

    def target(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Convert 0 and 1 to -1 and +1."""
        return 2 * target - 1


class WithIntegerTargets(Adapter):
    """Give a loss 0/1 targets as integers."""

    def target(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Convert targets to int64."""
        return target.long()


class WithTargetChannel(Adapter):
    """Give a loss class masks (N, 1, H, W) instead of (N, H, W)."""

    def target(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Add a channel."""
        return target.unsqueeze(1)


class WithoutTargetChannel(Adapter):
    """Give a loss masks (N, *) instead of (N, 1, *), beside logits (N, 1, *)."""

    def target(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Remove the channel."""
        return target.squeeze(1)


class WithoutChannel(WithoutTargetChannel):
    """Give a loss logits and targets (N, *) instead of (N, 1, *)."""

    def prediction(self, prediction: Tensor) -> Tensor:
        """Remove the channel."""
        return prediction.squeeze(1)


class WithoutIgnored(Adapter):
    """Give a loss those targets only that are not negative, with their logits.

    Negative targets mark pixels to ignore and labels that are not known. Class indices (N, *) with
    logits (N, C, *) become (M,) with (M, C); 0/1 targets of the shape of the logits, (M, 1). If all
    are ignored, the loss is 0. It has to have a term per target, as the trial of a loss finds out.

    Example:
        >>> logits, labels = torch.tensor([[1.0], [5.0]]), torch.tensor([[1.0], [-100.0]])
        >>> value = WithoutIgnored(nn.BCEWithLogitsLoss())(logits, labels)
        >>> binary = nn.functional.binary_cross_entropy_with_logits(logits[:1], labels[:1])
        >>> torch.isclose(value, binary).item()
        True
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of the targets that count."""
        kept = target >= 0
        if not kept.any():
            return 0 * prediction.sum()
        if prediction.shape == target.shape:
            prediction, target = prediction.unsqueeze(-1), target.unsqueeze(-1)
        else:
            prediction = prediction.movedim(1, -1)
        value: Tensor = self.loss(prediction[kept], target[kept])
        return value


class AsTwoClasses(Adapter):
    """Give a loss two logits per element, of which the first is 0, and class indices (N, *).

    For losses of several classes on binary targets; the softmax of both is the sigmoid of one.
    """

    def prediction(self, prediction: Tensor) -> Tensor:
        """Put logits of 0 for the negative class in front."""
        return torch.cat([torch.zeros_like(prediction), prediction], dim=1)

    def target(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Convert 0/1 targets (N, 1, *) to class indices."""
        return target.squeeze(1).long()


class Averaged(Adapter):
    """Average what a loss returns per element."""

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        """Compute the mean over a batch."""
        return super().forward(prediction, target).mean()


class First(Adapter):
    """Take the first value of a loss that returns several."""

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        """Compute the loss of a batch."""
        values: Any = self.loss(prediction, target)
        first: Tensor = values[0]
        return first


def one_hot_targets(target: Tensor, prediction: Tensor) -> Tensor:
    """Convert class indices (N, *) to one-hot targets (N, C, *) of the prediction's dtype.

    Negative indices mark ignored targets and are kept, for each class.
    """
    hot = one_hot(target.long().clamp(min=0), prediction.shape[1])
    hot = hot.movedim(-1, 1).to(prediction.dtype)
    return hot.where((target >= 0).unsqueeze(1), target.unsqueeze(1).to(prediction.dtype))
