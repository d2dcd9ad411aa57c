"""Losses on embeddings that train a vector per class: center, ArcFace, CosFace, proxy anchor."""

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    require_at_least,
    require_between,
    require_choice,
    require_elements,
)
from losslab.losses.functional import class_vectors
from losslab.losses.metric import require_labelled_embeddings


class ClassVectorLoss(Loss):
    """Base class of the losses that compare embeddings with a trained vector per class.

    The vectors are drawn with a mean squared length of 1.

    Args:
        num_classes: number of classes C; labels are 0 to C - 1.
        embedding_size: dimensions D of an embedding.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    accepts = (TargetFormat.LABELLED_EMBEDDINGS,)
    minimum = 0.0

    def __init__(
        self, num_classes: int, embedding_size: int, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        require_at_least("num_classes", num_classes, 1)
        require_at_least("embedding_size", embedding_size, 1)
        vectors = torch.randn(num_classes, embedding_size) / embedding_size**0.5
        self.vectors = nn.Parameter(vectors)

    def require_embeddings(self, prediction: Tensor, target: Tensor) -> None:
        """Raise ``ValueError`` unless these are labels and embeddings of the vectors' size."""
        require_labelled_embeddings(prediction, target)
        if prediction.shape[1] != self.vectors.shape[1]:
            raise ValueError(
                f"prediction must hold embeddings of embedding_size={self.vectors.shape[1]} "
                f"dimensions, got {prediction.shape[1]}"
            )

    def own_class(self, target: Tensor) -> Tensor:
        """Return the mask (N, C) of the class of each sample."""
        return class_vectors.own_class(target, len(self.vectors))


class CenterLoss(ClassVectorLoss):
    r"""Center loss: embeddings near the centre of their class, a parameter of the loss.

    .. math:: \ell_i = \tfrac12 \lVert x_i - c_{t_i} \rVert^2

    It does not hold classes apart, and belongs beside a loss that does, such as cross-entropy. The
    optimizer trains the centres; in the paper they move by a rate of their own, which is
    ``optimizer.loss_lr`` here.

    Args:
        num_classes: number of classes C; labels are 0 to C - 1.
        embedding_size: dimensions D of an embedding.
        reduction: ``"mean"``, ``"sum"`` (as in the paper) or ``"none"``.

    Shape:
        prediction: embeddings ``(N, D)``; target: class labels, integers ``(N,)``.

    Raises:
        ValueError: if a size is below 1 or the shapes do not fit.

    Source:
        Wen, Zhang, Li and Qiao, "A Discriminative Feature Learning Approach for Deep Face
        Recognition", ECCV 2016.

    Example:
        >>> loss = CenterLoss(num_classes=2, embedding_size=2)
        >>> _ = loss.vectors.data.zero_()
        >>> loss(torch.tensor([[3.0, 4.0]]), torch.tensor([1])).item()  # 5^2 / 2
        12.5
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        self.require_embeddings(prediction, target)
        return self.reduce(class_vectors.center(prediction, self.vectors, target))


class MarginSoftmaxLoss(ClassVectorLoss):
    """Base class of the cross-entropies of scaled cosines with a margin at the right class."""

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        margin: float,
        scale: float,
        reduction: Reduction,
    ) -> None:
        super().__init__(num_classes, embedding_size, reduction)
        require_at_least("scale", scale, 0, strict=True)
        self.margin = margin
        self.scale = scale

    @abstractmethod
    def cosines(self, embeddings: Tensor, own: Tensor) -> Tensor:
        """Compute the cosines (N, C) with the class vectors, less the margin."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        self.require_embeddings(prediction, target)
        logits = self.scale * self.cosines(prediction, self.own_class(target))
        return self.reduce(F.cross_entropy(logits, target, reduction="none"))


