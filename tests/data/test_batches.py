import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from losslab.data import Batches, Split
from losslab.rng import derive_seed


def numbered(n, weights=None):
    return Split(torch.arange(float(n)).unsqueeze(1), torch.arange(n), weights)


def seen(batches):
    return [targets.tolist() for _, targets, *_ in batches]


def test_order_is_the_permutation_of_seed_and_epoch():
    batches = Batches(numbered(50), 8, seed=3, shuffle=True)
    batches.set_epoch(5)
    rng = torch.Generator().manual_seed(derive_seed(3, "batches", 5))
    expected = torch.randperm(50, generator=rng).tolist()
    assert [label for batch in seen(batches) for label in batch] == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [((0, 0), (0, 0), True), ((0, 0), (0, 1), False), ((0, 0), (1, 0), False)],
    ids=["same", "epoch", "seed"],
)
def test_order_depends_on_seed_and_epoch_alone(one, other, same):
    def order(seed, epoch):
        torch.manual_seed(torch.randint(1000, ()).item())  # the global state has no say
        return Batches(numbered(50), 8, seed=seed, shuffle=True).order(epoch).tolist()

    assert (order(*one) == order(*other)) is same


def test_unshuffled_batches_are_views_in_stored_order():
    split = numbered(10)
    batches = list(Batches(split, 4, shuffle=False))
    assert [targets.tolist() for _, targets in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[1][0].data_ptr() == split.inputs[4:].data_ptr()


@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "stored order"])
def test_inputs_targets_and_weights_stay_together(shuffle):
    split = numbered(23, torch.arange(23.0) * 2)
    for inputs, targets, weights in Batches(split, 5, shuffle=shuffle):
        assert torch.equal(inputs[:, 0], targets.float())
        assert torch.equal(weights, targets * 2.0)


@given(
    n=st.integers(1, 90),
    size=st.integers(1, 40),
    world=st.integers(1, 5),
    shuffle=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_ranks_share_the_batches_of_one_process(n, size, world, shuffle):
    if n < world or size < world:
        with pytest.raises(ValueError, match=r"split must hold|batch_size must be"):
            Batches(numbered(n), size, shuffle=shuffle, world_size=world)
        return
    ranks = [
        seen(Batches(numbered(n), size, seed=1, shuffle=shuffle, rank=rank, world_size=world))
        for rank in range(world)
    ]
    whole = seen(Batches(numbered(n), size, seed=1, shuffle=shuffle))
    if len(whole[-1]) < world:  # too few for all ranks: they join the batch before
        whole[-2:] = [whole[-2] + whole[-1]]
    assert {len(batches) for batches in ranks} == {len(whole)}
    for index, batch in enumerate(whole):
        assert [rank[index] for rank in ranks] == [batch[rank::world] for rank in range(world)]
        assert all(rank[index] for rank in ranks)


@pytest.mark.parametrize(("size", "world"), [(0, 1), (3, 4)], ids=["empty", "below ranks"])
def test_batch_size_too_small(size, world):
    with pytest.raises(ValueError, match=rf"batch_size must be >= {world}, got {size}"):
        Batches(numbered(10), size, shuffle=True, world_size=world)


def test_to_moves_the_split_and_keeps_the_epoch():
    batches = Batches(numbered(10), 4, shuffle=True)
    batches.set_epoch(7)
    moved = batches.to("meta")
    assert moved.device.type == "meta"
    assert moved.epoch == 7


class Listener(pl.LightningModule):
    """Writes down what it is fed."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.fed = {}

    def training_step(self, batch, index):
        self.fed.setdefault(self.current_epoch, []).append(batch[1].tolist())
        return self.layer(batch[0]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)


def trainer(tmp_path, **options):
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    return pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", **quiet, **options)


def orders(data, epochs):
    batches = Batches(data.train, data.batch_size, seed=data.seed, shuffle=True)
    result = {}
    for epoch in epochs:
        batches.set_epoch(epoch)
        result[epoch] = seen(batches)
    return result


def test_lightning_tells_the_epoch_also_after_resuming(tmp_path, blobs):
    data = blobs(batch_size=50)
    model = Listener()
    first = trainer(tmp_path, max_epochs=2)
    first.fit(model, data)
    first.save_checkpoint(tmp_path / "x.ckpt")
    assert model.fed == orders(data, range(2))
    later = Listener()
    again = blobs(batch_size=50)
    trainer(tmp_path, max_epochs=4).fit(
        later, again, ckpt_path=tmp_path / "x.ckpt", weights_only=True
    )
    assert later.fed == orders(data, range(2, 4))


@pytest.mark.filterwarnings("error:.*overfit.*")
def test_overfit_batches_is_the_same_batch_each_epoch(tmp_path, blobs):
    model = Listener()
    trainer(tmp_path, max_epochs=3, overfit_batches=1).fit(model, blobs())
    assert model.fed[0] == model.fed[1] == model.fed[2]
    assert len(model.fed[0]) == 1


@given(n=st.integers(1, 90), size=st.integers(1, 40), world=st.integers(1, 5))
@settings(deadline=None)
def test_positions_are_those_of_the_own_samples(n, size, world):
    if n < world or size < world:
        return
    every = []
    for rank in range(world):
        batches = Batches(numbered(n), size, shuffle=False, rank=rank, world_size=world)
        assert batches.positions().tolist() == [label for batch in seen(batches) for label in batch]
        every += batches.positions().tolist()
    assert sorted(every) == list(range(n))
