"""The metric-learning losses beside pytorch-metric-learning, and their counts and extremes.

Plain loops over pairs and triplets stand in references.py, which the conformance suite uses.
"""

import pytest
import references
import torch
from torch.testing import assert_close

from losslab.losses import AngularLoss, ContrastiveLoss, TripletLoss
from losslab.losses.functional import metric


def batch(seed, n=40, classes=5, size=8, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, size, generator=generator, dtype=dtype)
    return embeddings, torch.randint(classes, (n,), generator=generator)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("squared", [False, True])
def test_all_triplets_are_those_of_pytorch_metric_learning(normalize, margin, squared):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    reducers = pytest.importorskip("pytorch_metric_learning.reducers")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    away = distances.LpDistance(normalize_embeddings=normalize, power=2 if squared else 1)
    expected = losses.TripletMarginLoss(margin, distance=away, reducer=reducers.MeanReducer())
    ours = TripletLoss(margin, normalize=normalize, distance="squared" if squared else "euclidean")
    x, labels = batch(0)
    x.requires_grad_()
    assert_close(ours(x, labels), expected(x, labels), rtol=1e-6, atol=1e-9)
    slopes = [torch.autograd.grad(loss(x, labels), x)[0] for loss in (ours, expected)]
    assert_close(*slopes, rtol=1e-5, atol=1e-7)


