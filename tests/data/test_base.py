import pytest
import pytorch_lightning as pl
import torch

from losslab.data import InMemoryData, Raw
from losslab.data.digits import Digits
from losslab.data.regression import Regression
from losslab.data.val_then_test import ValThenTest


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def made(raw, **options):
    class Made(InMemoryData):
        def load(self):
            return raw

    return Made(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number >= 1, got 0"),
        ({"batch_size": 0.5}, "batch_size must be a whole number >= 1, got 0.5"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"split_seed": "a"}, "split_seed must be a whole number >= 0, got 'a'"),
        ({"val_fraction": 0.0}, "val_fraction must be a fraction between 0 and 1, exclusive"),
        ({"test_fraction": 1.0}, "test_fraction must be a fraction between 0 and 1, exclusive"),
        (
            {"val_fraction": 0.5, "test_fraction": 0.5},
            r"val_fraction \+ test_fraction must be below 1, got 0.5 \+ 0.5",
        ),
        ({"label_noise": 1.5}, "label_noise must be a number and >= 0 and <= 1, got 1.5"),
        ({"imbalance": -0.1}, "imbalance must be a number and >= 0 and <= 1, got -0.1"),
        ({"outliers": float("nan")}, "outliers must be a number and >= 0 and <= 1, got nan"),
        ({"outliers": 2}, "outliers must be a number and >= 0 and <= 1, got 2"),
        ({"outlier_size": float("inf")}, "outlier_size must be a number, got inf"),
        ({"outlier_kind": "up"}, "outlier_kind must be one of 'vertical', 'leverage', got 'up'"),
        ({"corrupt_val": "yes"}, "corrupt_val must be one of True, False, got 'yes'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_out_of_range(blobs, options, message):
    with pytest.raises(ValueError, match=message):
        blobs(**options)


def test_a_misspelt_option_is_refused():
    with pytest.raises(TypeError, match="label_nois"):
        Digits(label_nois=0.1)


def test_a_data_set_of_ones_own_needs_one_method(blobs):
    data = ready(blobs())
    assert (data.train.size, data.val.size, data.test.size) == (240, 80, 80)
    assert (data.input_shape, data.target_kind, data.outputs) == ((1,), "classes", 4)
    assert data.class_counts.tolist() == [60] * 4
    everything = torch.cat([split.inputs for split in (data.train, data.val, data.test)])
    assert sorted(everything[:, 0].tolist()) == list(range(400))
    with pytest.raises(NotImplementedError, match="InMemoryData must implement load"):
        InMemoryData().setup()


def test_the_test_samples_are_known(blobs):
    data = ready(blobs())
    # inputs of these samples are their indices
    assert data.test_index.tolist() == data.test.inputs[:, 0].long().tolist()
    assert data.test_index.dtype == torch.int64
    spoiled = ready(blobs(label_noise=0.2, imbalance=0.5, corrupt_val=True))
    assert torch.equal(spoiled.test_index, data.test_index)
    again = [ready(blobs(seed=seed, split_seed=7)).test_index for seed in (1, 2)]
    assert torch.equal(*again)


def test_a_second_setup_changes_nothing(blobs):
    data = ready(blobs())
    before = data.train
    data.setup("test")
    assert data.train is before


@pytest.mark.parametrize("make", [Digits, Regression], ids=["digits", "regression"])
def test_one_seed_gives_one_data_set_and_order(make):
    one, again, other = (ready(make(seed=seed)) for seed in (0, 0, 1))
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert one.order_fingerprint() == again.order_fingerprint() != other.order_fingerprint()


@pytest.mark.parametrize("make", [Digits, Regression], ids=["digits", "regression"])
def test_split_seed_freezes_the_data_but_not_the_order(make):
    one, other = (ready(make(seed=seed, split_seed=7)) for seed in (0, 1))
    assert one.fingerprint() == other.fingerprint()
    assert one.order_fingerprint() != other.order_fingerprint()


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Digits, {"label_noise": 0.1}),
        (Digits, {"imbalance": 0.2}),
        (Regression, {"outliers": 0.1}),
        (Regression, {"outliers": 0.1, "outlier_kind": "leverage"}),
    ],
    ids=["label_noise", "imbalance", "vertical", "leverage"],
)
def test_corruption_touches_training_alone_unless_asked(make, options):
    clean, spoiled = ready(make()), ready(make(**options))
    assert clean.fingerprint() != spoiled.fingerprint()
    for name in ("val", "test"):
        for one, other in zip(
            getattr(clean, name).tensors(), getattr(spoiled, name).tensors(), strict=True
        ):
            assert torch.equal(one, other)
    both = ready(make(**options, corrupt_val=True))
    assert not all(map(torch.equal, both.val.tensors()[:2], clean.val.tensors()[:2])) or (
        both.val.size != clean.val.size
    )
    assert all(map(torch.equal, both.train.tensors(), spoiled.train.tensors()))
    assert all(map(torch.equal, both.test.tensors(), clean.test.tensors()))


