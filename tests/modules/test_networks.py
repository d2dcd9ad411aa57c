"""Networks with batch normalization, frozen parts and learning rates by layer, trained alone."""

import pytest
import torch

from kinds_of_run import DIGITS, config_of
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.first_batch import try_batch
from losslab.runs.record import read_record
from losslab.training import evaluate, train
from small_networks import BatchNet

FEW = ["data.val_fraction=0.05", "data.test_fraction=0.9"]  # 89 digits to train
TARGET = "model._target_=small_networks.BatchNet"
OWN = ["data=digits", *FEW, TARGET, "loss=cross_entropy", "data.batch_size=30"]


def trained(folder, *overrides):
    record = train(config_of(*OWN, *overrides), folder)
    assert record["status"] == "done", record["error"]
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def state(checkpoint):
    return {
        name.removeprefix("network."): value for name, value in checkpoint["state_dict"].items()
    }


def by_hand(epochs, *overrides):
    """Train with a bare loop over the batches of a run."""
    parts = build_components(config_of(*OWN, *overrides))
    network, optimizer = parts.network.train(), parts.module.configure_optimizers()
    batches = parts.data.train_dataloader()
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for images, labels in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
    return parts, network


def test_a_run_is_a_bare_loop(tmp_path):
    """Also with a last batch of one sample, which joins the one before it."""
    parts, network = by_hand(2, "data.batch_size=44")
    assert parts.data.train.size % 44 == 1
    saved = state(trained(tmp_path, "data.batch_size=44", "trainer.max_epochs=2"))
    for name, value in network.state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert saved["1.num_batches_tracked"] == 4
    record = read_record(tmp_path)
    with torch.no_grad():
        predicted = network.eval()(parts.data.val.inputs).argmax(1)
    share = (predicted == parts.data.val.targets).double().mean().item()
    assert record["final"]["metrics"]["accuracy"] == pytest.approx(share)
    assert record["network_notes"] == [
        "batch normalization: the last sample of an epoch joins the batch before it"
    ]


def test_batches_of_other_networks_stay_as_they_are():
    own, plain = (build_components(config_of(*each)).data for each in (OWN, [*DIGITS, *FEW]))
    assert own.fingerprint() == plain.fingerprint()
    sizes = ["data.batch_size=44"]
    own, plain = (
        build_components(config_of(*each, *sizes)).data for each in (OWN, [*DIGITS, *FEW])
    )
    assert [len(labels) for _, labels in own.train_dataloader()] == [44, 45]
    assert [len(labels) for _, labels in plain.train_dataloader()] == [44, 44, 1]
    assert own.order_fingerprint() != plain.order_fingerprint()


