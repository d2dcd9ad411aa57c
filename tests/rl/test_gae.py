"""Advantages against sums written out."""

import numpy as np
import pytest
import torch

from losslab.rl.gae import generalized_advantages


def written_out(rewards, values, following, terminated, ended, discount, gae_lambda):
    """The sum of discounted errors within the episode, one by one."""
    steps, size = rewards.shape
    advantages = np.zeros((steps, size))
    for column in range(size):
        for start in range(steps):
            for step in range(start, steps):
                after = 0.0 if terminated[step, column] else following[step, column]
                error = rewards[step, column] + discount * after - values[step, column]
                advantages[start, column] += (discount * gae_lambda) ** (step - start) * error
                if ended[step, column]:
                    break
    return advantages


def some_steps(seed, steps=12, size=3):
    draws = np.random.default_rng(seed)
    terminated = draws.random((steps, size)) < 0.15
    truncated = draws.random((steps, size)) < 0.15
    rewards, values, following = draws.normal(size=(3, steps, size))
    return rewards, values, following, terminated, terminated | truncated


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_advantages_are_the_sums_of_discounted_errors(seed, discount, gae_lambda):
    arrays = some_steps(seed)
    found = generalized_advantages(
        *map(torch.from_numpy, arrays), discount=discount, gae_lambda=gae_lambda
    ).numpy()
    np.testing.assert_allclose(
        found, written_out(*arrays, discount, gae_lambda), rtol=1e-12, atol=1e-12
    )


def test_with_lambda_one_it_is_the_return_minus_the_value():
    # three steps to a termination: returns 1 + 2/2 + 4/4 = 3, 2 + 4/2 = 4, and 4
    rewards = torch.tensor([[1.0], [2.0], [4.0]])
    values = torch.tensor([[0.5], [-1.0], [3.0]])
    last = torch.tensor([[False], [False], [True]])
    following = torch.tensor([[-1.0], [3.0], [1e9]])  # what follows the end is not read
    advantages = generalized_advantages(
        rewards, values, following, last, last, discount=0.5, gae_lambda=1.0
    )
    assert advantages.squeeze(1).tolist() == [2.5, 5.0, 1.0]


@pytest.mark.parametrize(("terminated", "expected"), [(True, 1.0), (False, 1.0 + 0.5 * 10)])
def test_a_time_limit_is_no_termination(terminated, expected):
    """Cut by time, the value of the final observation counts; the next episode never does."""
    rewards, values = torch.tensor([[1.0], [100.0]]), torch.zeros(2, 1)
    following = torch.tensor([[10.0], [0.0]])
    over = torch.tensor([[True], [False]])
    advantages = generalized_advantages(
        rewards, values, following, over & terminated, over, discount=0.5, gae_lambda=1.0
    )
    assert advantages[0].item() == expected


def test_shapes_must_agree():
    good = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"ended must have the shape of rewards, \(3, 2\), got"):
        generalized_advantages(
            good, good, good, good.bool(), good[0].bool(), discount=0.9, gae_lambda=0.9
        )


def test_no_steps_have_no_advantages():
    none = torch.zeros(0, 2)
    found = generalized_advantages(
        none, none, none, none.bool(), none.bool(), discount=0.9, gae_lambda=0.9
    )
    assert found.shape == (0, 2)
