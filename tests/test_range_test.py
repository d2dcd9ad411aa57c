"""Learning-rate range tests of losses."""

import pytest
import torch
from torch import nn

import losslab
from losslab import range_test
from losslab.commands.lr_find import find, main
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.config.jobs import compose_jobs
from losslab.config.overrides import quoted
from losslab.data.base import InMemoryData
from losslab.range_test import Span, rate_curve

LINE = ["data=regression", "data.n=200", "model=mlp", "model.hidden=[8]"]


def config_of(*overrides):
    [job] = compose_jobs([[*LINE, *overrides]])
    return job.config


@pytest.mark.parametrize(
    ("options", "ratios"),
    [
        ([], [1, 1, 1, 1]),
        (["optimizer.layer_decay=0.01", "scheduler=cosine"], [0.01, 0.01, 1, 1]),
        (["optimizer.layer_decay=0.01", "optimizer.loss_lr=0.1"], [0.01, 0.01, 1, 1]),
    ],
    ids=["one rate", "a rate per layer", "a rate of a loss without parameters"],
)
def test_a_curve_is_that_of_a_training_with_growing_rates(options, ratios):
    """Against a bare loop over the same batches with the same SGD."""
    config = config_of("loss=mse", "optimizer=sgd", "optimizer.momentum=0", "seed=3", *options)
    span = Span(1e-6, 1e-2, 20)
    components = build_components(config)
    network, batches = components.network, components.data.train_dataloader()
    losses = []
    for epoch in range(10):
        batches.set_epoch(epoch)
        for inputs, target in batches:
            if len(losses) == span.steps:
                break
            loss = nn.functional.mse_loss(network(inputs), target)
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            trained = zip(network.parameters(), gradients, ratios, strict=True)
            for parameter, gradient, ratio in trained:
                parameter.data.sub_(span.rates()[len(losses)] * ratio * gradient)
            losses.append(loss.item())
    weights = torch.tensor([0.98**k for k in range(span.steps)]).flip(0)
    found = rate_curve(config, span)
    assert found.rates == tuple(span.rates())
    expected = (torch.tensor(losses) * weights).sum() / weights.sum()
    assert found.losses[-1] == pytest.approx(expected.item(), rel=1e-5)


def test_it_ends_where_the_loss_explodes_and_reads_only_the_training_split(monkeypatch):
    for split in ("val", "test"):
        monkeypatch.setattr(InMemoryData, f"{split}_dataloader", lambda data: 1 / 0)
    one, other = (rate_curve(config_of("loss=mse", "optimizer=sgd"), Span()) for _ in range(2))
    assert one == other
    assert len(one.rates) < 100
    assert one.losses[-1] > 4 * min(one.losses)


def test_python_gives_what_the_command_line_gives(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["loss=mse,mae", *LINE, "steps=40"]) == 0
    out = capsys.readouterr().out
    [folder] = (tmp_path / "logs" / "lr_find").iterdir()
    assert f"figure: logs/lr_find/{folder.name}/lr_find.png" in out
    threads = torch.get_num_threads()
    model = "mlp model.hidden=[8]"
    losses = ["mse", "mae"]
    result = losslab.lr_find(losses=losses, data="regression data.n=200", model=model, steps=40)
    assert repr(result) in out
    assert result.frame().to_csv(index=False) == (folder / "curves.csv").read_text()
    assert torch.get_num_threads() == threads
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_own_model_data_and_losses():
    inputs = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    losses = {
        "ce": nn.CrossEntropyLoss(),
        "ten": lambda prediction, target: 10 * nn.functional.cross_entropy(prediction, target),
    }
    result = losslab.lr_find(
        model=lambda: nn.Linear(4, 2),
        data=(inputs, (inputs[:, 0] > 0).long()),
        losses=losses,
        options=["optimizer=sgd", "optimizer.momentum=0"],
    )
    ce, ten = (result.suggestions[loss]["valley"] for loss in ("ce", "ten"))
    assert ten < ce  # with SGD, a larger loss needs a smaller rate


def test_a_loss_that_is_never_finite(tmp_path):
    weights = build_components(config_of("loss=mse")).network.state_dict()
    nan = {name: torch.full_like(value, torch.nan) for name, value in weights.items()}
    torch.save(nan, tmp_path / "nan.pt")
    config = config_of("loss=mse", f"ckpt_path={quoted(tmp_path / 'nan.pt')}")
    with pytest.raises(UserError, match="loss=mse is not finite on the first batch"):
        rate_curve(config, Span())


REFUSED = {
    "loss=mse steps=x": "steps must be a whole number, got x",
    "loss=mse steps=3": "steps must be at least 20, got 3",
    "loss=mse start=2 end=1": "0 < start < end, got 2.0, 1.0",
    "loss=mse start=nan": "0 < start < end, got nan",
    "loss=mse seed=0,1": "one seed",
    "loss=mse,mse": "each loss with its options once",
    "loss=mse optimizer.lr=1": "optimizer.lr is what lr_find varies",
    "loss=mse --steps=30": "options have no dashes: write steps=30",
    "-m loss=mse": "-m is not needed",
    "loss=mse gama=1": "unknown key gama",
    "loss=adversarial": "has its own training step, for which there is no range test",
    "loss=mse data=digits": "loss=mse accepts values",
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.items(), ids=REFUSED.keys())
def test_refused_in_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words) as refused:
        find(arguments.split())
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


class Likelihood(nn.MSELoss):
    """Likelihood of normal residuals, whose logarithmic variance is trained too."""

    def __init__(self, reduction="mean"):
        super().__init__(reduction=reduction)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, prediction, target):
        return super().forward(prediction, target) * (-self.scale).exp() + self.scale


def test_parameters_of_the_loss_keep_their_own_rate(monkeypatch):
    made = []

    def remembered(module, make=range_test._optimizer):
        made.append(make(module))
        return made[-1]

    monkeypatch.setattr(range_test, "_optimizer", remembered)
    own = ["loss=mse", f"loss._target_={__name__}.Likelihood", "optimizer=sgd"]
    rates = ["optimizer.layer_decay=0.5", "optimizer.loss_lr=0.125"]
    rate_curve(config_of(*own, *rates), Span(1e-6, 1e-4, 20))
    head, first, loss = (group["lr"] for group in made[0].param_groups)
    assert (head, first, loss) == (pytest.approx(1e-4), pytest.approx(5e-5), 0.125)


@pytest.mark.parametrize(
    "given", [{"options": ["optimizer.lr=0.1"]}, {"losses": ["mse optimizer.lr=0.1"]}]
)
def test_python_refuses_a_learning_rate_too(given):
    with pytest.raises(UserError, match=r"^optimizer\.lr is what lr_find varies"):
        losslab.lr_find(**{"losses": ["mse"], "data": "regression"} | given)
