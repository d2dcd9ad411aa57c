"""The replay buffer against a plain list."""

from collections import deque

import pytest
import torch

from losslab.rl.replay import ReplayBuffer, Transitions


def rows(first, count):
    numbers = torch.arange(first, first + count)
    return Transitions(
        torch.stack([numbers, -numbers], 1).float(),
        numbers % 2,
        numbers.float() / 2,
        torch.stack([numbers + 1, -numbers], 1).float(),
        numbers % 3 == 0,
    )


def numbers_of(transitions):
    return sorted(transitions.observations[:, 0].int().tolist())


@pytest.mark.parametrize("capacity", [4, 7, 100])
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_it_holds_the_last_transitions(capacity, batch):
    buffer, reference = ReplayBuffer(capacity, (2,)), deque(maxlen=capacity)
    for first in range(0, 30, batch):
        buffer.add(rows(first, batch))
        reference.extend(range(first, first + batch))
        assert len(buffer) == len(reference)
        assert numbers_of(buffer.all()) == sorted(reference)


def test_a_row_stays_together():
    buffer = ReplayBuffer(8, (2,))
    for first in range(0, 21, 3):
        buffer.add(rows(first, 3))
    sample = buffer.sample(50, torch.Generator().manual_seed(0))
    for row, number in enumerate(sample.observations[:, 0].int().tolist()):
        for found, expected in zip(sample, rows(number, 1), strict=True):
            assert torch.equal(found[row], expected[0])


def test_each_row_is_as_likely():
    buffer = ReplayBuffer(10, (2,))
    buffer.add(rows(0, 5))
    sample = buffer.sample(10_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(sample.observations[:, 0].long(), minlength=10)
    assert counts[5:].sum() == 0
    assert (counts[:5] - 2000).abs().max() < 5 * (10_000 * 0.2 * 0.8) ** 0.5


def test_a_saved_buffer_goes_on_as_the_unbroken_one(tmp_path):
    buffer = ReplayBuffer(6, (2,))
    buffer.add(rows(0, 5))
    buffer.add(rows(5, 3))
    torch.save(buffer.state_dict(), tmp_path / "buffer")
    other = ReplayBuffer(6, (2,))
    other.load_state_dict(torch.load(tmp_path / "buffer", weights_only=True))
    for each in (buffer, other):
        each.add(rows(8, 2))
    for one, two in zip(
        *(b.sample(20, torch.Generator().manual_seed(1)) for b in (buffer, other)), strict=True
    ):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: ReplayBuffer(0, ()), "capacity must be >= 1, got 0"),
        (lambda: ReplayBuffer(2, (2,)).add(rows(0, 3)), "transitions must be at most 2, got 3"),
        (
            lambda: ReplayBuffer(9, (3,)).add(rows(0, 3)),
            r"observations must have shape \(3, 3\), got \(3, 2\)",
        ),
        (
            lambda: ReplayBuffer(9, (2,)).add(rows(0, 3)._replace(rewards=torch.zeros(3, 1))),
            r"rewards must have shape \(3,\), got \(3, 1\)",
        ),
        (lambda: ReplayBuffer(9, ()).sample(2, torch.Generator()), "must hold transitions"),
        (
            lambda: ReplayBuffer(9, ()).load_state_dict(ReplayBuffer(8, ()).state_dict()),
            "capacity must be 8, got 9",
        ),
    ],
    ids=["capacity", "too many", "shape", "column", "empty", "another"],
)
def test_wrong_use_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