def test_a_resumed_run_has_the_same_bits(tmp_path):
    whole = trained(tmp_path / "whole", "trainer.max_epochs=3")
    trained(tmp_path / "parts", "trainer.max_epochs=2")
    longer = config_of(*OWN, "trainer.max_epochs=3")
    assert train(longer, tmp_path / "parts", resume=True)["status"] == "done"
    resumed = torch.load(tmp_path / "parts" / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name


def test_a_trial_leaves_the_statistics_as_they_are():
    config = config_of(*OWN, "loss._target_=torch.nn.CrossEntropyLoss")
    parts = build_components(config)
    try_batch(config, parts)
    assert parts.network[1].num_batches_tracked == 0
    assert torch.equal(parts.network[1].running_mean, torch.zeros(4))


def test_frozen_parts_stay_as_they_are(tmp_path):
    options = ["model.freeze=backbone", "regularizer=l2", "trainer.accumulate_grad_batches=2"]
    config = config_of(*OWN, *options)
    before = build_components(config).network.state_dict()
    checkpoint = trained(tmp_path, *options)
    saved = state(checkpoint)
    changed = {name for name, value in before.items() if not torch.equal(value, saved[name])}
    assert changed == {"9.weight", "9.bias"}
    assert len(checkpoint["optimizer_states"][0]["state"]) == 2
    assert "frozen: 348 of 438" in read_record(tmp_path)["network_notes"][0]


def test_weights_of_a_file_are_initial_weights(tmp_path):
    torch.manual_seed(9)
    torch.save(BatchNet((1, 8, 8), 4).state_dict(), tmp_path / "own.pt")
    made = [
        build_components(config_of(*OWN, f"model.weights={tmp_path / 'own.pt'}", f"seed={seed}"))
        for seed in (0, 0, 1)
    ]
    hashes = [each.weights_hash for each in made]
    assert hashes[0] == hashes[1] != hashes[2]  # the head is drawn from the seed
    assert torch.equal(made[0].network[0].weight, made[2].network[0].weight)
    fresh = build_components(config_of(*OWN)).network
    assert torch.equal(made[0].network[9].weight, fresh[9].weight)
    assert not torch.equal(made[0].network[0].weight, fresh[0].weight)


def test_layers_have_their_learning_rates_through_a_schedule():
    options = ["optimizer.layer_decay=0.5", "optimizer.lr=0.4", "scheduler=step"]
    made = build_components(config_of(*OWN, *options)).module.configure_optimizers()
    groups, scheduler = made["optimizer"].param_groups, made["lr_scheduler"]["scheduler"]
    assert {group["name"]: group["lr"] for group in groups} == {"9": 0.4, "3": 0.2, "0": 0.1}
    for _ in range(scheduler.step_size):
        made["optimizer"].step()
        scheduler.step()
    rates = [group["lr"] / scheduler.gamma for group in groups]
    assert rates == pytest.approx([0.4, 0.2, 0.1])


ONE_CYCLE = ["scheduler=step", "scheduler._target_=torch.optim.lr_scheduler.OneCycleLR"]
ONE_CYCLE += ["++scheduler.max_lr=0.1", "++scheduler.total_steps=5"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            [*ONE_CYCLE, "optimizer.layer_decay=0.5"],
            "OneCycleLR sets the same learning rate for all layers",
        ),
        (["model.freeze=[head]"], "model=BatchNet: model.freeze: head is not in the network"),
        (["+trainer.sync_batchnorm=true"], "sync_batchnorm=true needs GPUs: leave it out"),
        (["model.weights=hub"], "weights=hub is for networks of other libraries"),
        (["model.weights=no.pt"], "model=BatchNet: model.weights=no.pt does not exist"),
    ],
)
def test_what_cannot_be_is_refused(options, error):
    with pytest.raises(UserError, match=error):
        build_components(config_of(*OWN, *options))


@pytest.mark.parametrize("option", ["model.freeze=backbone", "optimizer.layer_decay=0.5"])
def test_tasks_with_their_own_steps_do_not_support_them(option):
    ring = config_of("loss=adversarial", "data=ring", "data.n=100", option)
    with pytest.raises(UserError, match=rf"task=generation does not support {option[:12]}"):
        build_components(ring)


class WithWeights(BatchNet):
    def __init__(self, input_shape, outputs, weights="own", freeze="own"):
        super().__init__(input_shape, outputs)
        self.given = weights, freeze


def test_a_network_with_such_options_is_given_them():
    own = [*OWN, f"model._target_={__name__}.WithWeights"]
    assert build_components(config_of(*own)).network.given == ("own", "own")
    assert build_components(config_of(*own, "model.weights=mine")).network.given == ("mine", "own")


def test_channels_last_gives_the_same_up_to_rounding(tmp_path):
    options = ["model.channels_last=true", "trainer.max_epochs=2"]
    last = state(trained(tmp_path / "last", *options))
    first = state(trained(tmp_path / "first", options[1]))
    assert last["3.weight"].is_contiguous(memory_format=torch.channels_last)
    for name, value in first.items():
        torch.testing.assert_close(value, last[name], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_keeps_statistics_in_float32(precision, tmp_path):
    mixed = state(trained(tmp_path / "mixed", f"trainer.precision={precision}"))
    full = state(trained(tmp_path / "full"))
    for name in ("1.running_mean", "4.running_var"):
        assert mixed[name].dtype == torch.float32
        torch.testing.assert_close(mixed[name], full[name], rtol=0.05, atol=0.02)


def test_a_run_has_its_own_weights_once_it_is_trained(tmp_path):
    given = tmp_path / "given.pt"
    torch.save(build_components(config_of(*OWN, "seed=5")).network.state_dict(), given)
    trained(tmp_path / "run", f"model.weights={given}", "trainer.max_epochs=1")
    given.unlink()
    assert evaluate(tmp_path / "run", ("val",), trust=True)["val"]["accuracy"] > 0
    with pytest.raises(UserError, match="does not exist"):
        build_components(config_of(*OWN, f"model.weights={given}"))
