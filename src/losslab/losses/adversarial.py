"""Losses of a generator and a discriminator that are trained against each other."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    full_precision,
    require_at_least,
    require_choice,
    require_same_shape,
)
from losslab.losses.functional.adversarial import GAMES, gradient_penalty

Kind = Literal["non_saturating", "minimax", "least_squares", "hinge", "wasserstein"]


class AdversarialLoss(Loss):
    r"""Adversarial losses of discriminator and generator, from raw discriminator logits.

    With r the logit of a real sample, f that of a generated one, and
    :math:`\zeta(z) = \log(1 + e^z)`:

    ================  ============================================  ====================
    kind              discriminator                                 generator
    ================  ============================================  ====================
    non_saturating    :math:`\zeta(-r) + \zeta(f)`                  :math:`\zeta(-f)`
    minimax           :math:`\zeta(-r) + \zeta(f)`                  :math:`-\zeta(f)`
    least_squares     :math:`(r - 1)^2 / 2 + f^2 / 2`               :math:`(f - 1)^2 / 2`
    hinge             :math:`\max(0, 1 - r) + \max(0, 1 + f)`       :math:`-f`
    wasserstein       :math:`f - r`, and the gradient penalty       :math:`-f`
    ================  ============================================  ====================

    ``loss(real_logits, fake_logits)`` is the discriminator's loss without the penalty. Detach the
    generated samples before passing them to the discriminator in its own step; in the generator's
    step, compute their logits again, with gradients.

    Args:
        kind: the pair of losses, see the table.
        gradient_penalty: weight of :meth:`penalty`, at least 0. Only ``kind="wasserstein"`` needs
            it; see :attr:`needs_penalty`.
        reduction: ``"mean"`` over the logits of each component, ``"sum"`` or ``"none"``.

    Shape:
        real and generated logits: the same, ``(N,)`` or ``(N, *)``.

    Raises:
        ValueError: if an option is out of range or the shapes differ.

    Source:
        Goodfellow et al., "Generative Adversarial Nets", 2014 (non_saturating, minimax); Mao et
        al., "Least Squares Generative Adversarial Networks", 2017; Lim, Ye, "Geometric GAN", 2017
        (hinge); Gulrajani et al., "Improved Training of Wasserstein GANs", 2017.

    Example:
        >>> import torch
        >>> loss = AdversarialLoss("hinge")
        >>> loss(torch.tensor([2.0]), torch.tensor([-2.0]))  # both beyond the margin
        tensor(0.)
        >>> loss.generator_components(torch.tensor([-2.0]))
        {'generator': tensor(2.)}
    """

    accepts = (TargetFormat.DISCRIMINATOR,)

    def __init__(
        self,
        kind: Kind = "non_saturating",
        gradient_penalty: float = 10.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_choice("kind", kind, tuple(GAMES))
        require_at_least("gradient_penalty", gradient_penalty, 0)
        self.kind = kind
        self.gradient_penalty = gradient_penalty

    @property
    def needs_penalty(self) -> bool:
        """Whether to add :meth:`penalty` to the discriminator's loss."""
        return self.kind == "wasserstein" and self.gradient_penalty > 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the discriminator's loss.

        Args:
            prediction: logits of real samples.
            target: logits of generated samples.
        """
        components = self.discriminator_components(prediction, target)
        return components["real"] + components["fake"]

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the components of the discriminator's loss, ``real`` and ``fake``."""
        return self.discriminator_components(prediction, target)

    def discriminator_components(
        self, real_logits: Tensor, fake_logits: Tensor
    ) -> dict[str, Tensor]:
        """Compute the components of the discriminator's loss, ``real`` and ``fake``."""
        require_same_shape(real_logits, fake_logits)
        real_logits, fake_logits = full_precision(real_logits, fake_logits)
        game = GAMES[self.kind]
        return {
            "real": self.reduce(game.real(real_logits)),
            "fake": self.reduce(game.fake(fake_logits)),
        }

    def generator_components(self, fake_logits: Tensor) -> dict[str, Tensor]:
        """Compute the generator's loss, as the only component ``generator``."""
        (fake_logits,) = full_precision(fake_logits)
        return {"generator": self.reduce(GAMES[self.kind].generator(fake_logits))}

    def penalty(
        self,
        discriminator: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        mixing: Tensor,
    ) -> Tensor:
        r"""Compute the weighted gradient penalty at points between real and generated samples.

        .. math:: \lambda \operatorname{mean}_n (|\nabla_x D(x_n)| - 1)^2, \quad
            x_n = u_n\, \mathrm{real}_n + (1 - u_n)\, \mathrm{fake}_n

        Args:
            discriminator: maps samples to logits, each sample independently (no batch norm).
            real: samples ``(N, *)``.
            fake: generated samples of the same shape.
            mixing: u, uniform random numbers in [0, 1], ``(N,)``.

        Example:
            >>> import torch
            >>> steep = lambda x: 3 * x.sum(dim=1)  # slope 3 everywhere
            >>> real, fake = torch.ones(4, 1), torch.zeros(4, 1)
            >>> AdversarialLoss("wasserstein").penalty(steep, real, fake, torch.rand(4))
            tensor(40.)
        """
        return self.reduce_penalty(self.penalty_terms(discriminator, real, fake, mixing))

    def reduce_penalty(self, terms: Tensor) -> Tensor:
        """Compute the weighted gradient penalty from :meth:`penalty_terms`."""
        return self.gradient_penalty * self.reduce(terms)

    def penalty_terms(
        self,
        discriminator: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        mixing: Tensor,
    ) -> Tensor:
        """Compute the gradient penalty of each point, (N,); for arguments see :meth:`penalty`."""
        require_same_shape(real, fake)
        if mixing.shape != real.shape[:1]:
            raise ValueError(
                f"mixing must have shape ({len(real)},), one number per sample, "
                f"got {tuple(mixing.shape)}"
            )
        return gradient_penalty(discriminator, real, fake, mixing)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean logits of real and generated samples, ``real_logit``, ``fake_logit``."""
        return {
            "real_logit": prediction.detach().float().mean(),
            "fake_logit": target.detach().float().mean(),
        }
