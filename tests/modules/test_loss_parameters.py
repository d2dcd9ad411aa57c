"""A loss's own parameters: the optimizer trains them, and checkpoints and clipping include them."""

import pytest
import torch
from torch import nn

from kinds_of_run import LINE, config_of
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.config.past import translated
from losslab.losses import AdversarialLoss
from losslab.passport import trial
from losslab.training import train


class Likelihood(nn.Module):
    """Negative log-likelihood of normal residuals, whose logarithmic variance is trained too."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.spread = nn.Parameter(torch.randn(1))
        self.reduction = reduction

    def forward(self, prediction, target):
        terms = (prediction - target).square() * (-self.spread).exp() + self.spread
        return terms if self.reduction == "none" else terms.mean()


OWN = [*LINE, f"loss._target_={__name__}.Likelihood", "trainer.max_epochs=2"]
SPREAD = "loss.spread"


def checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def initial(*overrides):
    return build_components(config_of(*OWN, *overrides)).module.state_dict()


def trained(folder, *overrides):
    record = train(config_of(*OWN, *overrides), folder)
    assert record["status"] == "done", record["error"]
    return checkpoint(folder)


def test_they_are_trained_and_saved(tmp_path):
    before, saved = initial(), trained(tmp_path)
    assert not torch.equal(before[SPREAD], saved["state_dict"][SPREAD])
    network, loss = saved["optimizer_states"][0]["param_groups"]
    assert (len(network["params"]), len(loss["params"])) == (2, 1)
    assert loss["lr"] == network["lr"]


def test_they_have_their_own_learning_rate_and_no_weight_decay():
    decay = ["optimizer.weight_decay=0.5", "optimizer.loss_lr=0.125", "scheduler=step"]
    made = build_components(config_of(*OWN, *decay)).module.configure_optimizers()
    network, loss = made["optimizer"].param_groups
    assert (loss["lr"], loss["weight_decay"], network["weight_decay"]) == (0.125, 0, 0.5)
    assert network["lr"] != 0.125
    for _ in range(made["lr_scheduler"]["scheduler"].step_size):
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert loss["lr"] == 0.125 * made["lr_scheduler"]["scheduler"].gamma


def test_a_learning_rate_of_0_keeps_their_initial_values(tmp_path):
    before, saved = initial(), trained(tmp_path, "optimizer.loss_lr=0")
    assert torch.equal(before[SPREAD], saved["state_dict"][SPREAD])
    assert len(saved["optimizer_states"][0]["param_groups"]) == 1


@pytest.mark.parametrize("target", ["torch.nn.MSELoss", f"{__name__}.Likelihood"])
def test_a_loss_does_not_change_the_network_that_training_starts_from(target):
    ours = build_components(config_of(*LINE))
    other = build_components(config_of(*LINE, f"loss._target_={target}"))
    assert ours.weights_hash == other.weights_hash


def test_they_depend_on_the_seed_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = initial("seed=1")
    expected = torch.get_rng_state()
    torch.set_rng_state(state)
    build_components(config_of(*LINE, "seed=1"))
    assert torch.equal(torch.get_rng_state(), expected)
    assert torch.equal(first[SPREAD], initial("seed=1", "model=mlp")[SPREAD])
    assert not torch.equal(first[SPREAD], initial("seed=2")[SPREAD])


def test_a_resumed_run_has_the_same_bits(tmp_path):
    whole = trained(tmp_path / "whole", "optimizer.loss_lr=0.01", "trainer.max_epochs=3")
    trained(tmp_path / "parts", "optimizer.loss_lr=0.01")
    longer = config_of(*OWN, "optimizer.loss_lr=0.01", "trainer.max_epochs=3")
    assert train(longer, tmp_path / "parts", resume=True)["status"] == "done"
    resumed = checkpoint(tmp_path / "parts")
    assert torch.equal(resumed["state_dict"][SPREAD], whole["state_dict"][SPREAD])
    assert str(resumed["optimizer_states"]) == str(whole["optimizer_states"])


def test_clipping_includes_them(tmp_path):
    """One step of gradient descent at rate 1 has the length to which the gradient is clipped."""
    descent = ["optimizer=sgd", "optimizer.lr=1", "optimizer.momentum=0", "data.batch_size=1000"]
    once = [*descent, "trainer.gradient_clip_val=0.25", "trainer.max_epochs=1"]
    before, after = initial(*once), trained(tmp_path, *once)["state_dict"]
    steps = {name: (after[name] - before[name]).flatten() for name in before}
    assert torch.cat(list(steps.values())).norm().item() == pytest.approx(0.25, rel=1e-5)
    assert steps[SPREAD].any()


def test_the_norm_of_the_gradient_includes_them(tmp_path):
    descent = ["optimizer=sgd", "optimizer.lr=1", "optimizer.momentum=0", "data.batch_size=1000"]
    once = [*descent, "trainer.max_epochs=1"]
    before, after = initial(*once), trained(tmp_path, *once)["state_dict"]
    steps = torch.cat([(after[name] - before[name]).flatten() for name in before])
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    [logged] = [float(row.split(",")[-1]) for row in rows if ",train/grad_norm," in row]
    assert steps.norm().item() == pytest.approx(logged, rel=1e-5)


def test_accumulated_batches_equal_their_union(tmp_path):
    descent = ["optimizer=sgd", "optimizer.momentum=0", "trainer.precision=64-true"]
    union = trained(tmp_path / "union", *descent, "data.batch_size=12")
    window = ["data.batch_size=4", "trainer.accumulate_grad_batches=3"]
    windows = trained(tmp_path / "windows", *descent, *window)
    torch.testing.assert_close(windows["state_dict"], union["state_dict"], rtol=0, atol=1e-12)


def test_weighted_samples_train_the_same_parameters(tmp_path):
    table = tmp_path / "table.csv"
    rows = [f"{x / 10},{x / 5},{1 + x % 3}" for x in range(60)]
    table.write_text("\n".join(["x,y,w", *rows]))
    data = ["data=table", f"data.path={table}", "data.target=y", "data.weight=w", "task=regression"]
    options = [*data, "model=linear", "loss=mae", f"loss._target_={__name__}.Likelihood"]
    module = build_components(config_of(*options)).module
    assert module.supervision.totals.sample_loss.spread is module.loss.spread


def test_a_task_that_cannot_train_them_refuses():
    config = config_of("loss=adversarial", "data=ring", "data.n=400")
    config.loss._target_ = f"{__name__}.Discriminating"
    with pytest.raises(UserError, match="task=generation does not train parameters of a loss"):
        build_components(config)


class Discriminating(AdversarialLoss):
    def __init__(self, **options):
        super().__init__(**options)
        self.scale = nn.Parameter(torch.ones(()))


def test_losses_of_earlier_runs_keep_their_initial_values():
    optimizer = {"_target_": "torch.optim.Adam", "lr": 0.1}
    for target, expected in (("my.Loss", 0), ("losslab.losses.MSELoss", None)):
        saved = {"optimizer": dict(optimizer), "loss": {"_target_": target}}
        assert translated(saved)["optimizer"]["loss_lr"] == expected
    assert translated({"optimizer": {"loss_lr": 0.5}, "loss": {}})["optimizer"]["loss_lr"] == 0.5


def test_an_optimizer_of_your_own_has_the_option_too():
    typed = "optimizer._target_=torch.optim.RMSprop"
    assert config_of(*LINE, typed, "optimizer.lr=0.1").optimizer.loss_lr is None
    assert config_of(*LINE, typed, "optimizer.loss_lr=0.1").optimizer.loss_lr == 0.1


EMBEDDINGS = ["data=digits_retrieval", "data.copies=1"]


@pytest.mark.parametrize("name", ["cross_entropy", "arcface", "center", "cosface", "proxy_anchor"])
def test_losses_of_embeddings_are_told_their_sizes(name):
    own = dict(built(f"loss={name}", *EMBEDDINGS, "task.definition.dimensions=7"))
    assert {tuple(value.shape) for value in own.values()} <= {(10, 7), (10,)}
    assert any(value.shape == (10, 7) for value in own.values())


def test_classes_held_out_of_training_have_vectors_too():
    [(_, own)] = built("loss=arcface", *EMBEDDINGS, "data.held_out_classes=[0,9]")
    assert own.shape == (10, 32)


def built(*overrides):
    return build_components(config_of(*overrides)).module.loss.named_parameters()


def test_cross_entropy_of_logits_has_no_head():
    assert not list(built("loss=cross_entropy", "model=linear"))


def test_a_size_that_is_given_is_kept():
    pytest.importorskip("pytorch_metric_learning")
    target = "loss._target_=pytorch_metric_learning.losses.ArcFaceLoss"
    for given, classes in ([], 10), (["+loss.num_classes=12"], 12):
        [(_, own)] = built("loss=triplet", target, *EMBEDDINGS, *given)
        assert own.shape == (32, classes)


def test_two_classes_suffice_and_are_tried_apart_from_ten(tmp_path, monkeypatch):
    tried = []
    try_format = trial.try_format
    monkeypatch.setattr(trial, "_TRIALS", {})
    monkeypatch.setattr(
        trial, "try_format", lambda loss, *given: tried.append(loss) or try_format(loss, *given)
    )
    built("loss=arcface", *EMBEDDINGS)
    rows = [f"{x},{x % 7},{'ab'[x % 2]}" for x in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["x,y,kind", *rows]))
    data = ["data=table", f"data.path={tmp_path / 'table.csv'}", "data.target=kind"]
    [(_, own)] = built("loss=arcface", *data, "task=metric_learning", "model=mlp")
    assert own.shape == (2, 32)
    assert [len(loss.vectors) for loss in tried] == [10, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cross_entropy", "arcface", "cosface", "proxy_anchor"])
def test_they_learn_embeddings(tmp_path, name):
    record = train(config_of(f"loss={name}", EMBEDDINGS[0], "trainer.max_epochs=6"), tmp_path)
    assert record["test"]["map_at_r"] > record["baselines"]["untrained"]["map_at_r"] + 0.1


def test_a_second_copy_of_the_loss_in_an_earlier_checkpoint_is_left_out(tmp_path):
    trained(tmp_path, "trainer.max_epochs=1")
    for name in ("last", "best"):
        path = tmp_path / "checkpoints" / f"{name}.ckpt"
        saved = torch.load(path, weights_only=True)
        saved["state_dict"]["sample_loss.spread"] = saved["state_dict"][SPREAD]
        torch.save(saved, path)
    record = train(config_of(*OWN, "trainer.max_epochs=2"), tmp_path, resume=True)
    assert (record["status"], record["epochs"]) == ("done", 2)