def test_corruptions_do_not_shift_each_other(blobs):
    clean, noisy = ready(blobs()), ready(blobs(label_noise=0.2))
    thin, both = ready(blobs(imbalance=0.5)), ready(blobs(imbalance=0.5, label_noise=0.2))
    assert torch.equal(clean.train.inputs, noisy.train.inputs)
    assert torch.equal(thin.train.inputs, both.train.inputs)
    truth = both.train.inputs[:, 0].long() % 4
    wrong = both.train.targets != truth
    assert int(wrong.sum()) == round(0.2 * both.train.size) == 36
    became = dict(zip(noisy.train.inputs[:, 0].tolist(), noisy.train.targets.tolist(), strict=True))
    was_wrong = [
        became[number] == label
        for number, label in zip(
            both.train.inputs[wrong, 0].tolist(), both.train.targets[wrong].tolist(), strict=True
        )
    ]
    assert sum(was_wrong) >= 30  # but for the rounding of the share, the same labels are wrong


def test_class_counts_and_rarest_are_those_of_the_corrupted_training_split(blobs):
    data = ready(blobs(imbalance=0.1))
    assert data.class_counts.tolist() == [60, 60, 6, 6]
    assert data.class_counts.tolist() == torch.bincount(data.train.targets).tolist()
    assert data.rarest == 2
    assert torch.bincount(data.test.targets).tolist() == [20] * 4


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Digits, {"outliers": 0.1}, "outliers needs targets that are values or boxes, got classes"),
        (Regression, {"imbalance": 0.1}, "imbalance needs targets that are classes, got values"),
        (
            Regression,
            {"label_noise": 0.1},
            "label_noise needs targets that are classes or multilabel, got values",
        ),
    ],
    ids=["outliers", "imbalance", "label_noise"],
)
def test_a_corruption_that_does_not_fit_the_targets(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).setup()


def test_label_noise_flips_labels_where_a_sample_has_several():
    targets = torch.zeros(100, 3)
    data = ready(made(Raw(torch.randn(100, 2), targets, "multilabel"), label_noise=0.1))
    assert int(data.train.targets.sum()) == 18
    assert data.class_counts.sum() == 18
    assert not data.test.targets.any()
    assert data.outputs == 3
    assert data.rarest is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (Raw(torch.tensor([[1.0], [float("nan")]]), torch.tensor([0, 1])), "inputs must be finite"),
        (Raw(torch.ones(2, 1), torch.tensor([1.0, torch.inf])), "targets must be finite"),
        (Raw(torch.ones(2, 1), torch.tensor([-1, 1])), "class indices in.*got -1 to 1"),
        (Raw(torch.ones(2, 1), torch.tensor([0, 0])), "with C >= 2 classes"),
        (
            Raw(torch.ones(2, 1), torch.tensor([0, 1]), weights=torch.tensor([1.0, -1.0])),
            "weight must be >= 0",
        ),
        (Raw(torch.ones(0, 1), torch.ones(0)), "inputs must hold samples"),
        (
            Raw(torch.ones(2, 1), torch.tensor([0, 1]), target_kind="class"),
            "target_kind must be one of 'classes', 'values', .*, got 'class'",
        ),
    ],
    ids=["NaN", "infinite", "negative class", "one class", "negative weight", "empty", "kind"],
)
def test_broken_samples(raw, message):
    with pytest.raises(ValueError, match=message):
        made(raw).setup()


