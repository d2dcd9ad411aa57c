"""The dictionary: losses of other libraries and ours have equal values and gradients."""

import importlib
import inspect
import os
from functools import reduce

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.testing import assert_close

from losslab import losses
from losslab.config import compound, groups
from losslab.config.compose import compose
from losslab.dictionary import ROWS, line_of, ours_options
from losslab.loss_building import build_loss
from losslab.losses.function import FunctionLoss

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is imported
TOLERANCE = {
    "monai.losses.BoxGIoULoss": 1e-5,
    "monai.losses.FocalLoss": 1e-5,  # in float32, whatever they are given
    "timm.loss.AsymmetricLossMultiLabel": 1e-5,
    "keras": 1e-6,  # means are in float32
}


def cases(keep):
    return [pytest.param(row, id=f"{n}-{row.theirs}") for n, row in enumerate(ROWS) if keep(row)]


EQUAL = cases(lambda row: not row.why)


# random batches by what the losses read, and edges


def batch(reads):
    """Return a prediction and a target, in float64."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    def integers(high, *shape):
        return torch.randint(high, shape, generator=rng)

    def masks(*shape):  # every class in every image
        return torch.cat([torch.arange(3).expand(shape[0], 1, 3), integers(3, *shape)], dim=1)

    return {
        "values": lambda: (normal(6, 3), normal(6, 3)),
        "boxes": lambda: (corners(normal), corners(normal)),
        "images": lambda: (normal(2, 1, 4, 4), normal(2, 1, 4, 4)),
        "class indices": lambda: (normal(8, 4), torch.tensor([0, 1, 2, 3, 3, 1, 0, 2])),
        "class probabilities": lambda: (normal(8, 4), normal(8, 4).softmax(dim=1)),
        "binary targets": lambda: (normal(6, 4), integers(2, 6, 4).double()),
        "masks": lambda: (normal(3, 1, 5, 5), integers(2, 3, 1, 5, 5).double()),
        "class masks": lambda: (normal(2, 3, 4, 3), masks(2, 3, 3)),
        "embeddings": lambda: (normal(12, 5), torch.arange(12) % 4),
        "unit embeddings": lambda: (normal(12, 5), torch.arange(12) % 4),  # made units below
        "relevance": lambda: (normal(3, 6), integers(3, 3, 6)),
        "sequences": lambda: (
            normal(2, 7, 4),
            losses.SequenceTarget(
                torch.tensor([[1, 1, 3], [2, 3, 0]]), torch.tensor([3, 2]), torch.tensor([7, 7])
            ),
        ),
    }[reads]()


def corners(normal):
    """Return boxes of which some overlap, in pixels: their eps is then nothing beside areas."""
    low = 100 * normal(30, 2)
    return torch.cat([low, low + 50 + 50 * normal(30, 2).abs()], dim=1)


def wrong_side(size):
    return lambda logits, target: (size * wrong_signs(logits, target), target)


def wrong_signs(logits, target):
    """Return -1 for what should be large, and 1 for the others."""
    if target.shape != logits.shape:
        target = nn.functional.one_hot(target, logits.shape[1])
    return 1 - 2 * target.to(logits.dtype)


def short(logits, target):
    return logits, target._replace(input_lengths=torch.tensor([2, 7]))


AT = {
    "random numbers": lambda logits, target: (logits, target),
    "all targets ignored": lambda logits, target: (logits, torch.full_like(target, 3)),
    "half of the targets ignored": lambda logits, target: (
        logits,
        torch.where(torch.arange(target.shape[-1]) % 2 == 0, target, -100),
    ),
    "an empty mask": lambda logits, target: (logits, 0 * target),
    "a perfect mask": lambda logits, target: (-60 * wrong_signs(logits, target), target),
    "all scores negative": lambda logits, target: (-logits.abs() - 1, target),
    "fewer steps than labels": short,
    "two corners swapped": lambda boxes, target: (boxes[:, [2, 1, 0, 3]], target),
    "predicted boxes without height": lambda boxes, target: (boxes[:, [0, 1, 2, 1]], target),
    "logits of 30 on the wrong side": wrong_side(30),
    "logits of 40 on the wrong side": wrong_side(40),
    "logits of 800 on the wrong side": wrong_side(800),
    "logits of 40 on the right side": wrong_side(-40),
}


# theirs, as a torch module of our prediction and target


class Jax(nn.Module):
    """A loss of optax, channels last, with its gradient by jax."""

    def __init__(self, function, options):
        super().__init__()
        self.function, self.options = function, options

    def forward(self, prediction, target):
        return JaxFunction.apply(prediction, target, self.function, self.options)


class JaxFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, prediction, target, function, options):
        import jax

        ctx.images = prediction.dim() > 3
        if ctx.images:
            prediction, target = prediction.movedim(1, -1), target.movedim(1, -1)
        with jax.enable_x64(True):
            x, y = (jax.numpy.asarray(each.detach().numpy()) for each in (prediction, target))
            value, ctx.pull = jax.vjp(lambda x: function(x, y, **options), x)
        return torch.from_numpy(np.array(value))

    @staticmethod
    def backward(ctx, slope):
        import jax

        with jax.enable_x64(True):
            [gradient] = ctx.pull(jax.numpy.asarray(slope.numpy()))
        gradient = torch.from_numpy(np.array(gradient))
        return gradient.movedim(-1, 1) if ctx.images else gradient, None, None, None


def ctc(loss, logits, target):
    log_p = logits.log_softmax(dim=-1).transpose(0, 1)
    return loss(log_p, target.labels, target.input_lengths, target.label_lengths)


def keras_ctc(loss, logits, target):
    return loss(target.labels, logits)


def optax_ctc(loss, logits, target):
    def padding(lengths, size):
        return (np.arange(size) >= lengths.numpy()[:, None]).astype(float)

    labels = target.labels.numpy()
    fixed = padding(target.label_lengths, labels.shape[1])
    loss.options = {"label_paddings": fixed, "labels": labels}
    return loss(logits, torch.from_numpy(padding(target.input_lengths, logits.shape[1])))


def pairs(loss, scores, grades):
    query, first, second = (grades[:, :, None] > grades[:, None, :]).nonzero().unbind(1)
    return loss(scores[query, first], scores[query, second], torch.ones_like(query))


def triplets(loss, x, labels):
    same = labels[:, None] == labels
    positive = same & ~torch.eye(len(labels), dtype=torch.bool)
    anchor, near, far = (positive[:, :, None] & ~same[:, None, :]).nonzero().unbind(1)
    return loss(x[anchor], x[near], x[far])


CALLS = {
    "torch.nn.CTCLoss": ctc,
    "torch.nn.MarginRankingLoss": pairs,
    "torch.nn.TripletMarginLoss": triplets,
    "keras.losses.CTC": keras_ctc,
    "optax.losses.ctc_loss": optax_ctc,
}
"""How losses are called that read more than a prediction and a target."""


def imported(row):
    """Return the class or function of a row, or skip the test."""
    pytest.importorskip(row.library, reason=f"needs {row.library}")
    module, _, name = row.theirs.rpartition(".")
    return getattr(importlib.import_module(module), name)


def built(row, options):
    """Return theirs, with its adapters in front, as a function of our prediction and target."""
    target = imported(row)
    if row.library == "optax":
        loss = Jax(target, options)
    elif row.library == "keras":
        keras_loss = target(**options, dtype="float64")
        loss = keras_loss if row.theirs in CALLS else FunctionLoss(lambda x, y: keras_loss(y, x))
    elif inspect.isclass(target):
        loss = target(**{name: torch_value(name, value) for name, value in options.items()})
    else:
        loss = FunctionLoss(target, **options)
    if row.theirs in CALLS:
        return lambda prediction, target: CALLS[row.theirs](loss, prediction, target)
    return reduce(lambda inner, name: getattr(losses, name)(inner), reversed(row.front), loss)


def torch_value(name, value):
    """Return weights as tensors."""
    is_weight = "weight" in name and value is not None
    return torch.tensor(value, dtype=torch.float64) if is_weight else value


def ours_of(row, options):
    node = groups.node("loss", row.ours)
    if "of" not in node:
        return getattr(losses, node._target_.rpartition(".")[2])(**options)
    for name, value in options.items():
        OmegaConf.update(node, name, value)
    return build_loss({**node, "of": compound.expanded(OmegaConf.to_container(node.of))}, None)


def value_and_gradient(loss, prediction, target, front=None):
    prediction = prediction.clone().requires_grad_()
    value = loss(front(prediction) if front else prediction, target)
    [gradient] = torch.autograd.grad(value.sum(), prediction)
    return value.detach(), gradient


def factor_of(row, prediction):
    return 1 / prediction.shape[1] if row.factor == "1/C" else float(row.factor)


# the tests


@pytest.mark.parametrize("row", EQUAL)
def test_values_and_gradients_are_equal(row):
    require_equal(row, row.example)


@pytest.mark.parametrize(
    "row", cases(lambda row: not row.why and "sum" in row.options.get("reduction", ()))
)
def test_sums_are_equal(row):
    require_equal(row, {**row.example, "reduction": "sum"})


def require_equal(row, options):
    theirs = built(row, options)
    ours = ours_of(row, ours_options(row, options))
    prediction, target = batch(row.reads)
    front = nn.functional.normalize if row.reads == "unit embeddings" else None
    expected = value_and_gradient(theirs, prediction, target, front)
    found = value_and_gradient(ours, prediction, target, front)
    factor = factor_of(row, prediction)
    rtol = TOLERANCE.get(row.theirs) or TOLERANCE.get(row.library, 1e-9)
    for own, other in zip(found, expected, strict=True):
        assert_close(factor * own, other.to(own), rtol=rtol, atol=rtol / 100)


@pytest.mark.parametrize("row", cases(lambda row: "ignore_index" in row.options.values()))
def test_ignored_targets_are_left_out_by_both(row):
    [name] = [name for name, meaning in row.options.items() if meaning == "ignore_index"]
    example = {**row.example, name: 255}
    prediction, target = batch(row.reads)
    target.view(-1)[1] = 255
    expected = value_and_gradient(built(row, example), prediction, target)
    found = value_and_gradient(ours_of(row, ours_options(row, example)), prediction, target)
    for own, other in zip(found, expected, strict=True):
        assert_close(own, other.to(own), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "row", cases(lambda row: not row.why and "smooth" in ours_options(row, row.example))
)
def test_a_smooth_that_is_left_out_changes_little(row):
    example = {name: value for name, value in row.example.items() if "smooth" not in name}
    at = batch(row.reads)
    theirs, ours = built(row, example), ours_of(row, ours_options(row, example))
    assert_close(theirs(*at), ours(*at), rtol=1e-4, atol=0)


@pytest.mark.parametrize("row", cases(lambda row: row.edge))
def test_what_is_said_of_the_edge_holds(row):
    theirs = built(row, row.example)
    ours = ours_of(row, {} if row.why else ours_options(row, row.example))
    at = AT[row.edge](*batch(row.reads))
    value, gradient = (each.double() for each in value_and_gradient(theirs, *at))
    own_value, own_gradient = value_and_gradient(ours, *at)
    assert own_value.isfinite()
    assert own_gradient.isfinite().all()
    found = {
        "NaN": value.isnan().any(),
        "infinite": value.isinf().any(),
        "NaN gradient": gradient.isnan().any(),
        "vanishing gradient": gradient.abs().max() < 1e-6 * own_gradient.abs().max(),
        "another value": value.isfinite().all() and not value.mean().isclose(own_value, rtol=1e-3),
    }
    assert found[row.theirs_there], (value, gradient, own_value)


@pytest.mark.parametrize("row", EQUAL)
def test_defaults_are_theirs(row):
    parameters = inspect.signature(imported(row)).parameters
    stated = {name: parameters[name].default for name in row.defaults if name in parameters}
    assert stated == {name: row.defaults[name] for name in stated}
    unknown = {name for name in row.options if name not in parameters}
    assert unknown <= {"reducer"}


@pytest.mark.parametrize("row", EQUAL)
def test_the_line_has_keys_of_losslab(row):
    first, *options = line_of(row, row.example).split()
    assert first == f"loss={row.ours}"
    if row.ours == "bce_dice":
        assert compose([first, *(f"++{each}" for each in options)]).loss.of
        return
    known = groups.options()
    assert all(first in known[each.partition("=")[0]] for each in options)
