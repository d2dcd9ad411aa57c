"""Rows of digits: what the task gives the loss, and what it reads out of logits."""

import pytest
import torch
from torch.nn.functional import one_hot

from losslab.data.digit_sequences import DigitSequences
from losslab.losses import CTCLoss
from losslab.losses.base import TargetFormat
from losslab.losses.functional import equal_shares
from losslab.tasks.sequences import SequenceTask, decode


@pytest.fixture(scope="module")
def data():
    data = DigitSequences(rows=60, gap=4)
    data.setup()
    return data


@pytest.mark.parametrize(
    ("steps", "length", "text"),
    [
        ([1, 1, 0, 1, 5], 5, "004"),
        ([0, 0, 0], 3, ""),
        ([2, 2, 2], 3, "1"),
        ([2, 0, 2], 3, "11"),
        ([2, 3, 4], 2, "12"),
        ([11, 2, 1, 12], 4, ":10;"),  # one character per label, so that 11 is not 2, 1
    ],
)
def test_decode(steps, length, text):
    logits = one_hot(torch.tensor([steps]), 13).float()
    assert decode(logits, torch.tensor([length])) == [text]


def test_every_row_can_be_aligned(data):
    task = SequenceTask(data)
    target = task.target(data.train.targets, TargetFormat.SEQUENCES)
    logits = torch.zeros(len(data.train.targets), data.input_shape[-1] // 2, 11)
    assert CTCLoss().diagnostics(logits, target)["unalignable"] == 0
    assert target.label_lengths.min() >= 3
    assert target.label_lengths.max() <= 8


def test_gaps_are_between_the_least_and_the_largest():
    """Equal gaps put the digits of a row at equal distances, whatever their number."""
    equal = DigitSequences(rows=60, gap=4, least_gap=4)
    equal.setup()
    labels, widths = equal.train.targets[:, :-1], equal.train.targets[:, -1]
    assert torch.equal(widths, 12 * (labels > 0).sum(dim=1))
    some = DigitSequences(rows=2000, gap=4, least_gap=2, shortest=1, longest=1)
    some.setup()
    assert set((some.train.targets[:, -1] - 8).tolist()) == {2, 3, 4}
    with pytest.raises(ValueError, match="gap must be a whole number >= 5, got 4"):
        DigitSequences(gap=4, least_gap=5)


def test_steps_of_equal_gaps_are_those_of_the_digits():
    """Half of a share's steps are a digit's ink, at its end."""
    data = DigitSequences(rows=60, gap=8, least_gap=8, noise=0.0)
    data.setup()
    target = SequenceTask(data).target(data.train.targets, TargetFormat.SEQUENCES)
    steps = data.input_shape[-1] // 2
    path = equal_shares(*target, steps)
    ink = data.train.inputs[:, 0].unflatten(2, (steps, 2)).amax(dim=(1, 3)) > 0
    place = torch.arange(steps) // 8
    labels = target.labels.gather(1, place.expand(len(path), steps))
    assert torch.equal(path[ink], labels[ink])


def test_metrics_of_known_readings(data):
    task = SequenceTask(data)
    target = torch.tensor([[2, 3, 0, 8], [4, 0, 0, 8]])
    steps = torch.tensor([[2, 0, 4, 0], [4, 0, 0, 0]])  # "13" for "12", "3" for "3"
    values = task.metrics(one_hot(steps, 11).float(), target, "softmax", {})
    assert float(values["cer"]) == pytest.approx(1 / 3)
    assert float(values["exact_match"]) == 0.5


def test_splits_share_no_handwriting():
    data = DigitSequences(rows=40, gap=0, noise=0.0)
    data.setup()
    digits = [
        {
            tuple(image.flatten().tolist())
            for image in split.inputs[:, 0].unfold(2, 8, 8).movedim(2, 1).flatten(0, 1)
        }
        for split in (data.train, data.test)
    ]
    blank = {image for image in digits[0] if not any(image)}
    assert (digits[0] & digits[1]) <= blank
