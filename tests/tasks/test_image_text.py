import pytest
import torch
from torch.testing import assert_close

from losslab.data.digits import Digits
from losslab.data.digits_captions import DigitsCaptions
from losslab.losses import ContrastiveLoss, TargetFormat
from losslab.models import DualEncoder
from losslab.tasks import ImageTextTask


@pytest.fixture(scope="module")
def data():
    made = DigitsCaptions(copies=1)
    made.setup()
    return made


def values(data, pairs, labels):
    found = ImageTextTask(data).metrics(pairs, torch.tensor(labels), None, {})
    return {name: value.item() for name, value in found.items()}


def test_either_direction_is_measured(data):
    # the first image is nearest to the second text; each text is nearest to its own image
    images = torch.tensor([[1.0, 0.3], [0.5, 1.0]])
    texts = torch.tensor([[1.0, -2.0], [1.0, 1.0]])
    pairs = torch.stack([images, texts], dim=1)
    assert values(data, pairs, [0, 1]) == {
        "recall_at_1": 0.75,
        "recall_at_1_image_to_text": 0.5,
        "recall_at_1_text_to_image": 1.0,
    }
    assert set(values(data, pairs, [0, 0]).values()) == {1.0}  # texts that say the same


def test_equal_embeddings_have_the_recall_of_chance(data):
    assert values(data, torch.ones(4, 2, 3), [0, 1, 2, 2])["recall_at_1"] == pytest.approx(
        (1 + 1 + 2 + 2) / 16
    )


def test_losses_get_pairs_or_labelled_embeddings(data):
    task = ImageTextTask(data)
    pairs, labels = torch.randn(3, 2, 4), torch.tensor([5, 6, 5])
    assert_close(task.seen_by_loss(pairs, labels, TargetFormat.PAIRED_EMBEDDINGS), (pairs, labels))
    rows, names = task.seen_by_loss(pairs, labels, TargetFormat.LABELLED_EMBEDDINGS)
    assert_close(rows, torch.stack([each for pair in pairs for each in pair]))
    assert names.tolist() == [5, 5, 6, 6, 5, 5]
    perfect = torch.eye(3)[[0, 1, 0], None].expand(3, 2, 3)
    seen = task.seen_by_loss(perfect, labels, TargetFormat.LABELLED_EMBEDDINGS)
    assert ContrastiveLoss()(*seen) == 0


def test_the_network_embeds_images_and_texts_apart(data):
    torch.manual_seed(0)
    network = DualEncoder(data.input_shape, 8, **data.sizes_of_embeddings)
    rows = data.test.inputs[:4].clone()
    before = network(rows)
    rows[:, :256] += 1
    images = network(rows)
    assert_close(images[:, 1], before[:, 1])
    assert (images[:, 0] != before[:, 0]).all()
    rows[:, -9:] = 0
    assert network(rows).isfinite().all()
    with pytest.raises(ValueError, match="expects a square image and 9 words"):
        DualEncoder((64,), 8, **data.sizes_of_embeddings)


def test_padding_and_order_do_not_change_a_text(data):
    torch.manual_seed(0)
    network = DualEncoder(data.input_shape, 8, **data.sizes_of_embeddings)
    row = data.test.inputs[:1]
    turned = torch.cat([row[:, :256], row[:, 256:].flip(1)], dim=1)
    assert_close(network(turned), network(row))


def test_the_baseline_is_the_untrained_network(data):
    task = ImageTextTask(data)
    torch.manual_seed(0)
    network = DualEncoder(data.input_shape, task.outputs, **data.sizes_of_embeddings)
    found = task.baselines(data, network)["untrained"]
    with torch.no_grad():
        expected = task.metrics(network(data.test.inputs), data.test.targets, None, {})
    assert found == pytest.approx({name: each.item() for name, each in expected.items()}, abs=0.01)
    assert found["recall_at_1"] < 0.05


def test_the_figure_has_images_and_texts(data):
    pairs = torch.randn(5, 2, 4)
    shown = ImageTextTask(data).figures(None, pairs, torch.arange(5), None)["embedding"]
    assert (len(shown.points), shown.names.tolist()) == (10, ["image", "text"])
    rows, names = ImageTextTask(data).embedding(pairs, torch.arange(5))
    assert (len(rows), names[:3]) == (10, ["image", "text", "image"])


def test_what_does_not_fit(data):
    with pytest.raises(ValueError, match="dimensions must be at least 1"):
        ImageTextTask(data, dimensions=0)
    digits = Digits()
    digits.setup()
    with pytest.raises(ValueError, match="expects pairs of images and texts, got classes"):
        ImageTextTask(digits)
