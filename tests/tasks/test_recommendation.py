"""Recommendation: what losses see, metrics over all items, and the popularity of items."""

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from losslab.data.ratings import SyntheticRatings
from losslab.data.regression import Regression
from losslab.losses import BPRLoss, TargetFormat
from losslab.models import Factorization
from losslab.modules.objective import Supervision
from losslab.tasks import RecommendationTask


@pytest.fixture(scope="module")
def data():
    made = SyntheticRatings(users=40, items=60, ratings=20)
    made.setup()
    return made


@pytest.fixture(scope="module")
def scores(data):
    shape = data.test.targets.shape[:2]
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_metrics_are_over_all_items_and_users_who_like_one(data, scores):
    ndcg, recall = [], []
    for score, target in zip(scores.numpy(), data.test.targets.numpy(), strict=True):
        known = target[:, 1] > 0
        liked = target[known, 0]
        if liked.any():
            ndcg.append(ndcg_score([liked], [score[known]], k=10))
            recall.append(liked[np.argsort(-score[known])[:10]].sum() / liked.sum())
    assert 0 < len(ndcg) < 40
    found = RecommendationTask(data).metrics(scores, data.test.targets, None, {})
    assert found["ndcg_at_10"].item() == pytest.approx(np.mean(ndcg), rel=1e-12)
    assert found["recall_at_10"].item() == pytest.approx(np.mean(recall), rel=1e-12)
    each = RecommendationTask(data).scores(scores, data.test.targets, None, {})
    assert int((~each["ndcg_at_10"].isnan()).sum()) == len(ndcg)


def test_gains_of_ratings_are_those_of_grades():
    data = SyntheticRatings(users=40, items=60, ratings=20, threshold=None)
    data.setup()
    grades = data.test.targets[..., 0]
    values = RecommendationTask(data).metrics(-grades, data.test.targets, None, {})
    assert values["ndcg_at_10"] == 0
    swapped = grades.clone()
    swapped[:, :2] = grades[:, [1, 0]]
    expected = ndcg_score((2 ** grades.double() - 1).numpy(), swapped.numpy(), k=10)
    found = RecommendationTask(data).metrics(swapped, data.test.targets, None, {})["ndcg_at_10"]
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_losses_see_as_many_items_in_an_evaluation_as_in_training(data, scores):
    """The others may have any score, and cost no memory: pairs are 16 x 16 and not 46 x 46."""
    task, loss = RecommendationTask(data), BPRLoss()
    evaluate = Supervision(
        task, loss, target_format=TargetFormat.RELEVANCE, inverse_link=None
    ).evaluate
    target = data.test.targets
    found = evaluate(scores, target, {})["loss"].item()
    assert found == loss(scores[:, :16], target[:, :16, 0]).item()
    other = scores.clone()
    other[:, 16:] += 9
    assert evaluate(other, target, {})["loss"].item() == found


@pytest.mark.parametrize("target_format", RecommendationTask.provides)
def test_training_samples_are_seen_whole(data, target_format):
    prediction = torch.zeros(data.train.targets.shape)
    seen = RecommendationTask(data).seen_by_loss(prediction, data.train.targets, target_format)
    assert seen[0].shape == prediction.shape
    assert torch.equal(seen[1], data.train.targets)


def test_ratings_are_not_labels():
    data = SyntheticRatings(users=40, items=60, ratings=20, threshold=None)
    data.setup()
    assert TargetFormat.BINARY_TARGETS not in RecommendationTask(data).provides


def test_popularity_is_the_number_of_users_who_like_an_item(data):
    likes = np.zeros(60)
    for sample, grades in zip(data.train.inputs.numpy(), data.train.targets.numpy(), strict=True):
        likes[sample[1:][grades > 0]] += 1
    task = RecommendationTask(data)
    ranked = torch.from_numpy(likes[data.test.inputs[:, 1:].numpy()])
    expected = task.metrics(ranked, data.test.targets, None, {})
    found = task.baselines(data, torch.nn.Identity())
    assert found == {"popularity": {name: float(value) for name, value in expected.items()}}


def test_other_data_are_refused():
    data = Regression(n=50)
    data.setup()
    with pytest.raises(ValueError, match="expects ratings of items by users, got values"):
        RecommendationTask(data)


def test_scores_are_products_of_factors_and_biases():
    network = Factorization(users=3, items=5, factors=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    found = network(torch.tensor([[2, 0, 4], [0, 1, 1]]))
    for row, (user, items) in enumerate([(2, (0, 4)), (0, (1, 1))]):
        for column, item in enumerate(items):
            expected = network.users[user] @ network.items[item] + network.bias
            expected = expected + network.user_bias[user] + network.item_bias[item]
            assert found[row, column].item() == pytest.approx(expected.item(), rel=1e-6)
