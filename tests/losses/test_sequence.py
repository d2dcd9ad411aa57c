import itertools

import numpy as np
import pytest
import torch
from scipy import special
from torch.nn import functional as F
from torch.testing import assert_close

from losslab.losses import CTCLoss, FramewiseCrossEntropyLoss, SequenceTarget
from losslab.losses.functional import sequence

CLASSES = 4


def _target(labels, label_lengths, input_lengths):
    return SequenceTarget(*map(torch.tensor, (labels, label_lengths, input_lengths)))


def _logits(n, steps, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, steps, CLASSES, generator=generator, dtype=torch.float64).to(dtype)


def _by_enumeration(scores, labels, blank):
    """``-log P`` as a sum over every path that reads the labels."""
    log_p = special.log_softmax(scores.numpy(), axis=1)
    paths = itertools.product(range(CLASSES), repeat=len(scores))
    reads = [path for path in paths if _read(path, blank) == labels]
    return -special.logsumexp([log_p[np.arange(len(scores)), path].sum() for path in reads])


def _read(path, blank):
    return [label for label, _ in itertools.groupby(path) if label != blank]


# labels and numbers of steps that some path fits
ALIGNABLE = [
    *itertools.product([[], [1]], [1, 2, 4, 6]),
    *itertools.product([[1, 2]], [2, 4, 6]),
    *itertools.product([[2, 2], [1, 2, 1]], [3, 4, 6]),
    *itertools.product([[1, 1, 1]], [5, 6]),
]


@pytest.mark.parametrize("blank", [0, 3])
@pytest.mark.parametrize(("labels", "steps"), ALIGNABLE, ids=str)
def test_value_is_the_sum_over_all_paths(labels, steps, blank):
    logits = _logits(1, steps)
    target = _target([labels + [2] * (4 - len(labels))], [len(labels)], [steps])
    value = CTCLoss(blank, reduction="sum")(logits, target)
    assert_close(value.item(), _by_enumeration(logits[0], labels, blank))


@pytest.fixture
def batch():
    labels = [[1, 2, 3], [1, 1, 0], [2, 0, 0], [0, 0, 0]]
    return _logits(4, 7), _target(labels, [3, 2, 1, 0], [7, 5, 6, 4])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_value_and_gradient_are_torchs(batch, reduction):
    logits, target = batch
    labels, label_lengths, input_lengths = target
    results = []
    for loss in (
        lambda z: CTCLoss(reduction=reduction)(z, target),
        lambda z: F.ctc_loss(
            z.log_softmax(2).transpose(0, 1),
            labels,
            input_lengths,
            label_lengths,
            reduction=reduction,
        ),
    ):
        given = logits.clone().requires_grad_()
        value = loss(given)
        value.sum().backward()
        results.append((value.detach(), given.grad))
    assert_close(*results)


def test_gradient_in_the_logits_is_that_of_finite_differences(batch):
    logits, target = batch
    assert torch.autograd.gradcheck(lambda z: CTCLoss()(z, target), logits.requires_grad_())


UNALIGNABLE = {
    "fewer steps than labels": ([1, 2, 3], 3, 2),
    "no step for the blank between equals": ([1, 1, 2], 3, 3),
    "no steps": ([1, 0, 0], 1, 0),
}


@pytest.mark.parametrize(("labels", "length", "steps"), UNALIGNABLE.values(), ids=UNALIGNABLE)
def test_what_cannot_be_aligned_is_0_with_gradient_0_and_counted(labels, length, steps):
    target = _target([labels, [1, 2, 0]], [length, 2], [steps, 5])
    logits = _logits(2, 5).requires_grad_()
    loss = CTCLoss()
    value = loss(logits, target)
    value.backward()
    alone = loss(logits[1:].detach(), _target([[1, 2, 0]], [2], [5]))
    assert_close(value.detach(), alone / 2)  # it stays in the divisor
    assert logits.grad[0].count_nonzero() == 0
    assert logits.grad[1].count_nonzero() > 0
    assert loss.diagnostics(logits, target) == {"unalignable": 1}


def test_what_just_fits_is_not_counted():
    target = _target([[1, 1, 2], [1, 2, 2]], [3, 2], [4, 2])
    assert CTCLoss().diagnostics(_logits(2, 4), target) == {"unalignable": 0}
    assert (CTCLoss(reduction="none")(_logits(2, 4), target) > 0).all()