class ArcFaceLoss(MarginSoftmaxLoss):
    r"""ArcFace: cross-entropy of scaled cosines, with a margin at the angle of the right class.

    .. math::
        \ell_i = -\log \frac{e^{s \cos(\theta_{t_i} + m)}}
        {e^{s \cos(\theta_{t_i} + m)} + \sum_{j \ne t_i} e^{s \cos\theta_j}}

    with :math:`\theta_j` the angle between the embedding and the vector of class j, a parameter of
    the loss. Where :math:`\theta_{t_i} + m > \pi`, the cosine would rise again, and
    :math:`\cos\theta_{t_i} - m \sin m` replaces it, as in the authors' code.

    Args:
        num_classes: number of classes C; labels are 0 to C - 1.
        embedding_size: dimensions D of an embedding.
        margin: m, in radians, below :math:`\pi`.
        scale: s.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        prediction: embeddings ``(N, D)``, of any length; target: class labels, integers ``(N,)``.

    Raises:
        ValueError: if an option is out of range or the shapes do not fit.

    Source:
        Deng, Guo, Xue and Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face
        Recognition", CVPR 2019.

    Example:
        An embedding that is orthogonal to both class vectors:

        >>> loss = ArcFaceLoss(num_classes=2, embedding_size=3, margin=0.5, scale=1.0)
        >>> _ = loss.vectors.data.copy_(torch.eye(3)[:2])
        >>> value = loss(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([0]))
        >>> torch.isclose(value, torch.log1p(torch.tensor(0.5).sin().exp())).item()
        True
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        margin: float = 0.5,
        scale: float = 64.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(num_classes, embedding_size, margin, scale, reduction)
        require_between("margin", margin, 0, 3.14)

    def cosines(self, embeddings: Tensor, own: Tensor) -> Tensor:
        """Compute the cosines, with the margin added to the angle of the right class."""
        return class_vectors.angular_margin(embeddings, self.vectors, own, self.margin)


class CosFaceLoss(MarginSoftmaxLoss):
    r"""CosFace: cross-entropy of scaled cosines, with a margin at the cosine of the right class.

    .. math::
        \ell_i = -\log \frac{e^{s (\cos\theta_{t_i} - m)}}
        {e^{s (\cos\theta_{t_i} - m)} + \sum_{j \ne t_i} e^{s \cos\theta_j}}

    with :math:`\theta_j` the angle between the embedding and the vector of class j, a parameter of
    the loss.

    Args:
        num_classes: number of classes C; labels are 0 to C - 1.
        embedding_size: dimensions D of an embedding.
        margin: m, at least 0.
        scale: s.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        prediction: embeddings ``(N, D)``, of any length; target: class labels, integers ``(N,)``.

    Raises:
        ValueError: if an option is out of range or the shapes do not fit.

    Source:
        Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018.

    Example:
        >>> loss = CosFaceLoss(num_classes=2, embedding_size=3, margin=0.25, scale=4.0)
        >>> _ = loss.vectors.data.copy_(torch.eye(3)[:2])
        >>> value = loss(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([0]))
        >>> torch.isclose(value, torch.log1p(torch.tensor(4 * 0.25).exp())).item()
        True
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        margin: float = 0.35,
        scale: float = 64.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(num_classes, embedding_size, margin, scale, reduction)
        require_at_least("margin", margin, 0)

    def cosines(self, embeddings: Tensor, own: Tensor) -> Tensor:
        """Compute the cosines, less the margin for the right class."""
        cosine = class_vectors.cosines(embeddings, self.vectors)
        return class_vectors.cosine_margin(cosine, own, self.margin)


class ProxyAnchorLoss(ClassVectorLoss):
    r"""Proxy anchor loss: a vector per class attracts its samples and repels the others.

    .. math::
        \ell = \frac{1}{|P^+|} \sum_{p \in P^+} \log\Bigl(1 + \sum_{x \in X_p}
        e^{-\alpha (s(x, p) - \delta)}\Bigr) + \frac{1}{|P|} \sum_{p \in P} \log\Bigl(1 +
        \sum_{x \notin X_p} e^{\alpha (s(x, p) + \delta)}\Bigr)

    with s the cosine, P the proxies (class vectors, parameters of the loss), :math:`P^+` those
    whose class is in the batch, and :math:`X_p` the samples of the class of p. A term belongs to
    all samples of a batch, so that there are no sample weights.

    Args:
        num_classes: number of classes C; labels are 0 to C - 1.
        embedding_size: dimensions D of an embedding.
        margin: delta, at least 0.
        scale: alpha.
        reduction: ``"mean"``, since the two means divide by different numbers.

    Shape:
        prediction: embeddings ``(N, D)``, of any length; target: class labels, integers ``(N,)``.

    Raises:
        ValueError: if an option is out of range or the shapes do not fit.

    Source:
        Kim, Kim, Cho and Kwak, "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020.

    Example:
        >>> loss = ProxyAnchorLoss(num_classes=2, embedding_size=3, margin=0.0, scale=1.0)
        >>> _ = loss.vectors.data.copy_(torch.eye(3)[:2])
        >>> value = loss(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([0]))
        >>> torch.isclose(value, 1.5 * torch.tensor(2.0).log()).item()  # one proxy of two
        True
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        margin: float = 0.1,
        scale: float = 32.0,
        reduction: Literal["mean"] = "mean",
    ) -> None:
        require_choice("reduction", reduction, ("mean",))
        super().__init__(num_classes, embedding_size, reduction)
        require_at_least("margin", margin, 0)
        require_at_least("scale", scale, 0, strict=True)
        self.margin = margin
        self.scale = scale

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        self.require_embeddings(prediction, target)
        require_elements(prediction)
        cosine = class_vectors.cosines(prediction, self.vectors)
        return class_vectors.proxy_anchor(cosine, self.own_class(target), self.margin, self.scale)

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch times its number of samples, and this number.

        Raises:
            ValueError: if there are sample weights.
        """
        if weights is not None:
            raise ValueError("ProxyAnchorLoss has no sample weights: its terms belong to a batch")
        self.require_embeddings(prediction, target)
        count = prediction.detach().new_full((), len(prediction))
        if len(prediction) == 0:
            return prediction.sum(), count
        return self(prediction, target) * len(prediction), count
