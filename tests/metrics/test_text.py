"""Edit distances against torchmetrics."""

import random

import pytest
from torchmetrics.functional.text import char_error_rate

from losslab.metrics.text import edit_distance


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_torchmetrics(seed):
    rng = random.Random(seed)
    guess, text = ("".join(rng.choices("012", k=rng.randint(1, 12))) for _ in range(2))
    errors = char_error_rate([guess], [text]).item() * len(text)
    assert edit_distance(guess, text) == pytest.approx(errors, abs=1e-4)


def test_empty_texts():
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert edit_distance("", "") == 0
