import numpy as np
import pytest
import torch
from torch import nn

from losslab.data.digits_retrieval import DigitsRetrieval
from losslab.data.regression import Regression
from losslab.models import CNN
from losslab.tasks import MetricLearningTask


def ready(**options):
    data = DigitsRetrieval(copies=1, **options)
    data.setup()
    return data


@pytest.fixture(scope="module")
def data():
    return ready()


def test_the_task_gives_the_embedding_its_size(data):
    assert MetricLearningTask(data).outputs == 32
    assert MetricLearningTask(data, dimensions=8).outputs == 8


def test_perfect_embeddings(data):
    target = data.test.targets
    embeddings = nn.functional.one_hot(target, 10).float()
    values = MetricLearningTask(data).metrics(embeddings, target, None, {})
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {
            "recall_at_1": 1,
            "map_at_r": 1,
            "silhouette": 1,
            "eer": 0,
            "tar_at_far_1e-2": 1,
            "tar_at_far_1e-3": 1,
        }
    )


def test_held_out_classes_are_judged_besides():
    data = ready(held_out_classes=[7, 8])
    target = data.test.targets
    # what is right for classes 0 to 6 and 9, and one heap of 7 and 8
    embeddings = nn.functional.one_hot(target.where(target != 8, 7), 10).float()
    values = MetricLearningTask(data).metrics(embeddings, target, None, {})
    assert values["recall_at_1_held_out"] < values["recall_at_1"]
    assert 0.2 < values["map_at_r_held_out"] < 0.8


def test_baselines_are_the_metrics_of_inputs_and_of_the_untrained_network(data):
    task = MetricLearningTask(data)
    torch.manual_seed(0)
    network = CNN(data.input_shape, task.outputs, dropout=0.5)
    before = torch.get_rng_state()
    found = task.baselines(data, network)
    assert torch.equal(torch.get_rng_state(), before)
    assert network.training
    network.eval()
    with torch.no_grad():
        embeddings = network(data.test.inputs)
    for name, rows in (("raw_inputs", data.test.inputs), ("untrained", embeddings)):
        expected = task.metrics(rows, data.test.targets, None, {})
        assert found[name] == pytest.approx({k: v.item() for k, v in expected.items()}, abs=0.01)
    assert found["raw_inputs"]["recall_at_1"] > found["untrained"]["recall_at_1"] > 0.1


@pytest.mark.parametrize("dimensions", [1, 2, 16])
def test_the_picture_is_the_plane_of_most_variance(data, dimensions):
    inputs, target, _ = data.test
    embeddings = torch.randn(len(target), dimensions)
    shown = MetricLearningTask(data).figures(inputs, embeddings, target, nn.Identity())["embedding"]
    assert shown.names.tolist() == list("0123456789")
    np.testing.assert_array_equal(shown.groups, target)
    rows = nn.functional.normalize(embeddings).double().numpy()
    variances = np.linalg.eigvalsh(np.cov(rows.T).reshape(dimensions, dimensions))[::-1][:2]
    np.testing.assert_allclose(
        shown.points.var(axis=0, ddof=1)[: len(variances)], variances, rtol=1e-4
    )


def test_what_does_not_fit(data):
    with pytest.raises(ValueError, match="dimensions must be at least 1, got 0"):
        MetricLearningTask(data, dimensions=0)
    regression = Regression()
    regression.setup()
    with pytest.raises(ValueError, match="expects class targets, got values"):
        MetricLearningTask(regression)
