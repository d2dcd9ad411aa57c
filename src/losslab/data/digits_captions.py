"""Digits that differ in place, tone and paper, with captions that say so."""

import itertools
from typing import Unpack

import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.batches import Split
from losslab.data.digits import _digits
from losslab.data.splits import TEST, TRAIN, VAL
from losslab.rng import Purpose

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INK = {"bold": 1.0, "faint": 0.5}
PAPER = {"white": 0.0, "black": 1.0}
ROWS = ("upper", "middle", "lower")
COLUMNS = ("left", "centre", "right")
TEMPLATES = (
    "a {ink} {digit} on {paper} in the {row} {column}",
    "{row} {column} {digit} {ink} on {paper}",
    "on {paper} at the {row} {column} a {ink} {digit}",
)
ATTRIBUTES = (DIGITS, tuple(INK), tuple(PAPER), ROWS, COLUMNS)
CAPTIONS = tuple(
    tuple(
        template.format(digit=digit, ink=ink, paper=paper, row=row, column=column)
        for template in TEMPLATES
    )
    for digit, ink, paper, row, column in itertools.product(*ATTRIBUTES)
)
"""Texts of each meaning, one per template."""
WORDS = ("", *sorted({word for texts in CAPTIONS for text in texts for word in text.split()}))
"""The vocabulary; word 0 is padding."""
LENGTH = max(len(text.split()) for texts in CAPTIONS for text in texts)
STEP, SIDE = 4, 16
"""Pixels between two places of a digit, and of an image's side."""


class DigitsCaptions(InMemoryData):
    """Handwritten digits of scikit-learn with captions made from templates.

    Each digit of 8 x 8 pixels is drawn on 16 x 16 pixels: at one of 3 x 3 places, with bold or
    faint ink, on white or black paper, with normal noise on the pixels. One of three templates says
    so, such as "a faint three on black in the upper left". All of it is drawn uniformly, after the
    digits are split: no digit of test occurs in training, whereas what captions say does.

    A sample is a row: the pixels, then the words as indices in :data:`WORDS`, padded with 0.
    Targets are what the caption says, one of 360 meanings. Pairs with equal targets belong to each
    other's parts, too, whatever the template: they are no negatives, and finding either is right.

    Args:
        noise: standard deviation of the noise; ink is 1 and paper 0.
        copies: number of pairs of each training digit, each drawn anew.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Attributes, after ``setup``:
        sizes_of_embeddings: number of words in the ``vocabulary``, and of ``words`` of a text.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = DigitsCaptions(copies=1)
        >>> data.setup()
        >>> data.input_shape, data.outputs  # 16 x 16 pixels and 9 words; meanings
        ((265,), 360)
        >>> text_of(data.train.inputs[0])
        'middle centre six faint on white'
    """

    sizes_of_embeddings: dict[str, int]

    def __init__(self, *, noise: float = 0.1, copies: int = 4, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        checks.require_number("noise", noise, 0)
        checks.require_whole("copies", copies, 1)
        self.noise, self.copies = noise, copies
        self.sizes_of_embeddings = {"vocabulary": len(WORDS), "words": LENGTH}

    def load(self) -> Raw:
        """Return the 1,797 digits of 8 x 8 pixels, without captions."""
        return Raw(*_digits(), target_kind="pairs", outputs=len(CAPTIONS))

    def setup(self, stage: str | None = None) -> None:
        """Split the digits and make the pairs of each split; a second call does nothing."""
        if self._ready:
            return
        super().setup(stage)
        self.train = self._pairs(self.train, TRAIN, self.copies)
        self.val = self._pairs(self.val, VAL, 1)
        self.test = self._pairs(self.test, TEST, 1)
        self.input_shape = tuple(self.train.inputs.shape[1:])
        self._count()

    def _pairs(self, split: Split, part: int, copies: int) -> Split:
        digits, labels = split.inputs.repeat(copies, 1, 1, 1), split.targets.repeat(copies)
        drawing = self._rng(Purpose.CAPTIONS, part)
        sizes = [len(values) for values in ATTRIBUTES[1:]] + [len(TEMPLATES)]
        *drawn, template = (torch.randint(size, labels.shape, generator=drawing) for size in sizes)
        meaning = labels
        for values, choice in zip(ATTRIBUTES[1:], drawn, strict=True):
            meaning = meaning * len(values) + choice
        images = _drawn(digits, *drawn)
        noise = torch.randn(images.shape, generator=self._rng(Purpose.PIXEL_NOISE, part))
        pixels = (images + self.noise * noise).flatten(1)
        words = _WORDS_OF_CAPTIONS[meaning, template]
        return Split(torch.cat([pixels, words.float()], dim=1), meaning)


def text_of(row: Tensor) -> str:
    """Return the caption of a sample."""
    return " ".join(WORDS[int(word)] for word in row[-LENGTH:] if word > 0)


def _drawn(digits: Tensor, ink: Tensor, paper: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Draw digits (n, 1, 8, 8) with these attributes on (n, 1, 16, 16) pixels."""
    images = digits.new_zeros(len(digits), 1, SIDE, SIDE)
    size = torch.arange(digits.shape[-1])
    rows = (STEP * row)[:, None, None] + size[:, None]
    columns = (STEP * column)[:, None, None] + size
    images[torch.arange(len(digits))[:, None, None], 0, rows, columns] = digits[:, 0]
    strength, white = (torch.tensor(list(values.values())) for values in (INK, PAPER))
    inked = images * strength[ink][:, None, None, None]
    # on black paper, the values of ink and paper are exchanged
    return (white[paper][:, None, None, None] - inked).abs()


def _words(text: str) -> list[int]:
    words = [WORDS.index(word) for word in text.split()]
    return words + [0] * (LENGTH - len(words))


_WORDS_OF_CAPTIONS = torch.tensor([[_words(text) for text in texts] for texts in CAPTIONS])
"""Indices of words of each meaning and template, (360, 3, LENGTH)."""
