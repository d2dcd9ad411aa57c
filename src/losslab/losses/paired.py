"""Losses on pairs of embeddings, such as of images and texts: InfoNCE (CLIP) and SigLIP."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from losslab.losses.base import Loss, Reduction, TargetFormat, require_at_least
from losslab.losses.functional import paired
from losslab.losses.functional.class_vectors import cosines


class PairedLoss(Loss):
    """Base class of the losses on pairs of embeddings, whose negatives are the other pairs.

    Pairs of a batch that have the same label are no negatives of each other: two images with equal
    captions belong to both texts.
    """

    accepts = (TargetFormat.PAIRED_EMBEDDINGS,)
    minimum = 0.0

    def __init__(self, scale: float, reduction: Reduction) -> None:
        super().__init__(reduction)
        # a vector of one number, so that runs can be stacked
        self.log_scale = nn.Parameter(torch.tensor([math.log(scale)]))

    @abstractmethod
    def of_pairs(self, cosine: Tensor, same: Tensor) -> Tensor:
        """Compute a value per pair, (N,).

        Args:
            cosine: cosines (N, N) of first parts, in rows, with second parts.
            same: mask (N, N) of those that belong together.
        """

    def scaled(self, cosine: Tensor) -> Tensor:
        """Multiply cosines by the learned scale."""
        return cosine * self.log_scale.to(cosine.dtype).exp()

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_paired_embeddings(prediction, target)
        first, second = prediction.unbind(dim=1)
        return self.reduce(self.of_pairs(cosines(first, second), target[:, None] == target))

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the sum over a batch, and the number of its pairs.

        Raises:
            ValueError: if there are sample weights, since a term belongs to several pairs.
        """
        if weights is not None:
            raise ValueError(
                f"{type(self).__name__} has no sample weights: its terms compare several pairs"
            )
        return super().total(prediction, target)


class InfoNCELoss(PairedLoss):
    r"""InfoNCE for pairs of embeddings, both ways (CLIP): the own partner among those of the batch.

    .. math::
        \ell_i = -\frac{1}{2 |P_i|} \sum_{j \in P_i}
        \log\frac{e^{\cos(x_i, y_j) / \tau}}{\sum_k e^{\cos(x_i, y_k) / \tau}}
        + \log\frac{e^{\cos(x_j, y_i) / \tau}}{\sum_k e^{\cos(x_k, y_i) / \tau}}

    with :math:`P_i` the pairs of the batch that have the label of pair i. If all labels differ, it
    is CLIP's loss; pairs with equal labels are equally right, as in UniCL, and leave the entropy
    :math:`\log |P_i|`. The temperature :math:`\tau` is a parameter of the loss, trained as
    :math:`\log(1/\tau)`; ``optimizer.loss_lr=0``, or ``loss.requires_grad_(False)``, keeps it. It
    has no lower bound, whereas CLIP's is kept above 0.01.

    Args:
        temperature: initial :math:`\tau`, above 0.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` for one value per pair, ``(N,)``.

    Shape:
        prediction: pairs of embeddings ``(N, 2, D)``, of any length; target: labels of the pairs,
        integers ``(N,)``.

    Raises:
        ValueError: if the temperature is not above 0 or the shapes do not fit.

    Source:
        van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding",
        2018; Radford et al., "Learning Transferable Visual Models From Natural Language
        Supervision", ICML 2021 (CLIP); Yang et al., "Unified Contrastive Learning in
        Image-Text-Label Space", CVPR 2022 (equal labels).

    Example:
        Two pairs whose embeddings are all equal: each partner is one of two.

        >>> loss = InfoNCELoss()
        >>> value = loss(torch.ones(2, 2, 3), torch.tensor([0, 1]))
        >>> torch.isclose(value, torch.tensor(2.0).log()).item()
        True
    """

    def __init__(self, temperature: float = 0.07, reduction: Reduction = "mean") -> None:
        require_at_least("temperature", temperature, 0, strict=True)
        super().__init__(1 / temperature, reduction)

    def of_pairs(self, cosine: Tensor, same: Tensor) -> Tensor:
        """Compute the symmetric cross-entropy of each pair."""
        return paired.info_nce(self.scaled(cosine), same)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the temperature."""
        return {"temperature": self.log_scale.detach().neg().exp().sum()}


class SigLIPLoss(PairedLoss):
    r"""SigLIP, the sigmoid loss for pairs of embeddings: each first part with each second one.

    .. math::
        \ell_i = -\sum_j \log\sigma\bigl(s_{ij} (t \cos(x_i, y_j) + b)\bigr), \qquad
        s_{ij} = +1 \text{ if the labels of i and j are equal, else } -1

    The mean is over the pairs, not over the :math:`N^2` terms, as in the paper. Scale t, trained as
    its logarithm, and bias b are parameters of the loss; ``optimizer.loss_lr=0``, or
    ``loss.requires_grad_(False)``, keeps them.

    Args:
        scale: initial t, above 0.
        bias: initial b; negative, since most terms are negatives.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` for one value per first part, ``(N,)``.

    Shape:
        prediction: pairs of embeddings ``(N, 2, D)``, of any length; target: labels of the pairs,
        integers ``(N,)``.

    Raises:
        ValueError: if the scale is not above 0 or the shapes do not fit.

    Source:
        Zhai, Mustafa, Kolesnikov and Beyer, "Sigmoid Loss for Language Image Pre-Training", ICCV
        2023.

    Example:
        >>> loss = SigLIPLoss(scale=1.0, bias=0.0)
        >>> pairs = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # orthogonal, so that z = 0
        >>> torch.isclose(loss(pairs, torch.tensor([0])), torch.tensor(2.0).log()).item()
        True
    """

    def __init__(
        self, scale: float = 10.0, bias: float = -10.0, reduction: Reduction = "mean"
    ) -> None:
        require_at_least("scale", scale, 0, strict=True)
        super().__init__(scale, reduction)
        self.bias = nn.Parameter(torch.tensor([float(bias)]))

    def of_pairs(self, cosine: Tensor, same: Tensor) -> Tensor:
        """Compute the sum over the second parts for each first part."""
        return paired.siglip(self.scaled(cosine) + self.bias.to(cosine.dtype), same)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return scale and bias."""
        return {"scale": self.log_scale.detach().exp().sum(), "bias": self.bias.detach().sum()}


def require_paired_embeddings(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` unless these are embeddings ``(N, 2, D)`` with integer labels."""
    shape = tuple(prediction.shape)
    right = prediction.dim() == 3 and shape[1] == 2 and shape[2] > 0
    if not right or not prediction.is_floating_point():
        raise ValueError(
            "prediction must hold floating-point pairs of embeddings, shape (N, 2, D), got "
            f"{prediction.dtype} of shape {shape}"
        )
    if target.shape != prediction.shape[:1]:
        raise ValueError(
            f"target must hold one label per pair, shape ({shape[0]},), got {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(f"target must hold integer labels, got {target.dtype}")
