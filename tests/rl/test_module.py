"""Rollouts, counters, evaluation and resuming, against loops written out."""

import gymnasium
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from losslab.losses import PolicyGradientLoss, QLearningLoss
from losslab.models import MLP
from losslab.rl.control import PolicyControl, ValueControl
from losslab.rl.environments import Environments
from losslab.rl.module import PolicyGradientModule, QLearningModule
from losslab.rl.policy_gradient import sample_actions
from losslab.rl.progress import TrainingProgress
from losslab.rl.q_learning import epsilon_greedy


def environments(**options):
    few = {"choice_episodes": 3, "val_episodes": 2, "test_episodes": 4}
    sizes = {"num_envs": 2, "steps_per_epoch": 200, "steps_per_batch": 50}
    data = Environments(**few | sizes | options)
    data.setup()
    return data


def shared(optimizer=None, **options):
    return {
        "optimizer": optimizer or (lambda parameters: torch.optim.Adam(parameters, lr=1e-2)),
        "scheduler": None,
        "regularizer": None,
        "seed": 0,
        "name": "a loss",
        "monitor": "return_choice",
    } | options


def value_network(input_shape):
    return MLP(input_shape, 1, hidden=[8])


def network(data):
    torch.manual_seed(0)
    return MLP(data.input_shape, data.outputs, hidden=[8])


def policy_gradient(data, loss=None, **options):
    return PolicyGradientModule(
        network(data),
        loss or PolicyGradientLoss(),
        PolicyControl(data),
        value_network=value_network,
        **shared(**options),
    )


def q_learning(data, loss=None, **options):
    few = {"replay_capacity": 300, "warmup": 40, "batch_size": 8, "exploration_steps": 300}
    return QLearningModule(
        network(data), loss or QLearningLoss(), ValueControl(data), **shared(**few | options)
    )


ALGORITHMS = {
    "reinforce": policy_gradient,
    "actor-critic": lambda data, **options: policy_gradient(
        data, rollout=20, gae_lambda=0.9, **options
    ),
    "ppo": lambda data, **options: policy_gradient(
        data, PolicyGradientLoss(clip=0.2), rollout=20, epochs=2, minibatches=2, **options
    ),
    "dqn": q_learning,
    "double dqn": lambda data, **options: q_learning(data, QLearningLoss(double=True), **options),
}


def collected(module):
    """A rollout's steps of the one run, ``(T, N, *)``."""
    steps, experience = module.algorithm._collect(module.single_run)
    return {name: values[0] for name, values in steps.items()}, experience[0]


def fitted(module, data, epochs, checkpoint=None):
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=checkpoint and True)
    return trainer


@pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_resumed_run_ends_as_the_unbroken_one(make, tmp_path):
    data = environments()
    whole = make(data)
    fitted(whole, data, 3)
    first = make(data)
    fitted(first, data, 1).save_checkpoint(tmp_path / "last.ckpt")
    second = make(data)
    fitted(second, data, 3, tmp_path / "last.ckpt")
    before, resumed, unbroken = (run.algorithm.progress for run in (first, second, whole))
    assert before.env_steps < resumed.env_steps == unbroken.env_steps
    assert resumed.returns == unbroken.returns
    assert resumed.ended_at == unbroken.ended_at
    assert second.final == whole.final
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name]), name


@pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_checkpoint_with_the_keys_of_version_0_1_is_resumed(make, tmp_path):
    data = environments()
    first = make(data)
    fitted(first, data, 1).save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    state = saved["reinforcement"]
    memory = state["algorithm"]
    if "rollouts" in memory:
        memory["rounds"] = memory.pop("rollouts")
    past = {**state["progress"], "play": state["environments"], "memory": memory}
    torch.save({**saved, "reinforcement": past}, tmp_path / "past.ckpt")
    resumed = [make(data), make(data)]
    for module, name in zip(resumed, ("last", "past"), strict=True):
        fitted(module, data, 2, tmp_path / f"{name}.ckpt")
    one, two = (module.state_dict() for module in resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert resumed[0].algorithm.progress.returns == resumed[1].algorithm.progress.returns


@pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS)
def test_optimizer_steps_are_the_trainers_steps(make):
    data = environments()
    module = make(data)
    trainer = fitted(module, data, 2)
    progress = module.algorithm.progress
    assert trainer.global_step == progress.updates > 0
    assert 400 <= progress.env_steps < 400 + 2 * 500  # a rollout more at most


@pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS)
def test_returns_of_training_are_those_of_the_steps(make):
    """CartPole pays 1 a step: the finished episodes' returns are at most the steps counted."""
    data = environments()
    module = make(data)
    fitted(module, data, 2)
    progress = module.algorithm.progress
    assert len(progress.returns) == len(progress.ended_at) > 3
    assert progress.ended_at == sorted(progress.ended_at)
    assert progress.env_steps - 2 * 500 < sum(progress.returns) <= progress.env_steps