@pytest.mark.parametrize(
    ("shape", "dims"), [((200, 3), 0), ((200, 3, 4, 5), (0, 2, 3)), ((200, 6, 4), (0, 1, 2))]
)
def test_standardised_by_the_training_split(shape, dims):
    inputs = torch.randn(shape) * 7 + 1000
    data = ready(made(Raw(inputs, torch.randn(200), standardize=True)))
    assert data.train.inputs.mean(dims).abs().max() < 1e-3
    assert (data.train.inputs.std(dims, correction=0) - 1).abs().max() < 1e-3
    assert data.test.inputs.mean(dims).abs().max() > 1e-6  # not by its own figures


def test_standardised_columns_and_targets():
    inputs = torch.stack([torch.randn(100) * 5, torch.arange(100) % 2.0, torch.full((100,), 3.0)])
    raw = Raw(
        inputs.T,
        torch.randn(100) * 1e5,
        standardize=torch.tensor([True, False, True]),
        standardize_targets=True,
    )
    data = ready(made(raw))
    assert data.train.inputs[:, 0].std(correction=0) == pytest.approx(1, abs=1e-4)
    assert set(data.train.inputs[:, 1].tolist()) == {0.0, 1.0}
    assert not data.train.inputs[:, 2].any()  # a constant column
    assert data.train.targets.std(correction=0) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("standardize", [True, "data"])
def test_outliers_are_shifted_in_the_unit_of_the_target(standardize):
    """As version 0.1 did, "data" takes standard deviations for the unit."""
    values = torch.randn(200) * 50 + 1000
    raw = Raw(torch.randn(200, 1), values, standardize_targets=standardize)
    clean, spoiled = ready(made(raw)), ready(made(raw, outliers=0.2, outlier_size=300.0))
    shift = (spoiled.train.targets - clean.train.targets).unique()
    unit = 1.0 if standardize == "data" else float(clean.target_scaling.scale)
    assert shift[-1] == pytest.approx(300 / unit, rel=1e-4)
    assert torch.equal(clean.test.targets, spoiled.test.targets)


def test_the_unit_of_standardised_targets_is_kept():
    values = torch.randn(200, 2) * torch.tensor([50.0, 2.0]) + 1000
    data = ready(made(Raw(torch.randn(200, 1), values, standardize_targets=True)))
    mean, scale = data.target_scaling
    restored = data.test.targets * scale + mean
    assert torch.allclose(restored, values[data.test_index], rtol=1e-6)
    as_it_is = ready(made(Raw(torch.randn(200, 1), values)))
    assert as_it_is.target_scaling is None
    assert data.describe() == as_it_is.describe()


def test_corruption_does_not_move_the_standardisation():
    raw = Raw(torch.randn(100, 1), torch.randn(100), standardize=True)
    clean, spoiled = ready(made(raw)), ready(made(raw, outliers=0.2, outlier_kind="leverage"))
    assert torch.equal(clean.test.inputs, spoiled.test.inputs)


def test_describe(blobs):
    assert ready(blobs()).describe().splitlines() == [
        "Blobs: 240 training, 80 validation, 80 test samples of shape 1",
        "classes in training: 0 60, 1 60, 2 60, 3 60",
    ]
    many = ready(made(Raw(torch.ones(300, 1), torch.arange(300) % 30)))
    assert "30 classes in training: 6 to 6 samples each" in many.describe()
    assert "targets in training: 1 per sample, mean" in ready(Regression()).describe()


