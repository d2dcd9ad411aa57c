"""Symbols received through a noisy channel: labels whose conditional entropy is known."""

import math
from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from losslab.data import checks, splits
from losslab.data.base import InMemoryData, Options, Raw
from losslab.information import NATS_PER_BIT, noise_entropy
from losslab.rng import Purpose, generator

MOST_CLASSES = 1000


class Channel(InMemoryData):
    r"""Symbols, of which each is received as another one with a known probability.

    The input is the sent symbols, one-hot; the class is the received ones. Each symbol is received
    independently, as it was sent with probability :math:`1 - \varepsilon`, and as each of the other
    ones with probability :math:`\varepsilon / (C - 1)`, in all splits. No model predicts the class
    with a lower cross-entropy than the entropy of the noise.

    Args:
        n: number of samples over all splits.
        alphabet: number of different symbols, :math:`C`.
        noise: probability of a wrong symbol, :math:`\varepsilon`.
        symbols: number of symbols per sample; each combination of them is one class.
        constant: whether the first symbol is always the one that is sent, so that the input says
            nothing; otherwise each is as frequent as any other.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range, or there are too many classes.

    Example:
        >>> data = Channel(alphabet=4, noise=0.75)  # noise that leaves nothing of the symbols
        >>> data.entropy, data.information
        (2.0, 0.0)
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        n: int = 20000,
        alphabet: int = 4,
        noise: float = 0.2,
        symbols: int = 1,
        constant: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("n", n, 100)
        checks.require_whole("alphabet", alphabet, 2)
        checks.require_number("noise", noise, 0, 1)
        checks.require_whole("symbols", symbols, 1)
        checks.require_choice("constant", constant, (True, False))
        if alphabet**symbols > MOST_CLASSES:
            raise ValueError(
                f"alphabet ** symbols, the number of classes, must be <= {MOST_CLASSES}, "
                f"got {alphabet} ** {symbols}"
            )
        self.n, self.alphabet, self.noise = n, alphabet, noise
        self.symbols, self.constant = symbols, constant

    @property
    def entropy(self) -> float:
        """Entropy of the class given the input, in bits."""
        return self.symbols * noise_entropy(self.noise, self.alphabet)

    @property
    def information(self) -> float:
        """Bits by which the input tells the class, which are at most those of the class."""
        if self.constant:
            return 0.0
        return self.symbols * math.log2(self.alphabet) - self.entropy

    @property
    def expected_metrics(self) -> dict[str, float]:
        """Expected metrics of a model that predicts the true distribution."""
        return {"ref/cross_entropy": NATS_PER_BIT * self.entropy, "bits": self.information}

    def load(self) -> Raw:
        """Generate one-hot inputs ``(n, symbols * alphabet)`` and classes ``(n,)``."""
        rng = generator(self.data_seed, Purpose.CHANNEL)
        shape = self.n, self.symbols
        sent = torch.randint(self.alphabet, shape, generator=rng)
        wrong = torch.rand(shape, generator=rng) < self.noise
        shift = torch.randint(1, self.alphabet, shape, generator=rng)
        if self.constant:
            sent = torch.zeros_like(sent)
        received = (sent + wrong * shift) % self.alphabet
        place = self.alphabet ** torch.arange(self.symbols)
        names = [str(label) for label in range(self.alphabet**self.symbols)]
        inputs = one_hot(sent, self.alphabet).flatten(1).float()
        return Raw(
            inputs,
            (received * place).sum(dim=1),
            class_names=names,
            fixed=self._parts(),
            redrawn=True,
        )

    def _parts(self) -> Tensor:
        """Assign the samples to splits by their place, so that these are independent samples.

        Stratified by class, they would have the same shares of the classes.
        """
        parts = torch.full((self.n,), splits.TRAIN)
        held_out = round(self.n * self.val_fraction), round(self.n * self.test_fraction)
        parts[: sum(held_out)] = splits.TEST
        parts[: held_out[0]] = splits.VAL
        return parts