def test_a_rollout_of_reinforce_is_a_whole_episode_of_each_environment():
    data = environments(num_envs=4)
    module = policy_gradient(data)
    steps, experience = collected(module)
    for index in range(4):
        own = experience[:, index]
        length = int(own.sum())
        assert own[:length].all()
        over = (steps["terminated"] | steps["truncated"])[:length, index]
        assert over.tolist() == [False] * (length - 1) + [True]
    progress = module.algorithm.progress
    assert progress.env_steps == int(experience.sum()) == sum(progress.returns)
    assert sorted(progress.returns) == sorted(experience.sum(dim=0).tolist())


def test_what_follows_an_episode_is_not_learnt_from():
    """The advantages of a rollout are those of each episode alone."""
    data = environments(num_envs=3)
    module = policy_gradient(data, discount=0.9)
    steps, experience = collected(module)
    by_run = {name: values[None] for name, values in steps.items()}
    with torch.no_grad():
        values = module.algorithm._values(module.single_run, by_run["observations"])
        [advantages] = module.algorithm._advantages(module.single_run, by_run, values)
    for index in range(3):
        length = int(experience[:, index].sum())
        with torch.no_grad():
            values = module.value_network(steps["observations"][:length, index]).squeeze(1)
        returns = torch.tensor([(1 - 0.9 ** (length - t)) / 0.1 for t in range(length)])
        torch.testing.assert_close(advantages[:length, index], returns - values)


def test_a_rollout_goes_on_where_the_last_one_stopped():
    data = environments(num_envs=2)
    module = policy_gradient(data, rollout=5)
    first, _ = collected(module)
    module.algorithm.rollouts += 1
    second, experience = collected(module)
    assert experience.all()
    ended = first["terminated"][-1] | first["truncated"][-1]
    assert torch.equal(second["observations"][0][~ended], first["next_observations"][-1][~ended])


def test_an_older_policys_steps_need_a_clipped_loss():
    with pytest.raises(ValueError, match="must be 1 for a loss without clip"):
        policy_gradient(environments(), epochs=2)


def test_sampled_actions_have_the_probabilities_of_the_logits():
    logits = torch.tensor([[0.0, 1.0, -1.0]]).expand(20_000, 3)
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    shares = torch.bincount(sample_actions(logits, uniform), minlength=3) / 20_000
    torch.testing.assert_close(shares, logits[0].softmax(dim=0), atol=0.012, rtol=0)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_sampled_actions_exist_at_the_ends(uniform):
    logits = torch.tensor([[-1e4, 0.0, 1e4], [1e4, 0.0, -1e4]])
    assert sample_actions(logits, torch.full((2,), uniform)).tolist() == [2, 0]


@pytest.mark.parametrize(("epsilon", "best"), [(0.0, 1.0), (0.3, 0.7 + 0.3 / 4), (1.0, 0.25)])
def test_exploring_takes_any_action_with_probability_epsilon(epsilon, best):
    values = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).expand(20_000, 4)
    actions = epsilon_greedy(values, epsilon, torch.Generator().manual_seed(0))
    assert (actions == 1).float().mean().item() == pytest.approx(best, abs=0.015)


def test_exploration_falls_in_a_line():
    module = q_learning(environments(), exploration_final=0.1, exploration_steps=100)
    found = []
    for steps in (0, 50, 100, 1000):
        module.algorithm.progress.env_steps = steps
        found.append(module.algorithm.epsilon())
    assert found == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_the_target_network_follows_every_so_many_steps():
    data = environments(steps_per_epoch=100)
    module = q_learning(data, warmup=10, update_every=2, target_every=7, target_rate=1.0)
    algorithm = module.algorithm
    train, copies = algorithm._train, []

    def observed(runs):
        train(runs)
        target, own = (n.state_dict() for n in (module.target_network, module.network))
        if all(torch.equal(target[name], own[name]) for name in own):
            copies.append(algorithm.progress.updates)

    algorithm._train = observed
    fitted(module, data, 1)
    assert len(algorithm.replay) == algorithm.progress.env_steps == 100
    assert algorithm.progress.updates == (100 - 10) // 2
    assert copies == [7, 14, 21, 28, 35, 42]