@pytest.mark.parametrize("padding", [0, -1, 99])
def test_padding_may_be_anything(batch, padding):
    logits, (labels, label_lengths, input_lengths) = batch
    padded = labels.clone()
    padded[torch.arange(3) >= label_lengths.unsqueeze(1)] = padding
    other = SequenceTarget(padded, label_lengths, input_lengths)
    assert_close(CTCLoss()(logits, other), CTCLoss()(*batch), rtol=0, atol=0)
    assert torch.equal(padded[0], labels[0])
    assert other.labels is padded


def test_steps_behind_the_end_do_not_count(batch):
    logits, target = batch
    changed = logits.clone()
    changed[1, 5:] = 50.0
    assert_close(CTCLoss()(changed, target), CTCLoss()(logits, target), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(0, 5, CLASSES), (2, 0, CLASSES)], ids=["sequences", "steps"])
def test_nothing_costs_nothing(shape):
    n = shape[0]
    target = SequenceTarget(*(torch.zeros(s, dtype=torch.long) for s in ((n, 2), n, n)))
    logits = torch.zeros(shape, requires_grad=True)
    value = CTCLoss(reduction="sum")(logits, target)
    value.backward()
    assert value.item() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_at_least(batch, dtype):
    logits, target = batch
    half = logits.to(dtype)
    value = CTCLoss()(half, target)
    assert value.dtype == torch.float32
    assert_close(value.double(), CTCLoss()(half.double(), target), rtol=1e-6, atol=0)


def test_a_full_graph_is_refused_with_the_reason(batch):
    torch._dynamo.reset()
    compiled = torch.compile(CTCLoss(), fullgraph=True, backend="eager")
    with pytest.raises(torch._dynamo.exc.Unsupported, match="compile the network, not CTCLoss"):
        compiled(*batch)


def _zeros(*shape, dtype=torch.long):
    return torch.zeros(shape, dtype=dtype)


ERRORS = {
    "prediction": (_zeros(2, 3), None, ValueError, r"prediction must be logits \(N, T, C\)"),
    "labels": (
        _zeros(2, 5, 4, dtype=torch.float32),
        SequenceTarget(_zeros(6), _zeros(2), _zeros(2)),
        ValueError,
        r"labels must have shape \(2, U\), got \(6,\)",
    ),
    "label lengths": (
        _zeros(2, 5, 4, dtype=torch.float32),
        SequenceTarget(_zeros(2, 3), _zeros(3), _zeros(2)),
        ValueError,
        r"label_lengths must have shape \(2,\), got \(3,\)",
    ),
    "input lengths": (
        _zeros(2, 5, 4, dtype=torch.float32),
        SequenceTarget(_zeros(2, 3), _zeros(2), _zeros(2, 1)),
        ValueError,
        r"input_lengths must have shape \(2,\), got \(2, 1\)",
    ),
    "dtype": (
        _zeros(2, 5, 4, dtype=torch.float32),
        SequenceTarget(_zeros(2, 3, dtype=torch.float32), _zeros(2), _zeros(2)),
        TypeError,
        "labels must be integers, got torch.float32",
    ),
    "blank": (
        _zeros(2, 5, 1),
        None,
        ValueError,
        "blank must be below the number of classes, 1, got 2",
    ),
}


@pytest.mark.parametrize(("prediction", "target", "kind", "message"), ERRORS.values(), ids=ERRORS)
def test_what_does_not_belong_together_is_refused(prediction, target, kind, message):
    with pytest.raises(kind, match=message):
        CTCLoss(blank=2)(prediction, target)


def test_a_label_that_is_no_class_is_refused(batch):
    logits, target = batch
    wrong = target._replace(labels=target.labels + 3)
    with pytest.raises(RuntimeError, match="out of bounds"):
        CTCLoss()(logits, wrong)


def test_a_blank_among_the_labels_is_refused():
    labels, lengths = torch.tensor([[1, 2, 0], [1, 0, 2]]), torch.tensor([2, 3])
    target = SequenceTarget(labels, lengths, torch.tensor([4, 4]))  # the first 0 is padding
    with pytest.raises(RuntimeError, match="labels must be class indices from 0 to 2 without the"):
        CTCLoss()(torch.zeros(2, 4, 3), target)
    assert CTCLoss().diagnostics(torch.zeros(2, 4, 3), target) == {"unalignable": 1}
    assert CTCLoss(blank=1).diagnostics(torch.zeros(2, 4, 3), target) == {"unalignable": 2}