@pytest.mark.parametrize(
    ("raw", "outputs", "contents"),
    [
        (
            Raw(torch.ones(50, 1), torch.eye(2)[:1].repeat(50, 1), "multilabel", ["red", "green"]),
            2,
            "labels in training: red 30, green 0",
        ),
        (
            Raw(torch.ones(50, 1, 1, 2), torch.tensor([[[0, 1]]]).expand(50, 1, 2), "masks"),
            1,
            "pixels in training: 0 50.00%, 1 50.00%",
        ),
        (
            Raw(
                torch.ones(50, 3, 1),
                torch.tensor([[[3, 1], [-1, 1], [0, 0]]]).expand(50, 3, 2),
                "relevance",
                outputs=1,
            ),
            1,
            "grades in training: -1 30, 3 30",
        ),
        (
            Raw(
                torch.ones(50, 4),
                torch.tensor([[2, 2, 0, 4]]).expand(50, 4),
                "sequences",
                outputs=3,
            ),
            3,
            "labels in training: 2 to 2 per row, 60 in total",
        ),
        (
            Raw(torch.ones(50, 4), torch.arange(50) % 2, "pairs"),
            2,
            "labels of pairs in training: 2 different ones",
        ),
    ],
    ids=["multilabel", "masks", "relevance", "sequences", "pairs"],
)
def test_describe_kinds_of_targets(raw, outputs, contents):
    data = ready(made(raw))
    assert data.outputs == outputs
    assert data.describe().splitlines()[1] == contents


def test_number_of_classes_may_exceed_those_in_the_data():
    data = ready(made(Raw(torch.ones(300, 1), torch.arange(300) % 3, outputs=5)))
    assert (data.target_kind, data.outputs) == ("classes", 5)
    assert data.class_counts.tolist() == [60, 60, 60, 0, 0]


def test_positive_digits_are_one_class_of_two():
    every, two = ready(Digits()), ready(Digits(positive=[5, 6, 7, 8, 9]))
    assert (two.outputs, two.class_names) == (2, ["others", "5,6,7,8,9"])
    assert two.class_counts.sum() == every.class_counts.sum()
    assert abs(int(two.class_counts[1] - every.class_counts[5:].sum())) <= 2
    with pytest.raises(ValueError, match="positive must be one to nine digits"):
        Digits(positive=[10])


def test_weights_reach_the_batches():
    weights = torch.arange(100.0) + 1
    raw = Raw(weights.unsqueeze(1), torch.arange(100) % 2, weights=weights)
    inputs, _, drawn = next(iter(ready(made(raw)).train_dataloader()))
    assert torch.equal(inputs[:, 0], drawn)


def test_a_batch_on_the_device_is_handed_on_as_it_is(blobs):
    data = ready(blobs())
    batch = next(iter(data.val_dataloader()))
    assert data.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [tensor.device.type for tensor in moved] == ["meta", "meta"]


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("64-true", torch.float64),
        ("bf16-true", torch.bfloat16),
        ("bf16-mixed", torch.float32),
    ],
)
def test_batches_have_the_precision_of_the_trainer(tmp_path, precision, dtype):
    raw = Raw(torch.ones(100, 1), torch.arange(100) % 2, weights=torch.ones(100))
    data = ready(made(raw))
    data.trainer = pl.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", precision=precision, logger=False
    )
    judged = ValThenTest(data)
    judged.trainer = data.trainer
    for loader in (data.train_dataloader(), data.val_dataloader(), *judged.test_dataloader()):
        inputs, targets, weights = next(iter(loader))
        assert (inputs.dtype, targets.dtype, weights.dtype) == (dtype, torch.int64, dtype)
    assert data.train.inputs.dtype == torch.float32  # what is hashed depends on no precision


def test_val_then_test_judges_both_in_one_pass(tmp_path, blobs):
    class Counter(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.seen = {0: [], 1: []}

        def test_step(self, batch, index, dataloader_idx=0):
            self.seen[dataloader_idx] += batch[1].tolist()

    data, model = ready(blobs()), Counter()
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", **quiet).test(
        model, datamodule=ValThenTest(data, ("val", "test")), verbose=False
    )
    assert model.seen == {0: data.val.targets.tolist(), 1: data.test.targets.tolist()}
    with pytest.raises(ValueError, match="split must be one of 'train', 'val', 'test', got 'x'"):
        ValThenTest(data, ("x",))
