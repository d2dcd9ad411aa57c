"""Environments: each step is experience, each episode has a seed of its own."""

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv

from losslab.config import groups
from losslab.rl import environments
from losslab.rl.environments import Environments
from losslab.rl.vector import CartPoles, SequentialEnvironments, make_vector_environment


def ready(**options):
    data = Environments(**options)
    data.prepare_data()
    data.setup()
    return data


def actions_of(steps, size, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return [torch.randint(2, (size,), generator=draws) for _ in range(steps)]


def played_alone(data, index, actions):
    """The same experience from one bare environment and gymnasium's own loop."""
    environment = gymnasium.make(data.env_id, max_episode_steps=data.max_episode_steps)
    episode = 0
    seen, _ = environment.reset(seed=data.training_seed(index, episode))
    for action in actions:
        after, reward, terminated, truncated, _ = environment.step(int(action[index]))
        yield seen, reward, after, terminated, truncated
        seen = after
        if terminated or truncated:
            episode += 1
            seen, _ = environment.reset(seed=data.training_seed(index, episode))


@pytest.mark.parametrize("limit", [None, 7], ids=["falls", "is cut"])
def test_every_step_is_that_of_an_environment_played_alone(limit):
    data = ready(num_envs=3, max_episode_steps=limit, seed=4)
    actions = actions_of(120, size=3)
    environments = data.rollout_environments()
    steps = [environments.step(action) for action in actions]
    ends = 0
    for index in range(3):
        alone = played_alone(data, index, actions)
        for step, (seen, reward, after, terminated, truncated) in zip(steps, alone, strict=True):
            np.testing.assert_array_equal(step.observations[index].numpy(), seen)
            np.testing.assert_array_equal(step.next_observations[index].numpy(), after)
            assert float(step.rewards[index]) == reward
            assert bool(step.terminated[index]) == terminated
            assert bool(step.truncated[index]) == truncated
            ends += terminated or truncated
    assert ends > 6  # several episodes each


def test_a_cut_episode_is_truncated_not_terminated_and_ends_where_it_was():
    environments = ready(num_envs=1, max_episode_steps=3).rollout_environments()
    *_, last = [environments.step(torch.tensor([action])) for action in (0, 1, 0)]
    assert (last.truncated.item(), last.terminated.item()) == (True, False)
    assert not torch.equal(last.next_observations, environments.observations)  # begun anew
    assert environments.observations.abs().max() <= 0.05  # CartPole begins there


@pytest.mark.parametrize("after", [0, 5, 33, 80])
def test_resumed_environments_step_as_unbroken_ones(after):
    data = ready(num_envs=2, seed=1)
    actions = actions_of(130, size=2)
    whole = data.rollout_environments()
    for action in actions[:after]:
        whole.step(action)
    saved = whole.state_dict()
    other = data.rollout_environments()
    other.load_state_dict(saved)
    for action in actions[after:]:
        for one, two in zip(whole.step(action), other.step(action), strict=True):
            assert torch.equal(one, two)


def test_saved_environments_of_another_size_are_refused():
    state = ready(num_envs=2).rollout_environments().state_dict()
    with pytest.raises(ValueError, match="state must be of 3 environments, got 2"):
        ready(num_envs=3).rollout_environments().load_state_dict(state)


def test_no_two_purposes_share_a_seed():
    seeds = []
    for seed in range(5):
        data = ready(seed=seed, choice_episodes=60, val_episodes=50, test_episodes=100)
        training = [data.training_seed(i, episode) for i in range(8) for episode in range(200)]
        assert training[0] == data.train[0]
        seeds += training + [int(s) for part in (data.choice, data.val, data.test) for s in part]
    assert len(set(seeds)) == len(seeds) == 5 * (8 * 200 + 60 + 50 + 100)


@pytest.mark.parametrize(
    ("options", "same_data", "same_order"),
    [
        ({}, True, True),
        ({"seed": 1}, False, False),
        ({"num_envs": 4}, True, False),
        ({"max_episode_steps": 100}, False, True),
    ],
    ids=str,
)
def test_fingerprints_tell_what_is_paired(options, same_data, same_order):
    one, two = ready(num_envs=8), ready(**{"num_envs": 8} | options)
    assert (one.fingerprint() == two.fingerprint()) == same_data
    assert (one.order_fingerprint() == two.order_fingerprint()) == same_order


@pytest.mark.parametrize(
    ("env_id", "shape", "actions", "solved"),
    [
        ("CartPole-v1", (4,), 2, 475.0),
        ("Acrobot-v1", (6,), 3, -100.0),
        ("MountainCar-v0", (2,), 3, -110.0),
        ("FrozenLake-v1", (16,), 4, 0.70),  # 16 fields, one of them on
    ],
)
def test_sizes_come_from_the_environment(env_id, shape, actions, solved):
    data = ready(env_id=env_id, num_envs=2)
    assert (data.input_shape, data.outputs, data.solved_at) == (shape, actions, solved)
    assert data.rollout_environments().observations.shape == (2, *shape)
    assert env_id in data.describe()


@pytest.mark.parametrize("name", ["acrobot", "cartpole", "lunar_lander", "mountain_car"])
def test_named_environments_are_gymnasiums(name):
    [_, config] = (groups.CONF / "data" / f"{name}.yaml").read_text().split("env_id: ")
    assert gymnasium.spec(config.split()[0]).id == config.split()[0]


def test_an_environment_that_needs_a_package_names_its_extra(monkeypatch):
    def needs_box2d(*args, **options):
        missing = ModuleNotFoundError("No module named 'Box2D'", name="Box2D")
        raise gymnasium.error.DependencyNotInstalled("Box2D is not installed") from missing

    monkeypatch.setattr(environments.gymnasium, "make", needs_box2d)
    with pytest.raises(ValueError, match=r"Lander-v3: Box2D is not installed: .*\[box2d\]'$"):
        ready(env_id="LunarLander-v3")


def test_a_batch_says_how_many_steps_are_done_after_it():
    data = ready(steps_per_epoch=1200, steps_per_batch=500)
    assert [int(until) for (until,) in data.train_dataloader()] == [500, 1000, 1200]
    assert len(data.train_dataloader()) == 3


def test_splits_are_played_at_most_a_hundred_at_a_time():
    data = ready(test_episodes=130)
    batches = list(data.test_dataloader())
    assert [len(seeds) for (seeds,) in batches] == [100, 30]
    assert torch.equal(torch.cat([seeds for (seeds,) in batches]), data.test)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a whole number >= 1, got 0"),
        ({"test_episodes": 0}, "test_episodes must be a whole number >= 1, got 0"),
        ({"steps_per_epoch": 1.5}, "steps_per_epoch must be a whole number >= 1, got 1.5"),
        ({"max_episode_steps": 0}, "max_episode_steps must be a whole number >= 1, got 0"),
        ({"solved_return": float("nan")}, "solved_return must be a number, got nan"),
        ({"env_id": "CartPol-v1"}, "env_id must name an environment: .*CartPol"),
        ({"env_id": "nowhere:Env-v0"}, "env_id must name an environment: .*nowhere"),
        ({"env_options": {"colour": 1}}, "env_id must name an environment: .*colour"),
        ({"env_id": "Pendulum-v1"}, "must have discrete actions, got Pendulum-v1 with Box"),
        ({"env_id": "Blackjack-v1"}, "must have a time limit, got Blackjack-v1 without"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ready(**options)


class CountsFromOne(gymnasium.Env):
    """Two actions, 1 and 2, and a return that is the sum of those taken."""

    action_space = gymnasium.spaces.Discrete(2, start=1)
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.zeros(1, np.float32), float(action), False, False, {}


def test_networks_count_actions_from_zero():
    gymnasium.register("CountsFromOne-v0", CountsFromOne, max_episode_steps=2)
    environments = ready(env_id="CountsFromOne-v0", num_envs=2).rollout_environments()
    assert environments.step(torch.tensor([0, 1])).rewards.tolist() == [1.0, 2.0]
    environments.load_state_dict(environments.state_dict())
    assert environments.step(torch.tensor([1, 0])).truncated.tolist() == [True, True]


def test_poles_side_by_side_are_gymnasiums_bit_for_bit():
    """Some wait while others act, and each falls or is cut at its own time."""
    for options in ({}, {"sutton_barto_reward": True}):
        poles = make_vector_environment(partial(gymnasium.make, "CartPole-v1", **options), 37)
        apart = SequentialEnvironments(
            [gymnasium.make("CartPole-v1", **options) for _ in range(37)]
        )
        assert isinstance(poles, CartPoles)
        draws = np.random.default_rng(0)
        every, count = np.arange(37), 37
        seen, expected = (v.reset(every, every.tolist()) for v in (poles, apart))
        np.testing.assert_array_equal(seen, expected)
        for number in range(1500):
            index = np.flatnonzero(draws.random(count) < draws.choice([0.1, 0.8, 1.0]))
            if not len(index):
                continue
            # mostly pushed back, so that many episodes reach their limit
            leans = expected[index, 2] + expected[index, 3] > 0
            actions = np.where(draws.random(len(index)) < 0.9, leans, 1 - leans).astype(int)
            steps = [v.step(index, actions) for v in (poles, apart)]
            for one, two in zip(*steps, strict=True):
                np.testing.assert_array_equal(one, two)
            expected[index] = steps[1][0]
            over = index[steps[1][2] | steps[1][3]]
            if len(over):
                seeds = [1000 * number + place for place in over.tolist()]
                begun = [v.reset(over, seeds) for v in (poles, apart)]
                np.testing.assert_array_equal(*begun)
                expected[over] = begun[1]
            if number == 1000:
                count = 20
                for v in (poles, apart):
                    v.keep(every[17:])
                expected = expected[17:]


def test_other_environments_are_not_taken_for_a_cart_pole():
    class Heavier(CartPoleEnv):
        """One whose step may be another."""

    gymnasium.register("Heavier-v0", Heavier, max_episode_steps=9)
    for env_id in ("Heavier-v0", "Acrobot-v1"):
        assert isinstance(ready(env_id=env_id).vector(2), SequentialEnvironments)
