"""Search for the adapters that make a loss fit a target format."""

from collections.abc import Sequence

from torch import nn

from losslab.losses import adapters
from losslab.losses.adapters import Adapter
from losslab.losses.base import TargetFormat
from losslab.passport.problems import Shape, small_shape
from losslab.passport.trial import try_format

Chain = tuple[type[Adapter], ...]
"""Adapters from the outermost to the one around the loss."""

_OF_CLASSES: tuple[Chain, ...] = (
    (adapters.Averaged,),
    (adapters.First,),
    (adapters.OnLogSoftmax,),
    (adapters.OnSoftmax,),
    (adapters.WithOneHotTargets,),
    (adapters.WithTargetChannel,),
    (adapters.Averaged, adapters.WithOneHotTargets),
    (adapters.OnLogSoftmax, adapters.WithOneHotTargets),
    (adapters.OnSoftmax, adapters.WithOneHotTargets),
    (adapters.OnSoftmax, adapters.WithTargetChannel),
    (adapters.WithOneHotTargets, adapters.WithSignedTargets),
)
CHAINS: dict[TargetFormat, tuple[Chain, ...]] = {
    TargetFormat.CLASS_INDICES: _OF_CLASSES,
    TargetFormat.CLASS_MASKS: _OF_CLASSES,
    TargetFormat.CLASS_PROBABILITIES: (
        (adapters.OnLogSoftmax,),
        (adapters.OnSoftmax,),
        (adapters.WithSignedTargets,),
        (adapters.WithIntegerTargets,),
    ),
    TargetFormat.BINARY_TARGETS: (
        (adapters.Averaged,),
        (adapters.First,),
        (adapters.OnSigmoid,),
        (adapters.Averaged, adapters.OnSigmoid),
        (adapters.WithSignedTargets,),
        (adapters.WithIntegerTargets,),
        (adapters.AsTwoClasses,),
        (adapters.WithoutTargetChannel,),
        (adapters.WithoutChannel,),
        (adapters.OnSigmoid, adapters.WithIntegerTargets),
        (adapters.OnSigmoid, adapters.WithoutChannel),
        (adapters.WithoutChannel, adapters.WithSignedTargets),
        (adapters.AsTwoClasses, adapters.OnLogSoftmax),
        (adapters.AsTwoClasses, adapters.OnSoftmax),
        (adapters.AsTwoClasses, adapters.OnSoftmax, adapters.WithOneHotTargets),
    ),
    TargetFormat.VALUES: ((adapters.Averaged,), (adapters.First,)),
    TargetFormat.BOXES: ((adapters.Averaged,), (adapters.First,)),
    TargetFormat.LABELLED_EMBEDDINGS: ((adapters.Averaged,), (adapters.First,)),
}
"""Adapters to try per target format, the simplest first."""


def find_adapters(
    loss: nn.Module, target_formats: Sequence[TargetFormat], shape: Shape | None = None
) -> Chain | None:
    """Return the fewest adapters with which a loss can be used in one of the formats."""
    candidates = [(each, chain) for each in target_formats for chain in CHAINS.get(each, ())]
    for target_format, chain in sorted(candidates, key=lambda candidate: len(candidate[1])):
        small = None if shape is None else small_shape(target_format, shape)
        if not try_format(adapted(loss, chain), target_format, small).refusal:
            return chain
    return None


def adapted(loss: nn.Module, chain: Chain) -> nn.Module:
    """Put adapters around a loss."""
    for adapter in reversed(chain):
        loss = adapter(loss)
    return loss


def call(chain: Chain, loss: str) -> str:
    """Return the call that puts adapters around a loss.

    Example:
        >>> call((adapters.OnLogSoftmax,), "NLLLoss()")
        'losslab.losses.OnLogSoftmax(NLLLoss())'
    """
    for adapter in reversed(chain):
        loss = f"losslab.losses.{adapter.__name__}({loss})"
    return loss


def overrides(chain: Chain, target: str, key: str = "loss") -> str:
    """Return what to type to use a loss with adapters.

    Example:
        >>> overrides((adapters.OnLogSoftmax,), "torch.nn.NLLLoss")
        'loss._target_=losslab.losses.OnLogSoftmax loss.loss._target_=torch.nn.NLLLoss'
    """
    targets = [f"losslab.losses.{adapter.__name__}" for adapter in chain] + [target]
    return " ".join(f"{key}.{'loss.' * depth}_target_={each}" for depth, each in enumerate(targets))
