import pytest
import torch

from losslab.data.digits_captions import (
    ATTRIBUTES,
    CAPTIONS,
    LENGTH,
    STEP,
    WORDS,
    DigitsCaptions,
    text_of,
)

PIXELS = 256


def ready(**options):
    data = DigitsCaptions(**{"copies": 1, **options})
    data.setup()
    return data


@pytest.fixture(scope="module")
def clean():
    return ready(noise=0.0)


def test_a_caption_says_what_its_image_shows(clean):
    """The place, ink and paper of a caption are measured in the image."""
    digit, inks, papers, rows, columns = ATTRIBUTES
    for row in clean.test.inputs[:100]:
        words = text_of(row).split()
        image = row[:PIXELS].view(16, 16)
        paper = "black" if image[[0, 0, -1, -1], [0, -1, 0, -1]].median() == 1 else "white"
        ink = (1 - image) if paper == "black" else image
        assert paper in words
        assert ("bold" if ink.max() > 0.55 else "faint") in words
        top = STEP * rows.index(next(word for word in words if word in rows))
        left = STEP * columns.index(next(word for word in words if word in columns))
        assert ink[top : top + 8, left : left + 8].sum() == pytest.approx(ink.sum().item())
        assert len(set(words) & set(digit)) == 1
        assert len(set(words) & {*inks, *papers}) == 2


def test_the_digit_of_a_caption_is_that_of_scikit_learn(clean):
    from sklearn.datasets import load_digits

    labels = load_digits().target[clean.test_index]
    words = [set(text_of(row).split()) & set(ATTRIBUTES[0]) for row in clean.test.inputs]
    assert words == [{ATTRIBUTES[0][label]} for label in labels]


def test_targets_are_equal_if_and_only_if_captions_say_the_same(clean):
    told = {text: meaning for meaning, texts in enumerate(CAPTIONS) for text in texts}
    assert len(told) == 360 * 3
    found = [told[text_of(row)] for row in clean.test.inputs]
    assert found == clean.test.targets.tolist()
    assert clean.outputs == 360


def test_sizes_of_the_words(clean):
    words = clean.train.inputs[:, PIXELS:]
    assert words.shape[1] == LENGTH == clean.sizes_of_embeddings["words"]
    assert (words.min(), words.max()) == (0, len(WORDS) - 1)
    assert clean.sizes_of_embeddings["vocabulary"] == len(WORDS)


def test_each_copy_is_drawn_anew_and_noise_has_its_deviation(clean):
    data = ready(copies=3)
    assert data.train.size == 3 * clean.train.size
    assert (data.val.size, data.test.size) == (clean.val.size, clean.test.size)
    first, second, _ = data.train.targets.view(3, -1)
    assert (first == second).double().mean() < 0.1  # by chance, one in 36
    noise = ready(noise=0.1).test.inputs - clean.test.inputs
    assert noise[:, :PIXELS].std().item() == pytest.approx(0.1, rel=0.02)
    assert not noise[:, PIXELS:].any()


def test_data_follow_from_the_seed():
    assert ready().fingerprint() == ready().fingerprint() != ready(seed=1).fingerprint()
    kept = ready(seed=1, test_split_seed=0).test, ready(seed=2, test_split_seed=0).test
    assert torch.equal(kept[0].inputs, kept[1].inputs)


def test_options_out_of_range():
    with pytest.raises(ValueError, match="copies"):
        DigitsCaptions(copies=0)
    with pytest.raises(ValueError, match="noise"):
        DigitsCaptions(noise=-1)
    with pytest.raises(ValueError, match="label_noise needs targets that are classes"):
        ready(label_noise=0.1)
