"""Runs with a sum of losses: from the command line to curves, in lockstep and alone."""

import pytest
import torch

from kinds_of_run import SMALL, config_of
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.config.expansion import complete, jobs_of
from losslab.config.jobs import compose_jobs
from losslab.lockstep.grouping import Job
from losslab.lockstep.sweep import train_jobs
from losslab.modules.component_gradients import gradient_values
from losslab.runs.curves import read_curves
from losslab.runs.folder import job_name, named, own_names
from losslab.training import train

MASKS = ["loss=sum", "data=segmentation", "data.n=40", "model.channels=[4,8]"]
DIGITS = ["loss=sum", "data=digits", "model=mlp", "model.hidden=[16]"]


OF_BOX = "loss.of.box.weight"


def typed(*overrides):
    [job] = compose_jobs(jobs_of(complete([*SMALL, *overrides])))
    return job


def built(*overrides):
    return build_components(typed(*overrides).config)


def test_a_number_is_the_weight_of_a_loss_in_conf():
    of = typed(*MASKS, "loss.of.dice=0.7", "loss.of.bce=0.3").config.loss.of
    assert (of.dice.weight, of.dice.loss.power, of.bce.weight) == (0.7, 1, 0.3)
    loss = built(*MASKS, "loss.of.dice=0.7", "loss.of.bce=0.3").module.loss
    assert (loss.weight("dice"), loss.weight("bce")) == (0.7, 0.3)


@pytest.mark.parametrize(
    "given",
    [
        ["loss.of={dice:{weight:0.7,power:2}}"],
        ["loss.of.dice={weight:0.7,power:2}"],
        ["loss.of.dice.weight=0.7", "loss.of.dice.power=2"],
        ["loss.of.dice=0.7", "loss.of.dice.power=2"],
        ["loss.of.dice.power=2", "loss.of.dice=0.7"],
        ["loss.of.dice={weight:0.7,loss:{power:2}}"],
    ],
)
def test_options_of_a_component(given):
    of = typed(*MASKS, *given).config.loss.of
    assert (of.dice.weight, of.dice.loss.power) == (0.7, 2)


def test_class_weights_of_a_component_are_below_loss():
    loss = built(*DIGITS, "loss.of.cross_entropy={weight:2,loss:{weight:balanced}}").module.loss
    assert loss.weight("cross_entropy") == 2
    assert loss.of["cross_entropy"].weight.shape == (10,)


def test_a_component_may_have_another_name_than_its_loss():
    sharp = "loss.of.sharp={loss:focal,gamma:5,weight:0.5}"
    of = typed(*DIGITS, "loss.of.focal=1", sharp).config.loss.of
    assert (of.focal.loss.gamma, of.sharp.loss.gamma, of.sharp.weight) == (2, 5, 0.5)
    assert of.sharp.loss._target_ == of.focal.loss._target_
    named = typed(*DIGITS, "loss.of.focal=1", "loss.of.x=bce", "loss.of.x.weight=2").config.loss.of
    assert (named.x.weight, named.x.loss._target_) == (2, "losslab.losses.BCELoss")


def test_a_name_is_swept_beside_options():
    given = ["loss=detection", "loss.box=giou,mae", "loss.box.weight=2"]
    completed = complete(given)
    assert completed[1:] == ["++loss.of.box.loss=giou,mae", "++loss.of.box.weight=2"]
    jobs = compose_jobs(jobs_of(completed))
    losses = [job.config.loss.of.box.loss._target_ for job in jobs]
    assert losses == ["losslab.losses.GIoULoss", "losslab.losses.MAELoss"]
    # as a tuning adds it
    [job] = compose_jobs(jobs_of([*complete(["loss=detection", "loss.box=mae"]), f"++{OF_BOX}=3"]))
    of = job.config.loss.of
    assert (of.box.loss._target_, of.box.weight) == ("losslab.losses.MAELoss", 3)


def test_a_loss_of_another_library_has_a_name_of_your_own():
    components = built(
        *DIGITS, "loss.of.cross_entropy=1", "loss.of.mine._target_=torch.nn.MultiMarginLoss"
    )
    assert isinstance(components.module.loss.of["mine"], torch.nn.MultiMarginLoss)


