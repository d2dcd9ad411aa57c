import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import silhouette_score

from losslab.metrics import retrieval as module
from losslab.metrics.retrieval import mean_of_known, retrieval, silhouette


def means(*given):
    return {name: mean_of_known(values) for name, values in retrieval(*given).items()}


@pytest.fixture
def samples():
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 6, (300,), generator=rng)
    centres = torch.randn(6, 5, generator=rng)
    return centres[labels] + torch.randn(300, 5, generator=rng), labels


def of_library(embeddings, labels):
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    found = calculator.get_accuracy(embeddings, labels)
    return found["precision_at_1"], found["mean_average_precision_at_r"]


@pytest.mark.parametrize("chunk", [2**24, 1000], ids=["whole", "chunks"])
def test_it_agrees_with_pytorch_metric_learning(monkeypatch, samples, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    values = means(*samples)
    recall, map_at_r = of_library(*samples)
    assert 0.3 < recall < 0.95
    assert values["recall_at_1"].item() == pytest.approx(recall, abs=1e-6)
    assert values["map_at_r"].item() == pytest.approx(map_at_r, abs=1e-6)


def test_map_at_r_by_hand():
    # seen from the first: classes 0 1 0 | so R = 2, P(1) rel = 1, P(2) rel = 0
    angles = torch.tensor([0.0, 0.1, 0.25, 0.45])
    embeddings = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels = torch.tensor([0, 0, 1, 0])
    queries = torch.tensor([True, False, False, False])
    values = means(embeddings, labels, queries)
    assert values["recall_at_1"] == 1
    assert values["map_at_r"] == 0.5


def test_queries_alone_ask_and_all_answer(samples):
    embeddings, labels = samples
    queries = labels == 2
    rows = torch.nn.functional.normalize(embeddings)
    nearness = (rows @ rows.T).fill_diagonal_(-2)
    expected = (labels[nearness.argmax(1)] == labels)[queries].double().mean()
    values = retrieval(embeddings, labels, queries)["recall_at_1"]
    assert torch.equal(values.isnan(), ~queries)
    found = mean_of_known(values)
    assert found.item() == pytest.approx(expected.item())


def test_lengths_do_not_matter(samples):
    embeddings, labels = samples
    scaled = embeddings * torch.linspace(0.1, 10, 300).unsqueeze(1)
    first, second = means(embeddings, labels), means(scaled, labels)
    for name, value in first.items():
        assert value.item() == pytest.approx(second[name].item(), abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "recall"),
    [([0, 0, 1], 1.0), ([0, 1, 2], math.nan)],
    ids=["one alone in its class", "all alone"],
)
def test_samples_alone_in_their_class(labels, recall):
    embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    values = means(embeddings, torch.tensor(labels))
    assert values["recall_at_1"].item() == pytest.approx(recall, nan_ok=True)
    assert values["map_at_r"].item() == pytest.approx(recall, nan_ok=True)


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_collapsed_embeddings_are_at_chance(order):
    """Whichever way equal neighbours are sorted, and also if that follows the classes."""
    labels = torch.arange(10).repeat_interleave(20)
    if order == "shuffled":
        labels = labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    embeddings = torch.tensor([0.1, 0.7, -0.3]).expand(200, 3)
    values = means(embeddings, labels)
    chance = 19 / 199
    assert values["recall_at_1"].item() == pytest.approx(chance)
    ranks = np.arange(1, 20)
    expected = np.mean(chance * (1 + (ranks - 1) * 18 / 198) / ranks)
    assert values["map_at_r"].item() == pytest.approx(expected)
    assert mean_of_known(silhouette(embeddings, labels)) == 0


def test_embeddings_near_each_other_keep_their_order(samples):
    """In float32 all cosines would be 1."""
    embeddings, labels = (part[:100] for part in samples)
    tangent = torch.zeros(100, 6, dtype=torch.float64)
    tangent[:, 0], tangent[:, 1:] = 1, 1e-5 * embeddings.double()
    nearest = torch.cdist(*[embeddings.double()] * 2).fill_diagonal_(9.0).argmin(dim=1)
    expected = (labels[nearest] == labels).double()
    found = retrieval(tangent, labels)["recall_at_1"]
    torch.testing.assert_close(found, expected)


def test_silhouette_is_that_of_the_unit_sphere(samples):
    embeddings, labels = samples
    rows = embeddings / embeddings.norm(dim=1, keepdim=True)
    expected = silhouette_score(rows.numpy(), labels.numpy())
    assert mean_of_known(silhouette(embeddings * 7, labels)).item() == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize("labels", [np.zeros(4), np.arange(4)], ids=["one class", "each its own"])
def test_silhouette_without_clusters_is_missing(labels):
    values = silhouette(torch.randn(4, 2), torch.from_numpy(labels).long())
    assert values.isnan().all()
    assert mean_of_known(values).isnan()