def test_the_target_network_goes_a_part_of_the_way():
    module = q_learning(environments(), target_rate=0.25)
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.add_(1.0)
    before = [p.clone() for p in module.target_network.parameters()]
    module.algorithm._update_target(module.single_run)
    for old, new in zip(before, module.target_network.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


def test_replayed_transitions_are_those_played():
    data = environments(num_envs=2, max_episode_steps=6)
    module = q_learning(data)
    for _ in range(15):
        module.algorithm._collect(module.single_run)
    rows = module.algorithm.replay.all()
    assert not rows.terminated.any()  # six steps never let the pole fall: all ends are cuts
    places = torch.arange(30) // 2 % 6
    inner = [i for i in range(28) if places[i] < 5]
    assert all(torch.equal(rows.next_observations[i], rows.observations[i + 2]) for i in inner)
    last = [i for i in range(28) if places[i] == 5]
    assert not any(torch.equal(rows.next_observations[i], rows.observations[i + 2]) for i in last)


def test_greedy_returns_are_those_of_episodes_played_alone():
    data = environments()
    module = q_learning(data)
    alone = []
    for seed in data.test.tolist():
        environment = gymnasium.make("CartPole-v1")
        seen, _ = environment.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action = int(module.network(torch.from_numpy(seen)[None]).argmax())
            seen, reward, terminated, truncated, _ = environment.step(action)
            total, over = total + reward, terminated or truncated
        alone.append(total)
    assert module.greedy_returns(data.test).tolist() == alone


def test_sampled_returns_are_those_of_episodes_played_alone():
    """The k-th random number of an episode decides its k-th action."""
    data = environments()
    module = policy_gradient(data)
    rng = module.algorithm.evaluation_rng()
    uniform = torch.stack([torch.rand(len(data.test), generator=rng) for _ in range(500)])
    alone = []
    for episode, seed in enumerate(data.test.tolist()):
        environment = gymnasium.make("CartPole-v1")
        seen, _ = environment.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            left = module.network(torch.from_numpy(seen)[None]).softmax(dim=1)[0, 0]
            action = int(uniform[int(total), episode] >= left)
            seen, reward, terminated, truncated, _ = environment.step(action)
            total, over = total + reward, terminated or truncated
        alone.append(total)
    assert module.sampled_returns(data.test).tolist() == alone
    assert module.greedy_returns(data.test).tolist() != alone
    assert q_learning(data).sampled_returns(data.test) is None


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ([500.0] * 99, None),
        ([500.0] * 100, 100_0),
        ([10.0] * 60 + [500.0] * 140, 155_0),  # 5 of 10 and 95 of 500: a mean of 475.5
        ([474.0] * 300, None),
        ([475.0] * 100, 100_0),
    ],
    ids=["too few", "at once", "later", "never", "just"],
)
def test_steps_to_solve_is_when_the_mean_of_a_hundred_passes(returns, expected):
    progress = TrainingProgress()
    for value in returns:
        progress.add_steps(10, [value])
    assert progress.steps_to_solve(475.0) == expected


def test_the_test_reports_best_and_final_side_by_side(tmp_path):
    data = environments()
    module = q_learning(data)
    fitted(module, data, 1).save_checkpoint(tmp_path / "early.ckpt")
    early = module.greedy_returns(data.test).mean()
    fitted(module := q_learning(data), data, 3)
    final = module.greedy_returns(data.test).mean()
    steps = module.algorithm.progress.env_steps
    module.splits = ("test",)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.test(module, datamodule=data, ckpt_path=tmp_path / "early.ckpt", weights_only=True)
    found = trainer.callback_metrics
    assert found["test/return_mean"] == early
    assert found["test/return_mean_final"] == final
    assert module.algorithm.progress.env_steps == steps  # evaluating does not restore the counters


def test_a_regularizer_is_a_part_of_the_objective():
    data = environments()
    module = policy_gradient(
        data, regularizer=lambda named: sum(p.square().sum() for p in named.values())
    )
    fitted(module, data, 1)
    curves = module.step_values.drain("x", module.algorithm.progress.updates)
    assert {"train/part/policy", "train/part/value", "train/part/regularizer"} <= curves.keys()
    parts = sum(value for name, value in curves.items() if name.startswith("train/part/"))
    assert curves["train/loss"] == pytest.approx(parts, rel=1e-4)


def test_a_scheduler_steps_once_an_epoch():
    data = environments()
    module = policy_gradient(
        data, scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    )
    trainer = fitted(module, data, 3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-2 / 8)


def test_gradients_are_scaled_down_to_the_norm():
    data = environments()
    module = policy_gradient(
        data,
        max_grad_norm=1e-3,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
    )
    before = nn.utils.parameters_to_vector(module.network.parameters()).detach().clone()
    fitted(module, data, 1)
    moved = nn.utils.parameters_to_vector(module.network.parameters()).detach() - before
    assert 0 < moved.norm() <= module.algorithm.progress.updates * 1e-3 * (1 + 1e-4)