def test_an_adapter_may_be_a_component():
    adapter = "{weight:0.5,_target_:losslab.losses.OnLogSoftmax,loss:{_target_:torch.nn.NLLLoss}}"
    loss = built(*DIGITS, f"loss.of.nll={adapter}").module.loss
    assert isinstance(loss.of["nll"].loss, torch.nn.NLLLoss)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([*MASKS], "loss.of has no losses: add loss.of.NAME=WEIGHT"),
        ([*MASKS, "loss.of=3"], "loss.of must be losses with weights, such as loss.of.dice=1, got"),
        ([*MASKS, "loss.of=null"], "loss.of must be losses with weights"),
        ([*MASKS, "loss.of.dicee=1"], "unknown loss in loss.of.dicee: did you mean dice"),
        ([*MASKS, "loss.of.dice=-1"], "loss.of.dice.weight must be a number >= 0, got -1"),
        ([*MASKS, "loss.of.dice=null"], "loss.of.dice.weight must be a number >= 0, got null"),
        ([*MASKS, "loss.of.dice={powr:2}"], "unknown key loss.of.dice.powr of loss=dice: did you"),
        ([*MASKS, "loss.of.dice={power:5}"], "loss.of.dice.loss.power must be 1 or 2"),
        ([*MASKS, "loss.of.dice={weight:{first:0}}"], "the schedule missing 2 required"),
        ([*MASKS, "loss.of.dice={weight:{first:0,last:1,epochs:-2}}"], "weight.epochs must be a"),
        ([*MASKS, "loss.of.dice=1", "loss.of.mae=1"], "take different targets: dice accepts"),
        (["loss=focal", "loss.of.dice=1"], "unknown key loss.of of loss=focal: write loss=sum"),
        (
            [*DIGITS, "loss.of.cross_entropy=1", "loss.of.mine._target_=torch.nn.NLLLoss"],
            "has loss.of.mine, which is unbounded below on logits; it fits as "
            "loss.of.mine._target_=losslab.losses.OnLogSoftmax "
            "loss.of.mine.loss._target_=torch.nn.NLLLoss",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(given, words):
    with pytest.raises(UserError) as caught:
        built(*given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_components_decide_the_data_if_they_agree():
    assert "data=segmentation" in complete(["loss=sum", "loss.of.dice=1", "loss.of.tversky=1"])
    assert "data=digits" in complete(["loss=sum,cross_entropy", "loss.of.focal=1"])
    assert "data=segmentation" in complete(["loss=bce_dice", "loss.of.dice=2"])
    assert "data=regression" in complete(["loss=sum", "loss.of={mse:1,mae:2}"])
    with pytest.raises(UserError, match="dice defaults to data=segmentation and focal to data=dig"):
        complete(["loss=sum", "loss.of.dice=1", "loss.of.focal=1"])
    with pytest.raises(UserError, match="add data="):
        complete(["loss=sum,mae", "loss.of.dice=1"])


def test_a_sweep_may_have_the_components_alone():
    jobs = jobs_of(["loss=sum,bce", "loss.of.bce=1", "++loss.of.dice=0.3,1", "seed=0"])
    assert jobs == [
        ["loss=sum", "loss.of.bce=1", "++loss.of.dice=0.3", "seed=0"],
        ["loss=sum", "loss.of.bce=1", "++loss.of.dice=1", "seed=0"],
        ["loss=bce", "seed=0"],
    ]


def test_names_list_components_and_weights():
    weights = ["loss=sum", "loss.of.bce=1", "++loss.of.dice=0.5"]
    assert job_name(weights) == "bce+0.5dice"
    assert job_name(["loss=sum", "loss.of.dice.weight=0.5"]) == "0.5dice"
    assert job_name(["loss=sum", "loss.of={mse:1,mae:2}"]).startswith("sum,loss.of=")
    assert job_name([*weights, "++loss.of.dice.weight=2"]) == "bce+2dice"  # as a tuning does
    assert named("loss", "sum", ["loss.of.mine._target_=torch.nn.L1Loss"]) == "mine"
    options = job_name(["loss=sum", "loss.of.bce=1", "loss.of.dice={weight:0.5,power:2}"])
    assert options.startswith("bce+0.5dice,loss.of.dice=")
    jobs = [[*weights, f"seed={seed}"] for seed in (0, 1)]
    assert own_names(jobs) == ["bce+0.5dice", "bce+0.5dice"]


def test_probabilities_are_those_of_the_sum():
    found = built(*DIGITS, "loss.of.cross_entropy=1", "loss.of.focal=1").module.supervision
    assert found.inverse_link not in (None, "softmax")
    alone = built(*DIGITS, "loss.of.cross_entropy=1", "loss.of.categorical_cross_entropy=1")
    assert alone.module.supervision.inverse_link == "softmax"
    schedule = "loss.of.focal={weight:{first:0,last:1,epochs:2}}"
    changing = built(*DIGITS, "loss.of.cross_entropy=1", schedule)
    assert changing.module.supervision.inverse_link is None


RAMP = "loss.of.bce={weight:{first:0,last:1,epochs:2}}"


def curves_of(folder, *names):
    table = read_curves(folder)
    return {name: table[table["name"] == name]["value"].tolist() for name in names}


def test_weights_change_with_the_epochs(tmp_path):
    config = typed(*MASKS, "loss.of.dice=1", RAMP, "trainer.max_epochs=4").config
    train(config, tmp_path)
    curves = curves_of(tmp_path, "train/fact/weight_bce", "train/part/bce")
    assert curves["train/fact/weight_bce"] == [0, 0.5, 1, 1]
    assert curves["train/part/bce"][0] == 0 < curves["train/part/bce"][1]


def test_a_resumed_run_goes_on_with_the_schedule(tmp_path):
    given = [*MASKS, "loss.of.dice=1", RAMP]
    train(typed(*given, "trainer.max_epochs=4").config, tmp_path / "whole")
    train(typed(*given, "trainer.max_epochs=2").config, tmp_path / "parts")
    train(typed(*given, "trainer.max_epochs=4").config, tmp_path / "parts", resume=True)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_lockstep_trains_like_runs_alone(tmp_path):
    precise = [*MASKS, "trainer.precision=64-true", "trainer.max_epochs=3", "loss.of.dice=1"]
    jobs = [
        Job(typed(*precise, bce, f"seed={seed}").config, tmp_path / f"{name}{seed}")
        for name, bce in (("ramp", RAMP), ("plain", "loss.of.bce=0.5"))
        for seed in (0, 1)
    ]
    train_jobs(jobs, workers=1)
    for job in jobs:
        alone = tmp_path / "alone" / job.folder.name
        record = train(job.config, alone)
        together = torch.load(job.folder / "checkpoints/last.ckpt", weights_only=True)
        expected = torch.load(alone / "checkpoints/last.ckpt", weights_only=True)
        for name, value in expected["state_dict"].items():
            torch.testing.assert_close(together["state_dict"][name], value, rtol=1e-9, atol=1e-12)
        names = ["train/part/dice", "train/part/bce", "val/loss"]
        assert curves_of(job.folder, *names) == {
            name: pytest.approx(values) for name, values in curves_of(alone, *names).items()
        }
        assert record["status"] == "done"


def test_norms_and_cosines_of_the_gradients_are_logged_outside_sweeps(tmp_path):
    given = [*MASKS, "loss.of.dice=1", "loss.of.bce=1"]
    names = ["train/grad_norm/dice", "train/grad_norm/bce", "train/grad_cosine/dice,bce"]
    train(typed(*given).config, tmp_path / "alone")
    curves = curves_of(tmp_path / "alone", "train/grad_norm", *names)
    dice, bce, cosine = (curves[name][-1] for name in names)
    whole = (dice**2 + bce**2 + 2 * dice * bce * cosine) ** 0.5
    assert whole == pytest.approx(curves["train/grad_norm"][-1], rel=1e-4)
    train(typed(*given, "component_gradients=false").config, tmp_path / "off")
    (tmp_path / "sweep.json").touch()
    train(typed(*given).config, tmp_path / "job" / "seed0")
    for folder in (tmp_path / "off", tmp_path / "job" / "seed0"):
        assert curves_of(folder, *names) == {name: [] for name in names}


def test_components_without_a_gradient_have_the_norm_0():
    weight = torch.nn.Parameter(torch.ones(2))
    values = gradient_values({"a": weight.sum(), "b": torch.tensor(1.0)}, [weight])
    assert values["grad_norm/b"] == 0
    assert values["grad_cosine/a,b"] == 0


def test_sample_weights_reach_components_of_other_libraries(tmp_path):
    data = ["data=table", f"data.path={tmp_path / 'rows.csv'}", "data.target=y", "data.weight=w"]
    rows = [f"{x},{2 * x + x % 3},{x % 2 + 1}" for x in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y,w", *rows]))
    given = ["task=regression", *data, "model=mlp", "loss=sum", "loss.of.mse=1"]
    components = build_components(typed(*given, "loss.of.l1._target_=torch.nn.L1Loss").config)
    loss = components.module.loss
    prediction, target, weights = (
        torch.tensor([[0.0], [2.0], [5.0]]),
        torch.ones(3, 1),
        torch.arange(3),
    )
    total, count = loss.total(prediction, target, weights)
    squared, absolute = (0 * 1 + 1 * 1 + 2 * 16) / 3, (0 * 1 + 1 * 1 + 2 * 4) / 3
    assert (total / count).item() == pytest.approx(squared + absolute)
    with pytest.raises(UserError, match="l1 has no value per sample"):
        build_components(typed(*given, f"loss.of.l1._target_={__name__}.WithoutReduction").config)


class WithoutReduction(torch.nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).abs().mean()


def test_config_of_a_test_needs_no_completion():
    assert config_of(*MASKS, "++loss.of.dice=1").loss.of.dice.weight == 1