def test_a_negative_blank_is_refused():
    with pytest.raises(ValueError, match="blank must be >= 0, got -1"):
        CTCLoss(blank=-1)


def test_labels_that_are_the_blank_cost_nothing_where_they_cannot_be_refused(monkeypatch):
    """As in sequences of a GPU, which this machine may lack."""
    monkeypatch.setattr(sequence, "_require_labels", lambda *_: None)
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels, lengths = torch.tensor([[1, 2], [1, 0], [0, 0]]), torch.tensor([2, 2, 2])
    found = sequence.ctc(logits, labels, lengths, torch.full((3,), 5), 0)
    assert found[0] > 0
    assert found[1:].tolist() == [0.0, 0.0]


# --- framewise ------------------------------------------------------------------------------------

PATHS = {
    "equal shares": ([1, 2], 6, [1, 1, 1, 2, 2, 2]),
    "a rest": ([1, 2, 3], 7, [1, 1, 1, 2, 2, 3, 3]),
    "a repeat": ([1, 2, 2], 6, [1, 1, 2, 2, 0, 2]),
    "repeats": ([3, 3, 3], 6, [3, 3, 0, 3, 0, 3]),
    "one step each": ([1, 2, 3], 3, [1, 2, 3]),
    "no labels": ([], 3, [0, 0, 0]),
    "fewer steps than labels": ([1, 2, 3], 2, [1, 2]),
    "no step for a repeat": ([1, 1], 2, [1, 0]),
}


@pytest.mark.parametrize(("labels", "steps", "path"), PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("blank", [0, 3])
def test_steps_are_divided_evenly(labels, steps, path, blank):
    labels, path = ([{0: 3, 3: 0}.get(c, c) if blank else c for c in row] for row in (labels, path))
    padded = torch.tensor([labels + [2] * (4 - len(labels))])
    lengths = torch.tensor([len(labels)]), torch.tensor([steps])
    found = sequence.equal_shares(padded, *lengths, steps + 2, blank)
    assert found.tolist() == [[*path, blank, blank]]
    reads = _read(path, blank) == labels
    assert sequence.misread(padded, *lengths, steps + 2, blank).item() == (not reads)


def test_framewise_is_cross_entropy_of_the_path():
    logits = _logits(1, 7)
    target = _target([[1, 2, 2]], [3], [6])
    expected = F.cross_entropy(logits[0, :6], torch.tensor([1, 1, 2, 2, 0, 2]), reduction="sum")
    assert_close(FramewiseCrossEntropyLoss(reduction="sum")(logits, target), expected)
    assert_close(FramewiseCrossEntropyLoss()(logits, target), expected / 3)


def test_one_path_is_less_likely_than_all(batch):
    """CTC sums over the path of framewise cross-entropy, too."""
    logits, target = batch
    assert FramewiseCrossEntropyLoss().diagnostics(logits, target) == {"misread": 0}
    path = sequence.equal_shares(*target, 7)
    for scale in (1.0, 50.0):  # the better the path fits, the less the others add
        fitting = logits + scale * F.one_hot(path, CLASSES)
        forced = FramewiseCrossEntropyLoss(reduction="none")(fitting, target)
        summed = CTCLoss(reduction="none")(fitting, target)
        assert (forced >= summed).all()
    assert_close(forced, summed, rtol=0, atol=1e-12)


def test_framewise_counts_sequences_that_it_misreads():
    target = _target([[1, 1, 2], [1, 2, 0], [1, 2, 3]], [3, 2, 3], [4, 2, 2])
    assert FramewiseCrossEntropyLoss().diagnostics(_logits(3, 4), target) == {"misread": 2}


def test_framewise_refuses_labels_as_ctc_does(batch):
    logits, target = batch
    for wrong in (target.labels + 3, torch.zeros_like(target.labels)):
        with pytest.raises(RuntimeError, match="labels must be class indices from 0 to 3 without"):
            FramewiseCrossEntropyLoss()(logits, target._replace(labels=wrong))
