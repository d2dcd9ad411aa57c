"""Weights in a file become initial weights where they fit, and what does not fit is said."""

import os

import pytest
import torch
from torch import nn

from losslab.models.notes import notes_of
from losslab.models.weights import load_file
from small_networks import BatchNet


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = BatchNet((1, 8, 8), 3)
        self.head = nn.Linear(3, 2)


@pytest.fixture
def original():
    torch.manual_seed(1)
    return BatchNet((1, 8, 8), 3).state_dict()


@pytest.fixture
def loaded(tmp_path):
    """Loads what is saved into a network, and returns its state and the note."""

    def load(content, network=None):
        torch.manual_seed(2)
        network = network or BatchNet((1, 8, 8), 3)
        torch.save(content, tmp_path / "own.pt")
        load_file(network, tmp_path / "own.pt")
        return network.state_dict(), notes_of(network)[-1].replace(f"model.weights={tmp_path}/", "")

    return load


@pytest.mark.parametrize("prefix", ["", "module.", "network."])
@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_state_dict_and_checkpoints_with_one(prefix, key, loaded, original):
    content = {f"{prefix}{name}": value for name, value in original.items()}
    state, note = loaded(content if key is None else {key: content, "epoch": 3})
    assert all(torch.equal(state[name], value) for name, value in original.items())
    assert note == f"weights: {len(original)} of {len(original)} tensors from own.pt"


def test_those_of_a_backbone(loaded, original):
    state, note = loaded(original, Wrapped())
    assert all(torch.equal(state[f"backbone.{name}"], value) for name, value in original.items())
    assert note.endswith("from own.pt; missing in it: head.weight, head.bias")
    state, _ = loaded({f"backbone.{name}": value for name, value in original.items()})
    assert all(torch.equal(state[name], value) for name, value in original.items())


def test_a_head_of_another_size_stays_as_it_is(loaded, original):
    network = BatchNet((3, 8, 8), 5)
    fresh = network[9].weight.detach().clone()
    state, note = loaded(original | {"other.bias": torch.ones(2)}, network)
    assert torch.equal(state["9.weight"], fresh)
    torch.testing.assert_close(state["0.weight"], original["0.weight"].expand(-1, 3, -1, -1) / 3)
    assert note == (
        f"weights: {len(original) - 2} of {len(original)} tensors from own.pt; of another size: "
        "9.weight (3, 8) for (5, 8), 9.bias (3,) for (5,); not in the network: other.bias"
    )


def test_positions_of_patches_are_interpolated(loaded):
    class Positions(nn.Module):
        def __init__(self, side):
            super().__init__()
            grid = torch.linspace(0, 1, side)[:, None].expand(side, side).flatten()
            value = torch.cat([torch.tensor([9.0]), grid])
            self.pos_embedding = nn.Parameter(value[None, :, None].repeat(1, 1, 2))

    state, _ = loaded(Positions(4).state_dict(), Positions(7))
    token, *patches = state["pos_embedding"][0, :, 0].tolist()
    assert token == 9
    rows = torch.tensor(patches).view(7, 7)
    assert torch.equal(rows.sort(dim=0).values, rows)
    torch.testing.assert_close(rows, rows[:, :1].expand(7, 7))


class Touches:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_file_is_run(tmp_path, loaded):
    with pytest.raises(ValueError, match=r"FILE\): it holds objects such as \w+\.mkdir"):
        loaded({"0.weight": Touches(str(tmp_path / "run"))})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([1, 2], "has no state_dict"),
        ({"a.weight": torch.ones(2)}, "has no weights of this network: it has a.weight"),
    ],
)
def test_other_files_are_refused(content, error, loaded):
    with pytest.raises(ValueError, match=error):
        loaded(content)


def test_safetensors(tmp_path, original):
    safetensors = pytest.importorskip("safetensors.torch", reason="pip install 'losslab[timm]'")
    safetensors.save_file(original, tmp_path / "own.safetensors")
    network = BatchNet((1, 8, 8), 3)
    load_file(network, tmp_path / "own.safetensors")
    assert all(torch.equal(network.state_dict()[name], value) for name, value in original.items())


def test_safetensors_without_their_package(tmp_path, monkeypatch):
    monkeypatch.setattr("losslab.models.weights.is_installed", lambda module: False)
    (tmp_path / "own.safetensors").touch()
    with pytest.raises(ValueError, match=r"safetensors is not installed: pip .*\[timm\]"):
        load_file(BatchNet((1, 8, 8), 3), tmp_path / "own.safetensors")