OPTIONS = [
    {},
    {"mean_over": "active"},
    {"mining": "hard", "distance": "squared"},
    {"mining": "semi_hard", "mean_over": "active"},
    {"mining": "semi_hard", "soft_margin": True, "normalize": False},
    {"soft_margin": True},
    {"margin": 0.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_triplets_are_those_of_a_loop(options, seed):
    x, labels = batch(seed, n=17 + seed, classes=4)
    expected = references.triplet(x.numpy(), labels.numpy(), **options)
    assert_close(TripletLoss(**options)(x, labels).item(), float(expected), rtol=1e-10, atol=0)


def test_all_triplets_in_float32_do_not_cancel():
    # hinges of 1e-3 beside distances of 20: sums of distances would lose them
    x, labels = batch(0, n=300, classes=2, size=2)
    x = 1e-3 * x + 20 * labels[:, None]
    x[labels == 1] = x[labels == 1] / 1e3
    single = TripletLoss(margin=20.0, normalize=False)(x.float(), labels)
    double = TripletLoss(margin=20.0, normalize=False)(x.float().double(), labels)
    assert_close(single.double(), double, rtol=1e-5, atol=0)


def clouds():
    x = torch.nn.functional.normalize(torch.randn(96, 8, generator=torch.manual_seed(0)))
    noise = torch.randn(96, 8, generator=torch.manual_seed(1))
    tight = x[torch.arange(96) % 5] + 1e-6 * noise
    return {
        "on a sphere": x,
        "a few near pairs": torch.cat([x[:90], x[:6] + 1e-6 * noise[:6]]),
        "twice the same": torch.cat([x[:90], x[:6]]),
        "tight classes": tight,
        "collapsed": x[:1] + 1e-6 * noise,
        "all the same": x[:1].expand(96, 8),
        "far from the origin": x + 1e3,
        "one far from the others": torch.cat([x[:95], 1e6 * x[95:]]),
        "tiny": 1e-30 * x,
        "huge": 1e30 * x,
    }


def distances(x):
    slope = torch.randn(96, 96, generator=torch.manual_seed(2), dtype=torch.float64)
    x = x.clone().requires_grad_()
    distance = metric.pairwise_distance(x)
    (pull,) = torch.autograd.grad(distance, x, slope.to(x.dtype))
    return distance.double(), pull.double()


@pytest.mark.parametrize("x", clouds().values(), ids=clouds())
def test_distances_of_float32_are_those_of_float64(x):
    (single, pull), (double, expected) = distances(x), distances(x.double())
    assert_close(single, double, rtol=1e-6, atol=0)
    assert_close(pull, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def curvature(x):
    def bent(x):
        return metric.pairwise_distance(x).square().square().sum() / 4

    _, pull = torch.func.vjp(torch.func.grad(bent), x)
    return pull(torch.ones_like(x))[0].double()


def test_distances_of_float32_have_second_derivatives():
    x = clouds()["on a sphere"]
    assert_close(curvature(x), curvature(x.double()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mining", ["all", "hard", "semi_hard"])
def test_triplets_of_float32_are_mapped_and_compiled(mining):
    loss = TripletLoss(mining=mining, mean_over="active")
    batches = [batch(seed, dtype=torch.float32) for seed in range(3)]
    expected = [torch.func.grad_and_value(loss)(*pair) for pair in batches]
    stacked = [torch.stack(tensors) for tensors in zip(*batches, strict=True)]
    slopes, values = torch.func.vmap(torch.func.grad_and_value(loss))(*stacked)
    assert_close((slopes, values), tuple(map(torch.stack, zip(*expected, strict=True))))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert_close(compiled(*batches[0]), expected[0][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_equal_distances_the_positive_comes_first(dtype):
    values = torch.tensor([[2.0, 1.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 3e38, 1e-40]], dtype=dtype)
    last = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 1, 0, 0]]).bool()
    assert metric.ascending(values, last).tolist() == [[3, 4, 1, 2, 0], [1, 0, 2, 4, 3]]


def test_soft_triplets_are_in_chunks_what_they_are_at_once(monkeypatch):
    x, labels = batch(0)
    loss = TripletLoss(soft_margin=True)
    expected = loss(x, labels)
    monkeypatch.setattr(metric, "TRIPLET_CHUNK", 1)
    assert_close(loss(x, labels), expected)


LOSSES = {
    "contrastive": ContrastiveLoss,
    "triplet": TripletLoss,
    "triplet hard": lambda **options: TripletLoss(mining="hard", **options),
    "triplet semi-hard": lambda **options: TripletLoss(mining="semi_hard", **options),
    "triplet soft": lambda **options: TripletLoss(soft_margin=True, **options),
    "angular": AngularLoss,
}


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_none_sums_to_sum(make):
    x, labels = batch(0)
    each = make(reduction="none")(x, labels)
    assert each.dim() == 1
    assert_close(each.sum(), make(reduction="sum")(x, labels))


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_a_batch_without_pairs_or_triplets_gives_zero(make):
    x, labels = batch(0, n=12, classes=1)
    total = make(reduction="sum")
    assert total(x[:1], labels[:1]).item() == 0
    if make is not ContrastiveLoss:
        assert total(x, labels).item() == 0  # no negatives
        assert total(x, torch.arange(12)).item() == 0  # no positives


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)
def test_the_scale_of_the_embeddings_does_not_matter(make):
    x, labels = batch(0)
    assert_close(make()(1e-25 * x, labels), make()(x, labels))
    assert_close(make()(x * torch.rand(len(x), 1).add(0.1), labels), make()(x, labels))


FACTS = {
    # distances 0-1: 1, 0-2: 3, 1-2: 2
    "contrastive": (
        ContrastiveLoss(margin=2.5, normalize=False),
        {"active_pairs": 2 / 3},  # the pair of one class, and 1-2
    ),
    "triplet": (TripletLoss(margin=1.5, normalize=False), {"active_triplets": 1 / 2}),
    "triplet hard": (
        TripletLoss(margin=1.5, normalize=False, mining="hard"),
        {"active_triplets": 1 / 2},
    ),
    "triplet semi-hard": (
        TripletLoss(margin=3.0, normalize=False, mining="semi_hard"),
        {"active_triplets": 1.0},
    ),
}


@pytest.mark.parametrize(("loss", "diagnostics"), FACTS.values(), ids=FACTS)
def test_facts_give_the_share_of_the_active(loss, diagnostics):
    x, labels = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    assert_close(
        {name: float(fact) for name, fact in loss.diagnostics(x, labels).items()}, diagnostics
    )


def test_angular_is_that_of_pytorch_metric_learning_on_normalised_embeddings():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    reducers = pytest.importorskip("pytorch_metric_learning.reducers")
    x, labels = batch(0)
    x = torch.nn.functional.normalize(x)
    expected = losses.AngularLoss(alpha=40, reducer=reducers.MeanReducer())
    assert_close(AngularLoss(angle=40.0)(x, labels), expected(x, labels), rtol=1e-6, atol=0)


@pytest.mark.parametrize("angle", [5.0, 45.0, 65.0])
def test_angular_in_float32_is_that_of_float64(angle):
    x, labels = batch(0, n=60, size=2, dtype=torch.float32)
    expected = references.angular(x.double().numpy(), labels.numpy(), angle)
    result = AngularLoss(angle)(x, labels)
    assert_close(result.double().item(), float(expected), rtol=1e-5, atol=0)


WRONG = {
    "column of labels": (torch.zeros(3, 2), torch.zeros(3, 1).long(), r"shape \(3,\), got \(3, 1"),
    "real labels": (torch.zeros(3, 2), torch.zeros(3), "integer class labels, got torch.float32"),
    "vector": (torch.zeros(3), torch.zeros(3).long(), r"prediction must.*\(N, D\)"),
}


@pytest.mark.parametrize(("x", "labels", "message"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("make", [ContrastiveLoss, TripletLoss, AngularLoss])
def test_what_does_not_fit_is_refused(make, x, labels, message):
    with pytest.raises(ValueError, match=message):
        make()(x, labels)


@pytest.mark.parametrize("make", [ContrastiveLoss, TripletLoss, AngularLoss])
def test_sample_weights_are_refused(make):
    x, labels = batch(0)
    with pytest.raises(ValueError, match=r"has no sample weights: its terms are (pairs|triplets)"):
        make().total(x, labels, torch.ones(len(x)))


RANGE = [
    (ContrastiveLoss, {"margin": 0.0}),
    (ContrastiveLoss, {"mean_over": "some"}),
    (TripletLoss, {"margin": -1.0}),
    (TripletLoss, {"mining": "easy"}),
    (TripletLoss, {"distance": "cosine"}),
    (AngularLoss, {"angle": 0.0}),
    (AngularLoss, {"angle": 66.0}),
]


@pytest.mark.parametrize(("make", "options"), RANGE, ids=str)
def test_options_are_checked(make, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        make(**options)


def test_embeddings_are_scaled_along_their_last_dimension():
    embeddings = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    assert_close(metric.normalized(embeddings).norm(dim=2), torch.ones(2, 3))
