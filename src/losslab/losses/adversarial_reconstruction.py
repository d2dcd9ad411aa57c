"""Reconstruction of images with a discriminator that is trained along, as in pix2pix."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losslab.losses.adversarial import AdversarialLoss
from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    full_precision,
    require_at_least,
    require_choice,
    require_same_shape,
    sum_of,
)
from losslab.losses.reconstruction import ReconstructionLoss

KINDS = ("non_saturating", "minimax", "least_squares", "hinge")
"""Adversarial losses without a gradient penalty."""


class PatchDiscriminator(nn.Module):
    """Discriminator that gives each patch of an image a logit, high for real ones.

    Args:
        channels: channels of the images.
        width: channels of the first convolution, half those of the second.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(channels, width, 4, stride=2, padding=1),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.Conv2d(2 * width, 1, 3, padding=1),
            ]
        )

    def forward(self, images: Tensor, *, trained: bool) -> Tensor:
        """Compute the logits (N, 1, h, w) of images, with gradients of the weights or without."""
        first, *others = self.layers
        with torch.autocast(images.device.type, enabled=False):
            logits = _convolved(first, images, trained)
            for layer in others:
                logits = _convolved(layer, F.leaky_relu(logits, 0.2), trained)
        return logits


def _convolved(layer: nn.Module, images: Tensor, trained: bool) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    weight, bias = (
        (each if trained else each.detach()).to(images.dtype)
        for each in (layer.weight, layer.bias)
        if each is not None
    )
    return F.conv2d(images, weight, bias, layer.stride, layer.padding)


class AdversarialReconstructionLoss(Loss):
    r"""L1 or L2 distance of images, and a discriminator that should take the copies for real.

    .. math::
        \ell_n = \operatorname{mean}_i |\hat x_{n,i} - x_{n,i}|^p
        + \lambda \operatorname{mean}_j g(D(\hat x_n)_j)
        + \operatorname{mean}_j d(D(x_n)_j, D(\hat x_n)_j)

    with the generator's loss g and the discriminator's loss d of
    :class:`~losslab.losses.AdversarialLoss`, and D a small discriminator, whose weights are
    parameters of the loss, with a logit for each patch j. The second component has no gradient in
    D, and the third one has none in :math:`\hat x`: one optimizer step is a step of both networks.
    The sum is therefore not a function that the training descends, and does not measure progress.

    Args:
        channels: channels of the images.
        p: 1 or 2.
        weight: :math:`\lambda`, at least 0.
        kind: the pair of adversarial losses; all but ``"wasserstein"``, whose penalty is missing.
        width: channels of D's first convolution.
        reduction: ``"mean"`` over images, ``"sum"``, or ``"none"`` for ``(N,)``.

    Shape:
        prediction and target: the same, ``(N, channels, H, W)``, in the unit of the pixels, with at
        least 4 x 4 pixels.

    Raises:
        ValueError: if an option is out of range, the shapes differ, or they are not of images.

    Source:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017,
        with a discriminator that does not see the input.

    Example:
        >>> import torch
        >>> images = torch.zeros(2, 1, 8, 8)
        >>> list(AdversarialReconstructionLoss().components(images, images))
        ['reconstruction', 'generator', 'real', 'fake']
    """

    accepts = (TargetFormat.IMAGES,)

    def __init__(
        self,
        channels: int = 1,
        p: int = 1,
        weight: float = 0.01,
        kind: Literal["non_saturating", "minimax", "least_squares", "hinge"] = "non_saturating",
        width: int = 16,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_at_least("channels", channels, 1)
        require_at_least("weight", weight, 0)
        require_choice("kind", kind, KINDS)
        require_at_least("width", width, 1)
        self.weight = weight
        self.distance = ReconstructionLoss(p, reduction="none")
        self.game = AdversarialLoss(kind, reduction="none")
        self.discriminator = PatchDiscriminator(channels, width)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the sum of the components of a batch."""
        return sum_of(self.components(prediction, target))

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute ``reconstruction``, ``generator``, weighted, and ``real`` and ``fake``."""
        require_same_shape(prediction, target)
        if prediction.dim() != 4:
            raise ValueError(
                "prediction must be images (N, channels, height, width), "
                f"got shape {tuple(prediction.shape)}"
            )
        prediction, target = full_precision(prediction, target)
        judge = self.discriminator
        elements = {"reconstruction": self.distance(prediction, target)}
        looks = self.game.generator_components(judge(prediction, trained=False))
        elements["generator"] = self.weight * looks["generator"]
        elements |= self.game.discriminator_components(
            judge(target, trained=True), judge(prediction.detach(), trained=True)
        )
        return {name: self.reduce(each.flatten(1).mean(dim=1)) for name, each in elements.items()}

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean logits of real images and of copies, ``real_logit``, ``fake_logit``."""
        judge = self.discriminator
        logits = (judge(each, trained=False) for each in full_precision(target, prediction))
        return self.game.diagnostics(*logits)
