"""A row's steps are those of torch's own optimizer on a run alone."""

import pytest
import torch

from losslab.lockstep.gradients import clip_rows, norms_of_rows
from losslab.lockstep.optimizers import RowOptimizer, state_dict_of

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, [{"lr": 0.1}, {"lr": 0.2, "momentum": 0.9}, {"lr": 0.1}]),
    "adam": (torch.optim.Adam, [{"lr": 0.1}, {"lr": 0.1}, {"lr": 0.01, "betas": (0.5, 0.9)}]),
    "fused": (torch.optim.Adam, [{"lr": rate, "fused": True} for rate in (0.1, 0.2, 0.1)]),
    "adamw": (torch.optim.AdamW, [{"weight_decay": decay} for decay in (0.0, 0.1, 0.5)]),
}


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_rows_step_as_runs_alone(kind, options):
    draw = torch.Generator().manual_seed(0)
    stacked = {
        "weight": torch.randn(3, 4, 2, generator=draw),
        "bias": torch.randn(3, 4, generator=draw),
    }
    alone = [{name: value[row].clone() for name, value in stacked.items()} for row in range(3)]
    runs = [kind(list(own.values()), **given) for own, given in zip(alone, options, strict=True)]
    own = [kind([torch.zeros(1)], **given) for given in options]
    rows = RowOptimizer(stacked, own)
    kept = [0, 1, 2]
    for step in range(6):
        if step == 2:  # a schedule acts on one run
            for optimizer in (runs[2], own[2]):
                optimizer.param_groups[0]["lr"] = 0.3
            rows.regroup()
        if step == 4:  # a run ends
            kept = [2, 0]
            stacked = {name: value[kept] for name, value in stacked.items()}
            rows.keep(stacked, kept)
        # laid out in another order, as gradients of a mapped network can be
        gradients = {
            "weight": torch.randn(len(kept), 2, 4, generator=draw).transpose(1, 2),
            "bias": torch.randn(len(kept), 4, generator=draw),
        }
        rows.step(gradients)
        for place, row in enumerate(kept):
            for name, value in alone[row].items():
                value.grad = gradients[name][place].contiguous()
            runs[row].step()
            for name, value in alone[row].items():
                torch.testing.assert_close(stacked[name][place], value, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_rows_go_on_from_the_states_of_runs(kind, options):
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 4, generator=draw)
    alone = [row.clone() for row in weights]
    runs = [kind([row], **given) for row, given in zip(alone, options, strict=True)]
    own = [kind([torch.zeros(1)], **given) for given in options]
    rows = RowOptimizer({"w": weights}, own)
    for step in range(4):
        gradients = torch.randn(3, 4, generator=draw)
        rows.step({"w": gradients})
        for row, (value, run) in enumerate(zip(alone, runs, strict=True)):
            value.grad = gradients[row].clone()
            run.step()
            saved = state_dict_of(run, [rows.rows()[row]])
            torch.testing.assert_close(saved["state"], run.state_dict()["state"], rtol=0, atol=1e-7)
        torch.testing.assert_close(weights, torch.stack(alone), rtol=0, atol=1e-7)
        if step == 1:
            rows = RowOptimizer({"w": weights}, own, rows.rows())


def test_optimizers_that_mix_weights_are_refused():
    with pytest.raises(ValueError, match="of one class of SGD"):
        RowOptimizer({"w": torch.zeros(1, 2)}, [torch.optim.LBFGS([torch.zeros(1)])])


@pytest.mark.parametrize("largest", [0.1, 1.0, 100.0])
def test_gradients_of_rows_are_clipped_as_those_of_runs_alone(largest):
    """Of these norms, about 0.03, 0.3 and 3, some are below each limit and are kept."""
    draw = torch.Generator().manual_seed(0)
    sizes = torch.tensor([0.01, 0.1, 1.0])
    rows = {
        "weight": torch.randn(3, 4, 2, generator=draw) * sizes.view(3, 1, 1),
        "bias": torch.randn(3, 4, generator=draw) * sizes.view(3, 1),
        "scalar": torch.randn(3, generator=draw) * sizes,
    }
    alone = [{name: value[row].clone() for name, value in rows.items()} for row in range(3)]
    clip_rows(rows, norms_of_rows(rows), largest)
    for row, gradients in enumerate(alone):
        weights = [torch.nn.Parameter(torch.zeros_like(value)) for value in gradients.values()]
        for weight, gradient in zip(weights, gradients.values(), strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(weights, largest)
        for name, weight in zip(rows, weights, strict=True):
            torch.testing.assert_close(rows[name][row], weight.grad)


def test_the_error_names_the_classes_that_were_given():
    runs = [kind([torch.zeros(1)]) for kind in (torch.optim.SGD, torch.optim.Adam)]
    for given, words in ((runs, "got Adam, SGD"), ([], "got none")):
        with pytest.raises(ValueError, match=f"{words}$"):
            RowOptimizer({"w": torch.zeros(1, 2)}, given)
